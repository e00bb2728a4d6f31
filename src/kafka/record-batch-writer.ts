import type { Bytes, RecordHeader } from '../core/model.js'
import type { BatchBufferPool } from './batch-buffer-pool.js'
import { type CompressionCodec, codecNumbers, compress } from './compression.js'
import { crc32c } from './crc32c.js'
import * as layout from './record-batch-layout.js'
import { sizeOfVarint, sizeOfVarlong, writeVarint, writeVarlong } from './varint.js'

const { BATCH_HEADER_BYTES } = layout
const SMALLEST_SEGMENT_BYTES = 1024
const noHeaders: readonly RecordHeader[] = []

/** The producer of the batch. Brokers recognise duplicates by id, epoch and sequence. */
export interface ProducerState {
  readonly producerId: bigint
  readonly producerEpoch: number
  /** Sequence of the first record. */
  readonly baseSequence: number
}
export interface SealOptions extends ProducerState {
  readonly codec: CompressionCodec
}

/** A producer without an id: the broker appends each copy of its batches. */
export const noProducer: ProducerState = { producerId: -1n, producerEpoch: -1, baseSequence: -1 }

/** Up to this many characters a loop in JavaScript is faster than a call into C++. */
const SHORT_STRING_CHARACTERS = 24

function byteLengthOf(text: string): number {
  const length = text.length
  if (length > SHORT_STRING_CHARACTERS) return Buffer.byteLength(text)
  for (let index = 0; index < length; index++) if (text.charCodeAt(index) > 0x7f) return Buffer.byteLength(text)
  return length
}

const lengthOf = (bytes: Bytes): number =>
  bytes === null ? -1 : typeof bytes === 'string' ? byteLengthOf(bytes) : bytes.length

const sizeOfBytes = (length: number): number => (length < 0 ? 1 : sizeOfVarint(length) + length)

function sizeOfHeaders(headers: readonly RecordHeader[]): number {
  let size = sizeOfVarint(headers.length)
  for (const { key, value } of headers) size += sizeOfBytes(byteLengthOf(key)) + sizeOfBytes(lengthOf(value))
  return size
}

/** Bytes that the record takes as the first of a batch. Behind others it takes up to 14 more, for time, offset and length. */
export function sizeOfRecord(key: Bytes, value: Bytes, headers: readonly RecordHeader[] = noHeaders): number {
  const body = 3 + sizeOfBytes(lengthOf(key)) + sizeOfBytes(lengthOf(value)) + sizeOfHeaders(headers)
  return sizeOfVarint(body) + body
}

function writeBytes(target: Buffer, bytes: Bytes, length: number, at: number): number {
  at = writeVarint(target, length, at)
  if (length <= 0) return at
  if (typeof bytes !== 'string') target.set(bytes!, at)
  else writeString(target, bytes, length, at)
  return at + length
}

/** Buffer's own writers, which `write` only dispatches to; the types leave them out. */
interface DirectWriters {
  latin1Write(text: string, at: number, length: number): void
  utf8Write(text: string, at: number, length: number): void
}

/** As many bytes as characters means ASCII, which goes out without being transcoded. */
function writeString(target: Buffer, text: string, length: number, at: number): void {
  if (text.length !== length) (target as unknown as DirectWriters).utf8Write(text, at, length)
  else if (length > SHORT_STRING_CHARACTERS) (target as unknown as DirectWriters).latin1Write(text, at, length)
  else for (let index = 0; index < length; index++) target[at + index] = text.charCodeAt(index)
}

function writeHeaders(target: Buffer, headers: readonly RecordHeader[], at: number): number {
  at = writeVarint(target, headers.length, at)
  for (const { key, value } of headers) {
    at = writeBytes(target, key, byteLengthOf(key), at)
    at = writeBytes(target, value, lengthOf(value), at)
  }
  return at
}

/**
 * Writes records, as they arrive, straight into the bytes that will be sent: a buffer that starts with space for the
 * batch header. Sealing fills in the header and computes the CRC once.
 *
 *   buffer   [ 61 bytes left open | record 0 | record 1 | … space, doubled when needed … ]
 *
 * What was appended is copied; the caller may reuse its buffers at once. After `seal` the bytes belong to the caller
 * and are never written again; the writer starts over with a new buffer.
 */
export class RecordBatchWriter {
  readonly #maxBytes: number
  readonly #batchBuffers: BatchBufferPool | undefined
  #batchBuffer: Buffer | undefined
  #end = BATCH_HEADER_BYTES
  #count = 0
  #baseTimestampMs = 0
  #maxTimestampMs = 0
  /** Size of the last batch; the next one is likely to be as large. */
  #expectedBytes = SMALLEST_SEGMENT_BYTES

  /**
   * @param maxBytes of a whole batch, header included
   * @param buffers where buffers come from; absent: fresh memory
   */
  constructor(maxBytes: number, batchBuffers?: BatchBufferPool) {
    this.#maxBytes = maxBytes
    this.#batchBuffers = batchBuffers
  }

  /** Of a whole batch, header included. */
  get maxBytes(): number {
    return this.#maxBytes
  }

  /** Records in the batch. */
  get count(): number {
    return this.#count
  }

  /** Bytes of the batch so far, header included, before compression. */
  get sizeBytes(): number {
    return this.#end
  }

  /** Memory held, unused space included. */
  get heapBytes(): number {
    return this.#batchBuffer?.length ?? 0
  }

  /** The first record's timestamp; 0 while empty. */
  get baseTimestampMs(): number {
    return this.#baseTimestampMs
  }

  /**
   * Adds a record.
   *
   * @returns false, and nothing happened, when the batch would grow beyond its maximum. An empty batch that says so
   *   will never take this record.
   */
  append(key: Bytes, value: Bytes, headers: readonly RecordHeader[] | undefined, timestampMs: number): boolean {
    const count = this.#count
    const timestampDelta = count === 0 ? 0 : timestampMs - this.#baseTimestampMs
    const keyLength = lengthOf(key)
    const valueLength = lengthOf(value)
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
   * Ends the batch and starts the next one. A batch that does not shrink by compression goes uncompressed.
   *
   * @throws RangeError when there is no record
   */
  seal(options: SealOptions): Buffer {
    if (this.#count === 0) throw new RangeError('a batch needs a record')
    const batch = sealRecords(this.#batchBuffer!.subarray(0, this.#end), {
      producerId: options.producerId,
      producerEpoch: options.producerEpoch,
      baseSequence: options.baseSequence,
      codec: options.codec,
      count: this.#count,
      baseTimestampMs: this.#baseTimestampMs,
      maxTimestampMs: this.#maxTimestampMs
    })
    if (batch.buffer === this.#batchBuffer!.buffer) this.#startOver()
    else this.reset()
    return batch
  }

  /** Forgets all records. */
  reset(): void {
    if (this.#batchBuffer !== undefined) this.#batchBuffers?.give(this.#batchBuffer)
    this.#startOver()
  }

  #startOver(): void {
    if (this.#count > 0) this.#expectedBytes = Math.max(SMALLEST_SEGMENT_BYTES, this.#end)
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
    const batchBuffer = this.#batchBuffers !== undefined ? this.#batchBuffers.take(bytes) : Buffer.allocUnsafe(bytes)
    if (this.#batchBuffer !== undefined) {
      batchBuffer.set(this.#batchBuffer.subarray(0, this.#end))
      this.#batchBuffers?.give(this.#batchBuffer)
    }
    this.#batchBuffer = batchBuffer
    return batchBuffer
  }
}

/** Everything of a batch header that does not follow from its bytes. */
export interface BatchHeaderFields extends SealOptions {
  readonly count: number
  readonly baseTimestampMs: number
  readonly maxTimestampMs: number
}

/** Fills in the 61 bytes in front of the records; where compression pays, the result is a new buffer. */
function sealRecords(batch: Buffer, fields: BatchHeaderFields): Buffer {
  if (fields.codec === 'none') return writeBatchHeader(batch, fields)
  const compressed = compress(fields.codec, batch.subarray(BATCH_HEADER_BYTES))
  if (BATCH_HEADER_BYTES + compressed.length >= batch.length)
    return writeBatchHeader(batch, { ...fields, codec: 'none' })
  const smaller = Buffer.allocUnsafe(BATCH_HEADER_BYTES + compressed.length)
  smaller.set(compressed, BATCH_HEADER_BYTES)
  return writeBatchHeader(smaller, fields)
}

function writeBatchHeader(batch: Buffer, fields: BatchHeaderFields): Buffer {
  layout.writeInt64(batch, 0, 0)
  batch.writeInt32BE(batch.length - layout.LOG_OVERHEAD_BYTES, layout.AT_BATCH_LENGTH)
  batch.writeInt32BE(-1, layout.AT_LEADER_EPOCH)
  batch[layout.AT_MAGIC] = 2
  batch.writeInt16BE(codecNumbers[fields.codec], layout.AT_ATTRIBUTES)
  batch.writeInt32BE(fields.count - 1, layout.AT_LAST_OFFSET_DELTA)
  layout.writeInt64(batch, fields.baseTimestampMs, layout.AT_BASE_TIMESTAMP)
  layout.writeInt64(batch, fields.maxTimestampMs, layout.AT_MAX_TIMESTAMP)
  batch.writeInt32BE(fields.count, layout.AT_RECORD_COUNT)
  writeProducer(batch, fields)
  return batch
}

function writeProducer(batch: Buffer, { producerId, producerEpoch, baseSequence }: ProducerState): void {
  batch.writeBigInt64BE(producerId, layout.AT_PRODUCER_ID)
  batch.writeInt16BE(producerEpoch, layout.AT_PRODUCER_EPOCH)
  batch.writeInt32BE(baseSequence, layout.AT_BASE_SEQUENCE)
  batch.writeUInt32BE(crc32c(batch.subarray(layout.AT_ATTRIBUTES)), layout.AT_CRC)
}

/** A copy of a sealed batch with another id, epoch or sequence, for a broker that has forgotten the producer. */
export function resealBatch(batch: Buffer, producer: ProducerState): Buffer {
  const copy = Buffer.allocUnsafe(batch.length)
  copy.set(batch)
  writeProducer(copy, producer)
  return copy
}
