import { HEADER_OBJECT_BYTES, ownRecordOf } from '../../core/bytes.js'
import { type KafkaRecord, type Offset, type RecordBatch, sizeOfRecord } from '../../core/model.js'
import type { OffsetTracker } from './offset-tracker.js'

export interface BatchHolder {
  dropBatch(): void
}

/** Limits the bytes of the batches that all groups hold. The least recently used batch is dropped first. */
export class HeldBatches {
  readonly #maxBytes: number
  /** The size of the batch of each holder, least recently used first. */
  readonly #held = new Map<BatchHolder, number>()
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Whether a batch may be fetched before it is asked for. Half of the limit is left to those that are asked for. */
  mayReadAhead(bytes: number): boolean {
    return this.#bytes + bytes <= this.#maxBytes / 2
  }

  hold(holder: BatchHolder, bytes: number): void {
    this.release(holder)
    this.#held.set(holder, bytes)
    this.#bytes += bytes
    // Below the limit, no batch is searched for: the search passes all batches that were given up.
    if (this.#bytes <= this.#maxBytes) return
    for (const [other] of this.#held) {
      if (this.#bytes <= this.#maxBytes || other === holder) break
      this.release(other)
      other.dropBatch()
    }
  }

  /**
   * A compressed batch counts decompressed: its next record keeps some of that. Where batches do not fit decompressed, each
   * record of each in turn has one decompressed again.
   */
  holdOpen(holder: BatchHolder, { heapBytes = 0, sizeBytes }: RecordBatch): void {
    this.hold(holder, Math.max(heapBytes, sizeBytes))
  }

  release(holder: BatchHolder): void {
    this.#bytes -= this.#held.get(holder) ?? 0
    this.#held.delete(holder)
  }
}

/** Memory of a record besides its bytes: its object, and the objects of its key and value. */
const RECORD_BYTES = 300

export const heldBytesOf = (record: KafkaRecord): number =>
  sizeOfRecord(record) + RECORD_BYTES + HEADER_OBJECT_BYTES * record.headers.length

/**
 * Copies records that would keep more than twice what {@link heldBytesOf} counts, as a few of a large batch do. Others stay
 * views: so all of a batch cost no copy.
 *
 * @param records those of one batch one after another
 * @param smallBytes memory up to this size is kept in any case
 */
export function copyFewOfMany(records: readonly KafkaRecord[], from = 0, smallBytes = Buffer.poolSize): void {
  for (let at = from, end = from; at < records.length; at = end) {
    const memory = memoryOf(records[at]!)
    let bytes = 0
    do bytes += heldBytesOf(records[end]!)
    while (++end < records.length && memoryOf(records[end]!) === memory)
    if (memory === undefined || memory.byteLength <= Math.max(smallBytes, 2 * bytes)) continue
    for (; at < end; at++) Object.assign(records[at]!, ownRecordOf(records[at]!))
  }
}

/** Most batches above this size were compressed: their memory is counted while their records are not in use. */
const LARGE_BATCH_BYTES = 1024 * 1024

/** Lets a record that may wait for its client keep no large batch. */
export function leaveLargeBatch(record: KafkaRecord): void {
  if ((memoryOf(record)?.byteLength ?? 0) > LARGE_BATCH_BYTES) copyFewOfMany([record], 0, LARGE_BATCH_BYTES)
}

/** `undefined`: all of the record is null. */
const memoryOf = ({ key, value, headers }: KafkaRecord): ArrayBufferLike | undefined =>
  (value ?? key ?? headers.find(header => header.value !== null)?.value)?.buffer

export class BatchCursor {
  #batch: RecordBatch | undefined
  #index = 0
  position: Offset

  constructor(position: Offset) {
    this.position = position
  }

  get hasBatch(): boolean {
    return this.#batch !== undefined
  }

  /** The offset after the last record that was read: after the batch in memory, whose records were not all returned. */
  get readEnd(): Offset {
    return this.#batch?.nextOffset ?? this.position
  }

  take(batch: RecordBatch): void {
    this.#batch = batch
    this.#index = 0
  }

  drop(): void {
    this.#batch = undefined
  }

  /** Goes back to an offset. The batch is dropped if it begins behind it. */
  goBackTo(offset: Offset): void {
    this.position = offset
    this.#index = 0
    if (this.#batch !== undefined && this.#batch.offset > offset) this.#batch = undefined
  }

  /**
   * The next record that is neither acknowledged nor offered; `undefined` at the end of the batch. Offsets without a record
   * (control batches, aborted transactions, compaction) count as acknowledged.
   */
  next(tracker: OffsetTracker): KafkaRecord | undefined {
    const batch = this.#batch
    if (!batch) return undefined
    while (this.#index < batch.recordCount) {
      const record = batch.at(this.#index++)
      if (record.offset < this.position) continue
      this.#passTo(record.offset, tracker)
      this.position = record.offset + 1
      if (!tracker.isAcked(record.offset) && !tracker.isAcquired(record.offset)) return record
    }
    this.#passTo(batch.nextOffset, tracker)
    this.#batch = undefined
    return undefined
  }

  #passTo(offset: Offset, tracker: OffsetTracker): void {
    if (offset <= this.position) return
    tracker.skipped(this.position, offset)
    this.position = offset
  }
}
