import type { Offset, RecordBatch } from '../core/model.js'
import { messageOf } from '../core/node-errors.js'
import { codecOf } from './compression.js'
import { CodecUnavailableError, DecompressionLimitError } from './compression-errors.js'
import { crc32c } from './crc32c.js'
import { type DecompressionAllowance, openRecords, PlainRecords, type RecordSource } from './packed-records.js'
import * as layout from './record-batch-layout.js'
import { type BatchContext, LazyRecordBatch } from './record-batches.js'

/**
 * The records of one partition in a Fetch response, indexed but not decoded. A batch that the broker truncated at the byte limit is
 * left out. Control batches, aborted transactions (read_committed) and records before `fetchOffset` are skipped.
 */
export interface FetchedRecords {
  /** Bytes of the partition's record set as received. */
  readonly sizeBytes: number
  /** The batches to deliver, in offset order, up to the first damaged one. Each has a copy of its bytes. */
  readonly batches: readonly RecordBatch[]
  /**
   * The next offset to fetch: the offset after the last whole batch, delivered or skipped. It is computed from
   * lastOffsetDelta, so it passes compacted records and empty batches. If no whole batch was received, it is the fetch
   * offset.
   */
  readonly nextOffset: Offset
  /** True when the last bytes are not a whole batch, which is normal at the byte limit. */
  readonly hasPartialBatch: boolean
  /**
   * The first damaged batch. `offset` is where the damage starts, at or after the fetch offset. `nextOffset` is the
   * offset to try next: the base offset of the next batch if that batch is whole, else the offset after the damaged
   * batch if its lastOffsetDelta is plausible, else `offset + 1`.
   */
  readonly corruption: { readonly offset: Offset; readonly nextOffset: Offset; readonly reason: string } | undefined
  /** True when batches were left out because earlier ones used up the memory allowed for the response. */
  readonly isLeftOut: boolean
  /** The batch after `batches` when its codec cannot be loaded. */
  readonly unavailable?: { readonly offset: Offset; readonly reason: string } | undefined
  /** The batch after `batches` when it alone takes more memory than a response may take. */
  readonly tooLarge: { readonly offset: Offset; readonly nextOffset: Offset; readonly maxBytes: number } | undefined
}

const { BATCH_HEADER_BYTES, LOG_OVERHEAD_BYTES } = layout
/** No larger batch fits into one response, so a batch that claims more bytes is damaged. */
const MAX_BATCH_BYTES = 256 * 1024 * 1024

export interface FetchedRecordsContext {
  readonly fetchOffset: Offset
  /** Empty when uncommitted records are read as well. */
  readonly abortedTransactions: readonly AbortedTransaction[]
  /** Limits the decompressed size of the response. */
  readonly allowance: DecompressionAllowance
}

interface BatchHeader {
  /** Positions of the start and the end of the batch in the record set. */
  readonly start: number
  readonly end: number
  readonly baseOffset: Offset
  readonly lastOffset: Offset
  readonly attributes: number
  readonly recordCount: number
}
type Looked =
  | { readonly type: 'batch'; readonly header: BatchHeader }
  | { readonly type: 'partial' }
  | { readonly type: 'damaged'; readonly reason: string }
/** The reason why decoding stops before a batch. */
type Stop =
  | { readonly type: 'damaged'; readonly reason: string }
  | { readonly type: 'leftOut' }
  | { readonly type: 'unavailable'; readonly reason: string }
  | { readonly type: 'tooLarge'; readonly maxBytes: number; readonly nextOffset: Offset }

/** Decodes the record set of a partition. The bytes are not changed; batches get copies. */
export function decodeFetchedRecords(bytes: Buffer, context: FetchedRecordsContext): FetchedRecords {
  const aborted = new AbortedTransactions(context.abortedTransactions)
  const batches: LazyRecordBatch[] = []
  let nextOffset = context.fetchOffset
  let at = 0
  let stop: Stop | undefined
  while (at < bytes.length) {
    const looked = lookAt(bytes, at)
    if (looked.type === 'partial') break
    stop = looked.type === 'damaged' ? looked : take(looked.header)
    if (stop) break
    at = (looked as { header: BatchHeader }).header.end
  }
  return {
    sizeBytes: bytes.length,
    batches,
    nextOffset,
    hasPartialBatch: stop === undefined && at < bytes.length,
    isLeftOut: stop?.type === 'leftOut',
    unavailable: stop?.type === 'unavailable' ? { offset: nextOffset, reason: stop.reason } : undefined,
    tooLarge: stop?.type === 'tooLarge' ? { ...stop, offset: nextOffset } : undefined,
    corruption:
      stop?.type === 'damaged'
        ? { offset: nextOffset, nextOffset: offsetAfterDamage(bytes, at, nextOffset), reason: stop.reason }
        : undefined
  }

  /** Delivers or skips one whole batch, or returns the reason to stop before it. */
  function take(header: BatchHeader): Stop | undefined {
    const isWanted = header.lastOffset >= nextOffset && aborted.isDelivered(header, bytes)
    if (isWanted && header.recordCount > 0) {
      const opened = openBatch(bytes, header, context.allowance)
      if (opened.type !== 'opened') return opened
      const batch = batchOf(bytes, header, opened.source, nextOffset)
      if (batch !== undefined) {
        batches.at(-1)?.extendTo(batch.offset)
        batches.push(batch)
      }
    }
    nextOffset = Math.max(nextOffset, header.lastOffset + 1)
    batches.at(-1)?.extendTo(nextOffset)
    return undefined
  }
}

/** Reads and checks the header at `at`, and the CRC of the whole batch. */
function lookAt(bytes: Buffer, at: number): Looked {
  if (bytes.length - at < LOG_OVERHEAD_BYTES) return { type: 'partial' }
  const length = bytes.readInt32BE(at + layout.AT_BATCH_LENGTH)
  const magicAt = at + layout.AT_MAGIC
  if (magicAt < bytes.length && bytes[magicAt] !== 2) {
    const magic = bytes[magicAt]!
    return damaged(magic < 2 ? `message format ${magic}, older than Kafka 0.11, is not read` : `magic is ${magic}`)
  }
  if (length < BATCH_HEADER_BYTES - LOG_OVERHEAD_BYTES || length > MAX_BATCH_BYTES) {
    return damaged(`the length of a batch is ${length}`)
  }
  const end = at + LOG_OVERHEAD_BYTES + length
  if (end > bytes.length) return { type: 'partial' }
  if (crc32c(bytes.subarray(at + layout.AT_ATTRIBUTES, end)) !== bytes.readUInt32BE(at + layout.AT_CRC)) {
    return damaged('the CRC does not match')
  }
  return headerOf(bytes, at, end)
}

const damaged = (reason: string): Extract<Looked, { type: 'damaged' }> => ({ type: 'damaged', reason })

function headerOf(bytes: Buffer, start: number, end: number): Looked {
  const baseOffset = layout.readInt64(bytes, start)
  const lastOffsetDelta = bytes.readInt32BE(start + layout.AT_LAST_OFFSET_DELTA)
  const recordCount = bytes.readInt32BE(start + layout.AT_RECORD_COUNT)
  const lastOffset = baseOffset + lastOffsetDelta
  if (baseOffset < 0 || !Number.isSafeInteger(lastOffset + 1)) return damaged(`the base offset is ${baseOffset}`)
  if (lastOffsetDelta < 0) return damaged(`the last offset delta is ${lastOffsetDelta}`)
  if (recordCount < 0 || recordCount > lastOffsetDelta + 1) return damaged(`the number of records is ${recordCount}`)
  const attributes = bytes.readInt16BE(start + layout.AT_ATTRIBUTES)
  return { type: 'batch', header: { start, end, baseOffset, lastOffset, attributes, recordCount } }
}

/** Finds and checks the records of a batch. Compressed records stay compressed. */
function openBatch(
  bytes: Buffer,
  header: BatchHeader,
  allowance: DecompressionAllowance
): { readonly type: 'opened'; readonly source: RecordSource } | Stop {
  const { start, end, baseOffset, lastOffset, attributes, recordCount } = header
  const codecNumber = attributes & layout.CODEC_MASK
  const codec = codecOf(codecNumber)
  if (codec === undefined) return { type: 'damaged', reason: `the codec number ${codecNumber} is unknown` }
  const lastOffsetDelta = lastOffset - baseOffset
  try {
    const own = copyOf(bytes.subarray(start + BATCH_HEADER_BYTES, end))
    if (codec === 'none') {
      return {
        type: 'opened',
        source: new PlainRecords(openRecords(own, recordCount, lastOffsetDelta, allowance.maxBytes))
      }
    }
    const unpacked = allowance.unpack({ codec, bytes: own, recordCount, lastOffsetDelta })
    return unpacked.type === 'tooLarge' ? { ...unpacked, nextOffset: lastOffset + 1 } : unpacked
  } catch (error) {
    if (error instanceof DecompressionLimitError) {
      return { type: 'tooLarge', maxBytes: error.maxBytes, nextOffset: lastOffset + 1 }
    }
    if (error instanceof CodecUnavailableError) return { type: 'unavailable', reason: error.message }
    return { type: 'damaged', reason: `the records cannot be read (${codec}): ${messageOf(error)}` }
  }
}

/** The records from `fromOffset` on; `undefined`: there are none. */
function batchOf(
  bytes: Buffer,
  { start, baseOffset, lastOffset, attributes }: BatchHeader,
  source: RecordSource,
  fromOffset: Offset
): LazyRecordBatch | undefined {
  const maxTimestampMs = layout.readInt64(bytes, start + layout.AT_MAX_TIMESTAMP)
  const context: BatchContext = {
    source,
    baseOffset,
    leaderEpoch: bytes.readInt32BE(start + layout.AT_LEADER_EPOCH),
    origin: {
      baseOffset,
      lastOffset,
      producerId: layout.readInt64(bytes, start + layout.AT_PRODUCER_ID),
      producerEpoch: bytes.readInt16BE(start + layout.AT_PRODUCER_EPOCH),
      baseSequence: bytes.readInt32BE(start + layout.AT_BASE_SEQUENCE)
    },
    baseTimestampMs: layout.readInt64(bytes, start + layout.AT_BASE_TIMESTAMP),
    logAppendTimeMs: attributes & layout.LOG_APPEND_TIME_FLAG ? maxTimestampMs : undefined
  }
  const batch = new LazyRecordBatch(context, 0, lastOffset + 1)
  return batch.offset >= fromOffset ? batch : (batch.sliceFrom(fromOffset) as LazyRecordBatch | undefined)
}

function copyOf(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafe(bytes.length)
  copy.set(bytes)
  return copy
}

/**
 * The offset at which reading continues after the damaged batch at `at`. It is the base offset of the next batch if
 * that batch is whole, else the offset after the damaged batch if its record count confirms this offset. Otherwise it
 * is `offset + 1`, which may lead to the same batch again, but skips no good record.
 */
function offsetAfterDamage(bytes: Buffer, at: number, offset: Offset): Offset {
  if (bytes.length - at < BATCH_HEADER_BYTES) return offset + 1
  const length = bytes.readInt32BE(at + layout.AT_BATCH_LENGTH)
  const end = at + LOG_OVERHEAD_BYTES + length
  if (length > 0 && end < bytes.length) {
    const next = lookAt(bytes, end)
    if (next.type === 'batch' && next.header.baseOffset > offset) return next.header.baseOffset
  }
  const lastOffsetDelta = bytes.readInt32BE(at + layout.AT_LAST_OFFSET_DELTA)
  const lastOffset = layout.readInt64(bytes, at) + lastOffsetDelta
  const confirmed = bytes.readInt32BE(at + layout.AT_RECORD_COUNT) === lastOffsetDelta + 1
  const isPlausible = confirmed && lastOffset >= offset && lastOffset - lastOffsetDelta <= offset
  return isPlausible && Number.isSafeInteger(lastOffset + 1) ? lastOffset + 1 : offset + 1
}

/** An aborted transaction: all batches of its producer from `firstOffset` to its abort marker are void. */
interface AbortedTransaction {
  readonly producerId: bigint
  readonly firstOffset: Offset
}

/**
 * Decides for each batch, in offset order, whether it is delivered. Control batches and batches of aborted transactions
 * are skipped.
 */
class AbortedTransactions {
  /** Transactions that start after the present batch, sorted so that the next transaction is the last item. */
  readonly #ahead: AbortedTransaction[]
  readonly #open = new Set<bigint>()

  /** @param transactions the broker's list, which may contain transactions that start after the fetched records */
  constructor(transactions: readonly AbortedTransaction[]) {
    this.#ahead = [...transactions].sort((a, b) => b.firstOffset - a.firstOffset)
  }

  isDelivered({ start, lastOffset, attributes }: BatchHeader, bytes: Buffer): boolean {
    if (!(attributes & (layout.CONTROL_FLAG | layout.TRANSACTIONAL_FLAG))) return true
    while (this.#ahead.length > 0 && this.#ahead.at(-1)!.firstOffset <= lastOffset) {
      this.#open.add(this.#ahead.pop()!.producerId)
    }
    const producerId = bytes.readBigInt64BE(start + layout.AT_PRODUCER_ID)
    if (attributes & layout.CONTROL_FLAG) {
      // While an aborted transaction is open, the next marker of its producer is the abort marker.
      this.#open.delete(producerId)
      return false
    }
    return !this.#open.has(producerId)
  }
}
