import type { Persisted, ProduceRecord, RecordFailure } from '../../core/model.js'
import type { BatchBufferPool } from '../../kafka/batch-buffer-pool.js'
import { RecordBatchWriter } from '../../kafka/record-batch-writer.js'
import { Batch, loneBatch } from './batch.js'
import type { BatchLimit } from './batch-limit.js'
import type { PartitionProducerSettings } from './partition-producer-deps.js'
import type { OutcomeReceiver } from './pending-produce.js'

/** Unsealed batches of a partition, oldest first; records are appended to the last one. */
export class WaitingBatches {
  readonly #settings: PartitionProducerSettings
  readonly #limit: BatchLimit
  readonly #batchBuffers: BatchBufferPool
  readonly #onFull: () => void
  #batches: Batch[] = []
  /** Of the last batch that was sealed; it expects the next one to be alike. */
  #spareWriter: RecordBatchWriter | undefined

  /** @param onFull called when a batch is full and another one begins */
  constructor(
    settings: PartitionProducerSettings,
    limit: BatchLimit,
    batchBuffers: BatchBufferPool,
    onFull: () => void
  ) {
    this.#settings = settings
    this.#limit = limit
    this.#batchBuffers = batchBuffers
    this.#onFull = onFull
  }

  get oldestAt(): number {
    return this.#batches[0]?.oldestAt ?? Number.POSITIVE_INFINITY
  }

  get isEmpty(): boolean {
    return this.#batches.length === 0
  }

  /** @returns bytes to charge */
  append(record: ProduceRecord, timestampMs: number, pendingProduce: OutcomeReceiver, index: number): number {
    const last = this.#batches[this.#batches.length - 1]
    const charge = last === undefined ? 0 : last.append(record, timestampMs, pendingProduce, index)
    if (charge > 0) return charge
    if (last !== undefined) this.#onFull()
    return this.#begin(this.#newBatch(), record, timestampMs, pendingProduce, index)
  }

  #begin(
    batch: Batch,
    record: ProduceRecord,
    timestampMs: number,
    pendingProduce: OutcomeReceiver,
    index: number
  ): number {
    const charge = batch.append(record, timestampMs, pendingProduce, index)
    if (charge === 0) {
      return this.#begin(loneBatch(record, this.#settings), record, timestampMs, pendingProduce, index)
    }
    this.#batches.push(batch)
    return charge
  }

  #newBatch(): Batch {
    const maxBytes = this.#limit.bytes
    const spare = this.#spareWriter?.maxBytes === maxBytes ? this.#spareWriter : undefined
    this.#spareWriter = undefined
    return new Batch(spare ?? new RecordBatchWriter(maxBytes, this.#batchBuffers), this.#settings)
  }

  /** The oldest. Never called when empty. */
  take(): Batch {
    return this.#batches.shift()!
  }

  takeAll(): readonly Batch[] {
    return this.#batches.splice(0)
  }

  /** Parts of one that was taken, to go before all others. */
  putBack(parts: readonly Batch[]): void {
    this.#batches.unshift(...parts)
  }

  /** Keeps the writer of a sealed batch for the next one. One that is made for another size of batches is not kept. */
  giveWriter(writer: RecordBatchWriter | undefined): void {
    if (writer?.maxBytes === this.#limit.bytes) this.#spareWriter ??= writer
  }

  /**
   * Ends the waits that are over; see {@link Batch.expire}.
   *
   * @param onEmpty called for a batch that lost its last record by that, and is dropped
   * @param topic named where records are lost
   * @returns how many records were taken out
   */
  expire(
    nowMs: number,
    failureOf: (persisted: Persisted) => RecordFailure,
    onEmpty: (batch: Batch) => void,
    topic?: string
  ): number {
    let withdrawn = 0
    for (const batch of this.#batches) withdrawn += batch.expire(nowMs, !batch.maybeWritten, failureOf, topic)
    if (withdrawn === 0) return 0
    for (const batch of this.#batches) if (batch.isEmpty) onEmpty(batch)
    this.#batches = this.#batches.filter(batch => !batch.isEmpty)
    return withdrawn
  }
}
