import type { KafkaRecord, Offset, RecordBatch } from '../../core/model.js'
import type { OffsetTracker } from './offset-tracker.js'

/** Walks through the records of a partition, batch by batch. */
export class BatchCursor {
  #batch: RecordBatch | undefined
  /** The next record of the batch. */
  #index = 0
  /** The next offset to read. */
  position: Offset

  constructor(position: Offset) {
    this.position = position
  }

  get hasBatch(): boolean {
    return this.#batch !== undefined
  }

  /** A batch that was read at the position. */
  take(batch: RecordBatch): void {
    this.#batch = batch
    this.#index = 0
  }

  /** Forgets the batch; what was not walked through is to be read again. */
  drop(): void {
    this.#batch = undefined
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
