import type { Offset } from '../core/model.js'
import { type AbortedTransaction, AbortedTransactions } from './aborted-transactions.js'
import { CodecUnavailableError } from './codec-unavailable-error.js'
import { codecOf } from './compression.js'
import { crc32c } from './crc32c.js'
import type { DecompressionAllowance } from './decompression-allowance.js'
import type { FetchedRecords } from './fetched-records.js'
import { type BatchContext, LazyRecordBatch } from './lazy-record-batch.js'
import { openRecords, PlainRecords, type RecordSource } from './packed-records.js'
import * as layout from './record-batch-layout.js'

const { BATCH_HEADER_BYTES, LOG_OVERHEAD_BYTES } = layout
/** A batch that claims more could never arrive in one response, so it is damaged rather than cut. */
const MAX_BATCH_BYTES = 256 * 1024 * 1024

export interface FetchedRecordsContext {
  readonly fetchOffset: Offset
  /** Empty unless only committed records are wanted. */
  readonly abortedTransactions: readonly AbortedTransaction[]
  /** Limits the decompressed size of the response. */
  readonly allowance: DecompressionAllowance
}

/** The header of a batch in a record set. */
interface BatchHeader {
  /** Where the batch starts and ends in the record set. */
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
/** Why no further batch is looked at. */
type Stop =
  | { readonly type: 'damaged'; readonly reason: string }
  | { readonly type: 'leftOut' }
  | { readonly type: 'unavailable'; readonly reason: string }
  | { readonly type: 'tooLarge'; readonly maxBytes: number; readonly nextOffset: Offset }

/** Walks through the record set of a partition. The bytes are only read; batches get their own copies. */
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

  /** Delivers or skips one whole batch, unless there is a reason to stop in front of it. */
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

/** Finds and checks the records of a batch; what came compressed is kept compressed. */
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
      return { type: 'opened', source: new PlainRecords(openRecords(own, recordCount, lastOffsetDelta)) }
    }
    const unpacked = allowance.unpack({ codec, bytes: own, recordCount, lastOffsetDelta })
    return unpacked.type === 'tooLarge' ? { ...unpacked, nextOffset: lastOffset + 1 } : unpacked
  } catch (error) {
    if (error instanceof CodecUnavailableError) return { type: 'unavailable', reason: error.message }
    return { type: 'damaged', reason: `the records cannot be read (${codec}): ${(error as Error).message}` }
  }
}

/** The records from `fromOffset` on; nothing when there are none. */
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
 * Where reading may go on behind the damaged batch at `at`: at the next batch when that one is whole; behind the last
 * offset the damaged one names, when its own record count confirms it; else one offset further, which may run into the
 * same batch again but skips nothing that is good.
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
