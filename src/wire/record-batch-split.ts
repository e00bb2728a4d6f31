import { codecOf, decompress } from './compression.js'
import * as layout from './record-batch-layout.js'
import { type SealOptions, sealRecords } from './record-batch-writer.js'
import { RecordCursor } from './record-cursor.js'
import { indexRecords } from './record-index.js'
import { sizeOfVarint, writeVarint } from './varint.js'

const { BATCH_HEADER_BYTES } = layout
/** Our own batches need no bound of their own; their length is an i32. */
const LARGEST_BATCH_BYTES = 0x7fffffff

/** Records in a sealed batch. */
export const recordCountOf = (batch: Buffer): number => batch.readInt32BE(layout.AT_RECORD_COUNT)

/** A batch we sealed ourselves, opened again to be sent in smaller parts. */
export interface OpenedBatch {
  readonly count: number
  /** Uncompressed, at their positions behind a header that is not there. */
  readonly records: Buffer
  readonly positions: Uint32Array
  readonly baseTimestampMs: number
}

/** Opens a batch of {@link RecordBatchWriter}; compressed ones are decompressed. */
export function openBatch(batch: Buffer): OpenedBatch {
  const codec = codecOf(batch.readInt16BE(layout.AT_ATTRIBUTES) & layout.CODEC_MASK) ?? 'none'
  const records = decompress(codec, batch.subarray(BATCH_HEADER_BYTES), LARGEST_BATCH_BYTES)
  const count = recordCountOf(batch)
  return {
    count,
    records,
    positions: indexRecords(records, 0, count, count - 1).positions,
    baseTimestampMs: layout.readInt64(batch, layout.AT_BASE_TIMESTAMP)
  }
}

/** Seals the records from index `from` up to, and without, `to` as a batch of their own. */
export function sealPart(opened: OpenedBatch, from: number, to: number, options: SealOptions): Buffer {
  const { records, positions } = opened
  const target = Buffer.allocUnsafe(BATCH_HEADER_BYTES + positions[to]! - positions[from]!)
  let at = BATCH_HEADER_BYTES
  let maxDelta = Number.NEGATIVE_INFINITY
  for (let index = from; index < to; index++) {
    const cursor = new RecordCursor(records, positions[index]!, positions[index + 1]!)
    cursor.varint()
    const start = cursor.at
    cursor.skip(1)
    maxDelta = Math.max(maxDelta, cursor.varlong())
    const deltaAt = cursor.at
    cursor.varint()
    at = writeRecord(
      target,
      at,
      index - from,
      records.subarray(start, deltaAt),
      records.subarray(cursor.at, positions[index + 1])
    )
  }
  return sealRecords(target.subarray(0, at), {
    ...options,
    count: to - from,
    baseTimestampMs: opened.baseTimestampMs,
    maxTimestampMs: opened.baseTimestampMs + maxDelta
  })
}

/** A record with another offset delta: never larger than before, since offsets of a part start again at 0. */
function writeRecord(target: Buffer, at: number, offsetDelta: number, before: Buffer, after: Buffer): number {
  at = writeVarint(target, before.length + sizeOfVarint(offsetDelta) + after.length, at)
  target.set(before, at)
  at = writeVarint(target, offsetDelta, at + before.length)
  target.set(after, at)
  return at + after.length
}

/**
 * Halves of a batch that was too large, the second one's sequence following the first one's.
 *
 * @throws RangeError when there is only one record
 */
export function splitBatch(batch: Buffer, options: SealOptions): readonly [first: Buffer, second: Buffer] {
  const opened = openBatch(batch)
  if (opened.count < 2) throw new RangeError('a batch of one record cannot be split')
  const half = opened.count >>> 1
  return [
    sealPart(opened, 0, half, options),
    sealPart(opened, half, opened.count, { ...options, baseSequence: nextSequence(options.baseSequence, half) })
  ]
}

/** The sequence `count` records later; wraps from 2147483647 to 0. Stays -1 without a producer id. */
export const nextSequence = (sequence: number, count: number): number =>
  sequence < 0 ? sequence : (sequence + count) % 0x80000000
