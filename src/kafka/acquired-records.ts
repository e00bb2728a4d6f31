import { ownRecordOf } from '../core/bytes.js'
import { ProtocolError } from '../core/errors.js'
import type { KafkaRecord, Offset, RecordBatch } from '../core/model.js'
import { decodeFetchedRecords, type FetchedRecords } from './fetched-records.js'
import type { DecompressionAllowance } from './packed-records.js'
import * as layout from './record-batch-layout.js'

/** Both ends are included. */
export interface OffsetRange {
  readonly first: Offset
  readonly last: Offset
}

/** A range of offsets that a member of a share group has acquired, as brokers tell it; `undefined`: beyond 2^53. */
export interface ToldRange {
  readonly first: Offset | undefined
  readonly last: Offset | undefined
  /** How often the records of the range were acquired, this time included. */
  readonly deliveryCount: number
}
interface AcquiredRange extends OffsetRange {
  readonly deliveryCount: number
}

/** Contents of the acquired offsets of one partition, each list in the order of offsets. */
export interface AcquiredRecords {
  /** Key, value and headers are copies. */
  readonly records: readonly { readonly record: KafkaRecord; readonly deliveryCount: number }[]
  /** Offsets without a record: compacted, aborted, or of a control batch. */
  readonly gaps: readonly OffsetRange[]
  /** Offsets whose records cannot be read: their batch is damaged or too large, or its codec is missing. */
  readonly unreadable: readonly (OffsetRange & { readonly reason: string })[]
}

/**
 * Reads the acquired records of one partition in a ShareFetch response. The bytes are whole batches, which may have records
 * that were not acquired.
 *
 *   acquired 4-9    batches 0-5, damaged, 8-9 without 8   =>   records 4, 5, 9; gap 8; unreadable 6-7
 *
 * The offsets of a damaged batch are not trusted: what is acquired between its neighbours cannot be read.
 *
 * @throws ProtocolError when the ranges overlap or are impossible, or one was never delivered
 */
export function readAcquired(
  bytes: Buffer,
  ranges: readonly ToldRange[],
  allowance: DecompressionAllowance
): AcquiredRecords {
  const offsets = new AcquiredOffsets(ranges)
  let damage: string | undefined
  for (let at = 0, end = 0; at < bytes.length && offsets.next !== undefined; at = end) {
    end = endOfBatch(bytes, at)
    const batch = bytes.subarray(at, end)
    // Batches before the next acquired offset are passed, and stay compressed.
    const fetched = decodeFetchedRecords(batch, { fetchOffset: offsets.next, abortedTransactions: [], allowance })
    const isDamaged = fetched.corruption !== undefined || fetched.hasPartialBatch
    if (isDamaged) damage ??= fetched.corruption?.reason ?? 'the batch is cut'
    else {
      const base = layout.readInt64(batch, 0)
      const last = base + batch.readInt32BE(layout.AT_LAST_OFFSET_DELTA)
      offsets.pass(base - 1, damage)
      damage = undefined
      const problem = problemOf(fetched)
      if (problem === undefined) offsets.read(last, fetched.batches[0])
      else offsets.pass(last, problem)
    }
  }
  offsets.pass(Number.MAX_SAFE_INTEGER, damage)
  const { records, gaps, unreadable } = offsets
  return { records, gaps, unreadable }
}

/** Where the batch at `at` ends by its length; the end of the bytes when the length is impossible. */
function endOfBatch(bytes: Buffer, at: number): number {
  if (bytes.length - at < layout.LOG_OVERHEAD_BYTES) return bytes.length
  const length = bytes.readInt32BE(at + layout.AT_BATCH_LENGTH)
  const end = at + layout.LOG_OVERHEAD_BYTES + length
  return length > 0 && end < bytes.length ? end : bytes.length
}

/** Why the records of a batch that is not damaged cannot be read; `undefined`: they can. */
function problemOf({ unavailable, tooLarge, isLeftOut }: FetchedRecords): string | undefined {
  if (tooLarge !== undefined) return `the batch is larger than ${tooLarge.maxBytes} bytes when it is decompressed`
  if (isLeftOut) return 'other batches of the same answer have used up the memory for decompressed records'
  return unavailable?.reason
}

/** Acquired offsets, which are passed or read once each, in order. */
class AcquiredOffsets implements AcquiredRecords {
  readonly records: { readonly record: KafkaRecord; readonly deliveryCount: number }[] = []
  readonly gaps: OffsetRange[] = []
  readonly unreadable: (OffsetRange & { readonly reason: string })[] = []
  readonly #ranges: readonly AcquiredRange[]
  /** The place of the range that has the next offset. */
  #at = 0
  /** The first offset that was neither passed nor read; `undefined`: there is none. */
  next: Offset | undefined

  constructor(ranges: readonly ToldRange[]) {
    this.#ranges = checked(ranges)
    this.next = this.#ranges[0]?.first
  }

  /**
   * Passes the offsets up to `last`.
   *
   * @param problem why their records cannot be read; `undefined`: they have none
   */
  pass(last: Offset, problem: string | undefined): void {
    for (const part of this.#upTo(last)) {
      if (problem === undefined) this.#addGap(part.first, part.last)
      else this.unreadable.push({ first: part.first, last: part.last, reason: problem })
    }
  }

  /**
   * Reads the records up to `lastOffset`, the last offset of a batch.
   *
   * @param batch its records from `next` on; `undefined`: it has none
   */
  read(lastOffset: Offset, batch: RecordBatch | undefined): void {
    for (const { first, last, deliveryCount } of this.#upTo(lastOffset)) {
      let next = first
      const records = batch === undefined || first <= batch.offset ? batch : batch.sliceFrom(first)
      for (const record of records ?? []) {
        if (record.offset > last) break
        this.#addGap(next, record.offset - 1)
        this.records.push({ record: ownRecordOf(record), deliveryCount })
        next = record.offset + 1
      }
      this.#addGap(next, last)
    }
  }

  /** Nothing is added when `last` is before `first`. */
  #addGap(first: Offset, last: Offset): void {
    if (last < first) return
    const before = this.gaps.at(-1)
    if (before?.last === first - 1) this.gaps[this.gaps.length - 1] = { first: before.first, last }
    else this.gaps.push({ first, last })
  }

  *#upTo(last: Offset): Generator<AcquiredRange> {
    while (this.next !== undefined && this.next <= last) {
      const range = this.#ranges[this.#at]!
      const part = { ...range, first: this.next, last: Math.min(last, range.last) }
      this.next = part.last < range.last ? part.last + 1 : this.#ranges[++this.#at]?.first
      yield part
    }
  }
}

/** The ranges in the order of offsets. */
function checked(ranges: readonly ToldRange[]): AcquiredRange[] {
  let end = -1
  const sorted = ranges.toSorted((one, other) => (one.first ?? 0) - (other.first ?? 0))
  return sorted.map(({ first, last, deliveryCount }) => {
    if (first === undefined || last === undefined || first <= end || last < first) {
      throw new ProtocolError(`the acquired offsets ${first} to ${last} after ${end}`)
    }
    if (deliveryCount < 1) throw new ProtocolError(`a delivery count of ${deliveryCount}`)
    end = last
    return { first, last, deliveryCount }
  })
}
