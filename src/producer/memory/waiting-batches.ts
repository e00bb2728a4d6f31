import type { MonotonicClock, Persisted, ProduceRecord, RecordFailure } from '../../core/model.js'
import { type BatchBufferPool, sizeOfEncodedRecord } from '../../kafka/record-batch-writer.js'
import { Batch, type BatchSettings } from './batch.js'
import type { OutcomeReceiver, Row } from './pending-produce.js'
import type { DeliverySettings } from './settings.js'

const NO_RECORDS = [0, 0] as const
/** The empty list that partitions with at most one batch share; never written to. */
const NO_BATCHES: Batch[] = []
/** Objects of delivered batches up to this size are for any partition. A larger one stays with its own: it knows the size. */
const SMALL_BYTES = 4096
/** Limit of the objects for any partition, of 400 bytes each. */
const MOST_SHARED = 20_000

/** The partition of waiting batches. */
export interface Batching {
  /** Limit of the size of a batch before compression. */
  readonly batchMaxBytes: number
  /** A batch is full, and another one begins. */
  batchClosed(): void
}

/** Unsealed batches of a partition, oldest first; records are appended to the last one. */
export class WaitingBatches {
  readonly #settings: DeliverySettings
  readonly #partition: Batching
  readonly #batchBuffers: BatchBufferPool
  readonly #shared: Batch[]
  /** The batch to which records are appended; `undefined`: there is none. */
  #last: Batch | undefined
  /** All but the last. */
  #before: Batch[] = NO_BATCHES
  /** The object of a delivered batch, for the next one: an object for each of many batches is much garbage. */
  #spareBatch: Batch | undefined

  /** @param shared objects of delivered small batches, for the next ones of all partitions */
  constructor(settings: DeliverySettings, partition: Batching, batchBuffers: BatchBufferPool, shared: Batch[]) {
    this.#settings = settings
    this.#partition = partition
    this.#batchBuffers = batchBuffers
    this.#shared = shared
  }

  get oldestAt(): number {
    return (this.#before[0] ?? this.#last)?.oldestAt ?? Number.POSITIVE_INFINITY
  }

  get isEmpty(): boolean {
    return this.#last === undefined
  }

  /** @returns the bytes to charge to the budget */
  append(record: ProduceRecord, timestampMs: number, pendingProduce: OutcomeReceiver, index: number): number {
    const last = this.#last
    const charge = last === undefined ? 0 : last.append(record, timestampMs, pendingProduce, index)
    if (charge > 0) return charge
    if (last !== undefined) this.#partition.batchClosed()
    return this.#begin(this.#newBatch(), record, timestampMs, pendingProduce, index)
  }

  /**
   * Appends records in a row to the batch that is open.
   *
   * @returns how many of them it took, and the bytes to charge to the budget
   */
  appendRow(row: Row): readonly [records: number, charge: number] {
    const last = this.#last
    if (last === undefined) return NO_RECORDS
    const before = last.chargedBytes
    const records = last.appendRow(row)
    return records === 0 ? NO_RECORDS : [records, last.chargedBytes - before]
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
      const lone = loneBatch(record, this.#settings, this.#batchBuffers)
      return this.#begin(lone, record, timestampMs, pendingProduce, index)
    }
    const full = this.#last
    this.#last = batch
    if (full !== undefined && this.#before === NO_BATCHES) this.#before = [full]
    else if (full !== undefined) this.#before.push(full)
    return charge
  }

  #newBatch(): Batch {
    const maxBytes = this.#partition.batchMaxBytes
    const spare = this.#spareBatch ?? this.#shared.pop()
    this.#spareBatch = undefined
    return spare?.maxBytes === maxBytes ? spare : new Batch(this.#settings, maxBytes, this.#batchBuffers)
  }

  /** Takes the oldest batch. Never called when there is none. */
  take(): Batch {
    if (this.#before.length > 0) return this.#before.shift()!
    const last = this.#last!
    this.#last = undefined
    return last
  }

  takeAll(): readonly Batch[] {
    const batches = this.#all
    this.#keep(NO_BATCHES)
    return batches
  }

  get #all(): readonly Batch[] {
    return this.#last === undefined ? NO_BATCHES : [...this.#before, this.#last]
  }

  #keep(batches: readonly Batch[]): void {
    this.#last = batches.at(-1)
    this.#before = batches.length > 1 ? batches.slice(0, -1) : NO_BATCHES
  }

  /** Puts the parts of a batch that was taken in front of all others. */
  putBack(parts: readonly Batch[]): void {
    this.#keep([...parts, ...this.#all])
  }

  /** Takes the object of a delivered batch to which nothing else refers. */
  giveBatch(batch: Batch): void {
    batch.clear()
    const isShared = batch.expectedBytes <= SMALL_BYTES && batch.maxBytes === this.#settings.batchMaxBytes
    if (!isShared) this.#spareBatch ??= batch
    else if (this.#shared.length < MOST_SHARED) this.#shared.push(batch)
  }

  /** When {@link expire} will have a wait to end. */
  get earliestDeadlineAt(): number {
    let earliest = this.#last?.earliestDeadlineAt ?? Number.POSITIVE_INFINITY
    for (const { earliestDeadlineAt } of this.#before) if (earliestDeadlineAt < earliest) earliest = earliestDeadlineAt
    return earliest
  }

  /**
   * Ends waits whose deadline has passed; see {@link Batch.expire}.
   *
   * @param onEmpty called for a batch that has lost its last record and is dropped
   * @param topic named where records are lost
   * @returns how many records were taken out
   */
  expire(
    nowMs: number,
    failureOf: (persisted: Persisted) => RecordFailure,
    onEmpty: (batch: Batch) => void,
    topic?: string
  ): number {
    return this.#takeOut(batch => batch.expire(nowMs, !batch.maybeWritten, failureOf, topic), onEmpty)
  }

  /** Fails the records whose callers wait for outcomes. @returns how many */
  failAwaited(
    failureOf: (persisted: Persisted) => RecordFailure,
    onEmpty: (batch: Batch) => void,
    topic: string
  ): number {
    return this.#takeOut(batch => batch.failAwaited(failureOf, topic), onEmpty)
  }

  /** Fails the records of a request. @returns how many */
  withdraw(receiver: OutcomeReceiver, failure: RecordFailure, onEmpty: (batch: Batch) => void): number {
    return this.#takeOut(batch => batch.withdraw(receiver, failure), onEmpty)
  }

  #takeOut(takeFrom: (batch: Batch) => number, onEmpty: (batch: Batch) => void): number {
    let withdrawn = 0
    for (const batch of this.#all) withdrawn += takeFrom(batch)
    if (withdrawn === 0) return 0
    // A caller that has heard of its records may have sent others meanwhile.
    const batches = this.#all
    for (const batch of batches) if (batch.isEmpty) onEmpty(batch)
    this.#keep(batches.filter(batch => !batch.isEmpty))
    return withdrawn
  }
}

/** More than the header of a batch and the framing of one record, so that a single record of any size fits. */
const LONE_RECORD_SLACK_BYTES = 256

/** A batch for one record above the size limit of batches. Kafka decides whether it is too large. */
export function loneBatch(record: ProduceRecord, options: BatchSettings, batchBuffers: BatchBufferPool): Batch {
  const maxBytes = sizeOfEncodedRecord(record.key, record.value, record.headers) + LONE_RECORD_SLACK_BYTES
  return new Batch(options, maxBytes, batchBuffers)
}

/** Time after which a batch of full size is sent again, because the topic's configuration may have changed. */
const BELIEVED_FOR_MS = 600_000
const SMALLEST_BYTES = 1024

/**
 * The size limit of batches of one topic. It begins with the configured limit. A batch that a broker refuses as too large
 * halves the limit, so that the next batches are not refused as well.
 */
export class BatchLimit {
  readonly #maxBytes: number
  readonly #clock: MonotonicClock
  /** `undefined`: no batch was refused lately. */
  #learntBytes: number | undefined
  #believedUntil = 0

  constructor(maxBytes: number, clock: MonotonicClock) {
    this.#maxBytes = maxBytes
    this.#clock = clock
  }

  /** Largest size of a batch before compression. */
  get bytes(): number {
    if (this.#learntBytes !== undefined && this.#clock() >= this.#believedUntil) this.#learntBytes = undefined
    return this.#learntBytes ?? this.#maxBytes
  }

  /** A batch of several records was refused because of its size. */
  refused(bytes: number): void {
    this.#learntBytes = Math.min(this.#learntBytes ?? this.#maxBytes, Math.max(SMALLEST_BYTES, bytes >> 1))
    this.#believedUntil = this.#clock() + BELIEVED_FOR_MS
  }
}
