import type { Bytes, RecordHeader } from '../core/model.js'
import { type CompressionCodec, codecNumbers, compress } from './compression.js'
import { crc32c } from './crc32c.js'
import * as layout from './record-batch-layout.js'
import {
  BATCH_HEADER_BYTES,
  lengthOfBytes,
  sizeOfBytes,
  sizeOfHeaders,
  sizeOfVarint,
  sizeOfVarlong,
  writeBytes,
  writeHeaders,
  writeVarint,
  writeVarlong
} from './record-batch-layout.js'

const SMALLEST_BUFFER_BYTES = 1024
const noHeaders: readonly RecordHeader[] = []

/** The producer of the batch. Brokers recognise duplicates by id, epoch and sequence. */
export interface ProducerState {
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly baseSequence: number
  /** The records count when their transaction commits. Absent: at once. */
  readonly isTransactional?: boolean
}
export interface SealOptions extends ProducerState {
  readonly codec: CompressionCodec
}

/** A producer without an id: the broker appends each copy of its batches. */
export const noProducer: ProducerState = { producerId: -1n, producerEpoch: -1, baseSequence: -1 }

/**
 * Bytes of the record when it is the first record of a batch. A later record takes up to 14 bytes more, for time,
 * offset and length.
 */
export function sizeOfEncodedRecord(key: Bytes, value: Bytes, headers: readonly RecordHeader[] = noHeaders): number {
  const body = 3 + sizeOfBytes(lengthOfBytes(key)) + sizeOfBytes(lengthOfBytes(value)) + sizeOfHeaders(headers)
  return sizeOfVarint(body) + body
}

/**
 * Writes records straight into the buffer that is sent. The buffer starts with space for the batch header. Sealing
 * fills in the header and computes the CRC once.
 *
 *   buffer   [ 61 bytes left open | record 0 | record 1 | … space, doubled when needed … ]
 *
 * Appending copies the bytes of a record, so the caller may reuse its buffers at once. After `seal` the bytes belong to
 * the caller and are never written again; the writer starts over with a new buffer.
 */
export class RecordBatchWriter {
  readonly #maxBytes: number
  readonly #batchBuffers: BatchBufferPool | undefined
  #batchBuffer: Buffer | undefined
  /** Buffer that is lent from the pool: `#batchBuffer`, or the bytes of the last sealed batch. */
  #lent: LentBuffer | undefined
  #end = BATCH_HEADER_BYTES
  #count = 0
  #baseTimestampMs = 0
  #maxTimestampMs = 0
  /** Size of the last batch, and so the first size of the next buffer. */
  #expectedBytes = SMALLEST_BUFFER_BYTES

  /**
   * @param maxBytes limit of a whole batch, header included
   * @param batchBuffers pool of buffers; absent: fresh memory
   */
  constructor(maxBytes: number, batchBuffers?: BatchBufferPool) {
    this.#maxBytes = maxBytes
    this.#batchBuffers = batchBuffers
  }

  /** Limit of a whole batch, header included. */
  get maxBytes(): number {
    return this.#maxBytes
  }

  /** The first size of the next buffer. */
  get expectedBytes(): number {
    return this.#expectedBytes
  }

  get count(): number {
    return this.#count
  }

  /** Bytes of the batch so far, header included, before compression. */
  get sizeBytes(): number {
    return this.#end
  }

  /** The first record's timestamp; 0 while empty. */
  get baseTimestampMs(): number {
    return this.#baseTimestampMs
  }

  /** The latest timestamp; 0 while empty. */
  get maxTimestampMs(): number {
    return this.#maxTimestampMs
  }

  /**
   * Adds a record.
   *
   * @returns false, without a change, when the batch would grow beyond its limit. If the batch is empty, the record
   *   fits into no batch.
   */
  append(key: Bytes, value: Bytes, headers: readonly RecordHeader[] | undefined, timestampMs: number): boolean {
    const count = this.#count
    const timestampDelta = count === 0 ? 0 : timestampMs - this.#baseTimestampMs
    const keyLength = lengthOfBytes(key)
    const valueLength = lengthOfBytes(value)
    const headerBytes = headers === undefined || headers.length === 0 ? 1 : sizeOfHeaders(headers)
    const body =
      1 +
      sizeOfVarlong(timestampDelta) +
      sizeOfVarint(count) +
      sizeOfBytes(keyLength) +
      sizeOfBytes(valueLength) +
      headerBytes
    const end = this.#end + sizeOfVarint(body) + body
    if (end > this.#maxBytes) return false

    const batchBuffer =
      this.#batchBuffer !== undefined && end <= this.#batchBuffer.length ? this.#batchBuffer : this.#grow(end)
    let at = writeVarint(batchBuffer, body, this.#end)
    batchBuffer[at++] = 0
    at = writeVarlong(batchBuffer, timestampDelta, at)
    at = writeVarint(batchBuffer, count, at)
    at = writeBytes(batchBuffer, key, keyLength, at)
    at = writeBytes(batchBuffer, value, valueLength, at)
    if (headerBytes === 1) batchBuffer[at++] = 0
    else at = writeHeaders(batchBuffer, headers!, at)

    if (count === 0) this.#baseTimestampMs = this.#maxTimestampMs = timestampMs
    else if (timestampMs > this.#maxTimestampMs) this.#maxTimestampMs = timestampMs
    this.#count = count + 1
    this.#end = at
    return true
  }

  /**
   * Ends the batch and starts the next one. A batch that compression does not make smaller stays uncompressed.
   *
   * @throws RangeError when there is no record
   */
  seal(options: SealOptions): Buffer {
    if (this.#count === 0) throw new RangeError('a batch needs a record')
    const written = this.#batchBuffer!.subarray(0, this.#end)
    const batch = sealRecords(written, options, this)
    if (batch === written) this.#startOver()
    else this.reset()
    return batch
  }

  /** The last sealed batch had its last use; see {@link BatchBufferPool.give}. Ignored for other bytes. */
  release(batch: Buffer): void {
    const bytes = this.#lent?.bytes
    if (bytes?.byteOffset === batch.byteOffset && bytes.buffer === batch.buffer) this.#giveLent()
  }

  #giveLent(): void {
    if (this.#lent !== undefined) this.#batchBuffers!.give(this.#lent)
    this.#lent = undefined
  }

  reset(): void {
    if (this.#batchBuffer !== undefined) this.#giveLent()
    this.#startOver()
  }

  #startOver(): void {
    if (this.#count > 0) this.#expectedBytes = Math.max(SMALLEST_BUFFER_BYTES, this.#end)
    this.#batchBuffer = undefined
    this.#end = BATCH_HEADER_BYTES
    this.#count = this.#baseTimestampMs = this.#maxTimestampMs = 0
  }

  #grow(neededBytes: number): Buffer {
    const wanted = Math.max(
      neededBytes,
      this.#batchBuffer === undefined ? this.#expectedBytes : this.#batchBuffer.length * 2
    )
    const bytes = Math.min(this.#maxBytes, wanted)
    const lent = this.#batchBuffers?.take(bytes)
    const batchBuffer = lent === undefined ? Buffer.allocUnsafe(bytes) : lent.bytes
    if (this.#batchBuffer !== undefined) {
      batchBuffer.set(this.#batchBuffer.subarray(0, this.#end))
      this.#giveLent()
    }
    this.#lent = lent
    this.#batchBuffer = batchBuffer
    return batchBuffer
  }
}

type WrittenBatch = Pick<RecordBatchWriter, 'count' | 'baseTimestampMs' | 'maxTimestampMs'>

/** Fills in the header before the records. The result is a new buffer where compression makes the batch smaller. */
function sealRecords(batch: Buffer, options: SealOptions, records: WrittenBatch): Buffer {
  const { codec } = options
  if (codec === 'none') return writeBatchHeader(batch, options, codec, records)
  const compressed = compress(codec, batch.subarray(BATCH_HEADER_BYTES))
  if (BATCH_HEADER_BYTES + compressed.length >= batch.length) return writeBatchHeader(batch, options, 'none', records)
  const smaller = Buffer.allocUnsafe(BATCH_HEADER_BYTES + compressed.length)
  smaller.set(compressed, BATCH_HEADER_BYTES)
  return writeBatchHeader(smaller, options, codec, records)
}

function writeBatchHeader(
  batch: Buffer,
  producer: ProducerState,
  codec: CompressionCodec,
  records: WrittenBatch
): Buffer {
  batch.writeInt16BE(codecNumbers[codec], layout.AT_ATTRIBUTES)
  layout.writeInt32(batch, records.count - 1, layout.AT_LAST_OFFSET_DELTA)
  layout.writeInt64(batch, records.baseTimestampMs, layout.AT_BASE_TIMESTAMP)
  layout.writeInt64(batch, records.maxTimestampMs, layout.AT_MAX_TIMESTAMP)
  layout.writeInt32(batch, records.count, layout.AT_RECORD_COUNT)
  writeProducer(batch, producer)
  return batch
}

function writeProducer(
  batch: Buffer,
  { producerId, producerEpoch, baseSequence, isTransactional }: ProducerState
): void {
  if (isTransactional) batch[layout.AT_ATTRIBUTES + 1]! |= layout.TRANSACTIONAL_FLAG
  // Brokers count ids from 0, so that they are safe integers. BigInt arithmetic would create garbage.
  layout.writeInt64(batch, Number(producerId), layout.AT_PRODUCER_ID)
  batch.writeInt16BE(producerEpoch, layout.AT_PRODUCER_EPOCH)
  layout.writeInt32(batch, baseSequence, layout.AT_BASE_SEQUENCE)
  writeStart(batch)
}

/** The CRC-32C that zeroes in place of the start of a batch turn into that of no bytes. */
const CRC_BEFORE_ZEROES = 0xa0cadab3

/**
 * Writes the fields before the attributes, which the CRC does not cover. It is computed over the whole batch, with zeroes in their
 * place: a view of the other bytes would cost more than the CRC of a small batch.
 */
function writeStart(batch: Buffer): void {
  for (let at = 0; at < layout.AT_ATTRIBUTES; at++) batch[at] = 0
  const crc = crc32c(batch, CRC_BEFORE_ZEROES)
  layout.writeInt32(batch, batch.length - layout.LOG_OVERHEAD_BYTES, layout.AT_BATCH_LENGTH)
  layout.writeInt32(batch, -1, layout.AT_LEADER_EPOCH)
  batch[layout.AT_MAGIC] = 2
  layout.writeInt32(batch, crc, layout.AT_CRC)
}

/** A copy of a sealed batch with another id, epoch or sequence, for a broker that has forgotten the producer. */
export function resealBatch(batch: Buffer, producer: ProducerState): Buffer {
  const copy = Buffer.allocUnsafe(batch.length)
  copy.set(batch)
  writeProducer(copy, producer)
  return copy
}

const SMALLEST_POOLED_BYTES = 1024
/**
 * Up to this size, buffers have a multiple of 256 bytes. Larger ones have a power of two. Batches of one record in thousands of
 * partitions take less memory by this, so more of them stay in the cache of the processor.
 */
const MOST_FINELY_SIZED_BYTES = 4 * 1024
const FINE_STEP_BYTES = 256
/** Buffers smaller than this share a piece of memory of this size. */
const CHUNK_BYTES = 64 * 1024
/** The size of the buffer in which so many bytes are kept. */
const pooledSizeOf = (bytes: number): number => {
  if (bytes > MOST_FINELY_SIZED_BYTES) return 2 * (1 << (31 - Math.clz32(bytes - 1)))
  return Math.max(SMALLEST_POOLED_BYTES, (bytes + FINE_STEP_BYTES - 1) & -FINE_STEP_BYTES)
}
/** Unused bytes beyond twice the limit of a pool that are kept while other buffers of their pieces are lent. */
const KEPT_BESIDE_LENT_BYTES = 1024 * 1024

/** A buffer that is lent. `chunk`: the piece of memory that it is part of; `undefined`: it is not kept. */
interface LentBuffer {
  readonly bytes: Buffer
  readonly chunk?: BufferChunk
  isLent: boolean
}

/** A piece of memory, divided into buffers of one size. */
class BufferChunk {
  readonly bufferBytes: number
  readonly count: number
  readonly free: LentBuffer[] = []
  /** The pool does not take its buffers back any more. */
  isDropped = false

  constructor(bufferBytes: number) {
    const memory = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, bufferBytes))
    this.bufferBytes = bufferBytes
    this.count = Math.floor(memory.length / bufferBytes)
    for (let at = this.count - 1; at >= 0; at--) {
      const bytes = memory.subarray(at * bufferBytes, (at + 1) * bufferBytes)
      this.free.push({ bytes, chunk: this, isLent: false })
    }
  }
}

/**
 * Keeps used buffers for later batches. Fresh memory costs a page fault per 4 KiB, which is half the time of encoding a
 * batch. A caller may give back the bytes of a batch after their last use. Bytes that are not given back are
 * garbage-collected.
 *
 * Small buffers share pieces of memory. With one record in each of thousands of batches, a
 * piece for each batch costs more than all other work for the batch. The unused bytes are bounded. When there are too
 * many, a piece is dropped after its last buffer is given back. When there are twice as many, a piece is dropped earlier:
 * a buffer that was sent twice is never given back, so the last buffer of its piece never comes.
 */
export class BatchBufferPool {
  readonly #maxBytes: number
  /** Chunks with a free buffer, by the size of their buffers. */
  readonly #open = new Map<number, BufferChunk[]>()
  #freeBytes = 0

  /** @param maxBytes that may be kept for later batches */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Bytes of the buffers that are not lent. */
  get freeBytes(): number {
    return this.#freeBytes
  }

  /** A buffer of at least this many bytes, with arbitrary content. One that is too large to be kept has exactly this size. */
  take(bytes: number): LentBuffer {
    if (bytes > CHUNK_BYTES && bytes > this.#maxBytes) return { bytes: Buffer.allocUnsafeSlow(bytes), isLent: true }
    const size = pooledSizeOf(bytes)
    const open = this.#openOf(size)
    const chunk = open.at(-1) ?? this.#newChunk(size, open)
    const buffer = chunk.free.pop()!
    buffer.isLent = true
    this.#freeBytes -= size
    if (chunk.free.length === 0) open.pop()
    return buffer
  }

  /**
   * Takes back a buffer, once. The caller must be certain that neither a socket nor a retry still uses it: it is lent as the same
   * object again.
   */
  give(buffer: LentBuffer): void {
    const { chunk } = buffer
    if (chunk === undefined || chunk.isDropped || !buffer.isLent) return
    buffer.isLent = false
    chunk.free.push(buffer)
    this.#freeBytes += chunk.bufferBytes
    const open = this.#openOf(chunk.bufferBytes)
    if (chunk.free.length === 1) open.push(chunk)
    const isUnused = chunk.free.length === chunk.count
    if (this.#freeBytes <= (isUnused ? this.#maxBytes : 2 * this.#maxBytes + KEPT_BESIDE_LENT_BYTES)) return
    open.splice(open.lastIndexOf(chunk), 1)
    chunk.isDropped = true
    this.#freeBytes -= chunk.free.length * chunk.bufferBytes
  }

  #openOf(size: number): BufferChunk[] {
    const open = this.#open.get(size)
    if (open !== undefined) return open
    const none: BufferChunk[] = []
    this.#open.set(size, none)
    return none
  }

  #newChunk(size: number, open: BufferChunk[]): BufferChunk {
    const chunk = new BufferChunk(size)
    this.#freeBytes += chunk.count * size
    open.push(chunk)
    return chunk
  }
}
