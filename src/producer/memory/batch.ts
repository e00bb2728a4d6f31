import type { Persisted, ProduceRecord, RecordFailure } from '../../core/model.js'
import { readBack } from '../../kafka/read-back.js'
import {
  noProducer,
  RecordBatchWriter,
  resealBatch,
  type SealOptions,
  sizeOfRecord
} from '../../kafka/record-batch-writer.js'
import type { Numbering } from './numbering.js'
import type { PartitionProducerSettings } from './partition-producer-deps.js'
import type { OutcomeReceiver } from './pending-produce.js'
import { persistedOf } from './verdict.js'

/** What a record costs beside its bytes: pending produce, outcome, places in arrays. Charged, so that small records are bounded too. */
const RECORD_OVERHEAD_BYTES = 256
/**
 * What a request costs beside its records: the outcomes of the pending produce, the promise, and what its caller keeps until then.
 * Charged with its first record. Measured at 700 bytes of heap with kprf's pushes of one small record.
 */
const REQUEST_OVERHEAD_BYTES = 768
/** What the record at `index` of its request costs beside its bytes. */
export const overheadOf = (index: number): number =>
  index === 0 ? REQUEST_OVERHEAD_BYTES + RECORD_OVERHEAD_BYTES : RECORD_OVERHEAD_BYTES
/** More than the header of a batch and the framing of one record, so that a single record of any size has room. */
const LONE_RECORD_SLACK_BYTES = 256

/** A batch gets the time of sending anew when it is sent so much later than it says. */
const STAMP_AFTER_MS = 1_000

/** `timeoutMs`: how long a batch is tried; infinite: until Kafka has it. */
export type BatchOptions = Pick<PartitionProducerSettings, 'compression' | 'timeoutMs'>

/**
 * Records of one partition that travel together, and who waits for each. Open: records are written into the buffer as they
 * arrive. Sealed: bytes, producer id, epoch and sequence are frozen. A record may be withdrawn as long as no broker can have
 * written it; its bytes are then left out.
 */
export class Batch {
  #writer: RecordBatchWriter | undefined
  readonly #pendingProduces: (OutcomeReceiver | undefined)[] = []
  readonly #indexes: number[] = []
  readonly #timestampsMs: number[] = []
  /** The places of records whose time the caller has given; most batches have none. */
  #given: boolean[] = []
  readonly #options: BatchOptions
  #withdrawn = 0
  #bytes: Buffer | undefined
  /** The next attempt needs other bytes than the last: records were withdrawn, or the partition got another number. */
  #numbering: Numbering | undefined
  #isClosed = false
  #sizeBytes = 0
  earliestDeadlineAt = Number.POSITIVE_INFINITY
  /** An attempt ended unknown. Only an acknowledgement makes it certain again. */
  maybeWritten = false
  chargedBytes = 0
  #expiresAt = Number.POSITIVE_INFINITY

  constructor(writer: RecordBatchWriter, options: BatchOptions) {
    this.#writer = writer
    this.#options = options
  }

  /** When it is given up; infinite: never, or it is not being tried yet. */
  get expiresAt(): number {
    return this.#expiresAt
  }

  /** Its time begins. */
  tryFrom(nowMs: number): void {
    this.#expiresAt = nowMs + this.#options.timeoutMs
  }

  /** Of records that are still to be written. */
  get recordCount(): number {
    return this.#pendingProduces.length - this.#withdrawn
  }

  /** When the oldest of its records was accepted. */
  get oldestAt(): number {
    const at = this.#pendingProduces.findIndex(pendingProduce => pendingProduce !== undefined)
    if (at >= 0) return this.#pendingProduces[at]!.acceptedAtOf(this.#indexes[at]!)
    return Number.POSITIVE_INFINITY
  }

  /** Epoch milliseconds: the time of its newest record. */
  get newestMs(): number {
    return this.#timestampsMs.reduce((newest, one) => Math.max(newest, one), Number.NEGATIVE_INFINITY)
  }

  /** What its pending produces call the records; for records of the durable log, their sequences. */
  get indexes(): readonly number[] {
    return this.#indexes
  }

  get isEmpty(): boolean {
    return this.recordCount === 0
  }

  /** Of the whole batch before compression, also when it has been sealed. */
  get sizeBytes(): number {
    return this.#bytes === undefined ? this.#writer!.sizeBytes : this.#sizeBytes
  }

  /** Takes nothing any more. */
  get isClosed(): boolean {
    return this.#isClosed
  }

  /** @returns bytes to charge; 0, and nothing happened, when it is full */
  append(record: ProduceRecord, timestampMs: number, pendingProduce: OutcomeReceiver, index: number): number {
    const writer = this.#writer
    if (this.#isClosed || writer === undefined) return 0
    const before = writer.sizeBytes
    if (!writer.append(record.key, record.value, record.headers, timestampMs)) {
      this.#isClosed = true
      return 0
    }
    this.#remember(timestampMs, pendingProduce, index)
    if (record.timestampMs !== undefined) this.#given[this.#pendingProduces.length - 1] = true
    const charge = writer.sizeBytes - before + overheadOf(index)
    this.chargedBytes += charge
    return charge
  }

  #remember(timestampMs: number, pendingProduce: OutcomeReceiver, index: number): void {
    this.#pendingProduces.push(pendingProduce)
    this.#indexes.push(index)
    this.#timestampsMs.push(timestampMs)
    if (pendingProduce.deadlineAt < this.earliestDeadlineAt) this.earliestDeadlineAt = pendingProduce.deadlineAt
  }

  /**
   * The bytes to send under a number: the same ones as long as number and records are the same, and their times.
   *
   * @param sentAtMs becomes the time of all records but those whose caller has given one; absent: times stay what they are
   */
  bytesFor(numbering: Numbering, sentAtMs?: number): Buffer {
    this.#isClosed = true
    const isStamped = sentAtMs !== undefined && this.#stamp(sentAtMs)
    if (this.#withdrawn > 0 || isStamped) this.#compact()
    if (this.#bytes !== undefined && this.#numbering === numbering) return this.#bytes
    const producer = {
      producerId: numbering.producerId,
      producerEpoch: numbering.epoch,
      baseSequence: numbering.nextSequence
    }
    this.#bytes =
      this.#bytes === undefined
        ? this.#seal({ ...producer, codec: this.#options.compression })
        : resealBatch(this.#bytes, producer)
    this.#numbering = numbering
    return this.#bytes
  }

  /** @returns whether a record has another time now */
  #stamp(sentAtMs: number): boolean {
    const isOld = (at: number): boolean =>
      this.#given[at] !== true && Math.abs(sentAtMs - this.#timestampsMs[at]!) >= STAMP_AFTER_MS
    if (!this.#timestampsMs.some((_, at) => isOld(at))) return false
    for (let at = 0; at < this.#timestampsMs.length; at++) if (!this.#given[at]) this.#timestampsMs[at] = sentAtMs
    return true
  }

  /** The writer of a sealed batch, which has no use for it any more. */
  takeWriter(): RecordBatchWriter | undefined {
    const writer = this.#bytes === undefined ? undefined : this.#writer
    if (writer !== undefined) this.#writer = undefined
    return writer
  }

  /**
   * Ends the wait of those whose deadline is over: takes their records out if no broker can have written them, else says
   * that they may come.
   *
   * @param topic named where records are lost by that
   * @returns how many were taken out
   */
  expire(
    nowMs: number,
    canWithdraw: boolean,
    failureOf: (persisted: Persisted) => RecordFailure,
    topic?: string
  ): number {
    if (this.earliestDeadlineAt > nowMs) return 0
    const withdrawnBefore = this.#withdrawn
    const failure = failureOf(persistedOf(!canWithdraw))
    let earliest = Number.POSITIVE_INFINITY
    for (let at = 0; at < this.#pendingProduces.length; at++) {
      const pendingProduce = this.#pendingProduces[at]
      if (pendingProduce === undefined) continue
      if (pendingProduce.deadlineAt > nowMs) {
        if (pendingProduce.deadlineAt < earliest) earliest = pendingProduce.deadlineAt
        continue
      }
      // Who was told "unknown" before is better served by one more try than by a certainty that is not one.
      if (!canWithdraw || pendingProduce.isSettled(this.#indexes[at]!)) {
        pendingProduce.settle(this.#indexes[at]!, failure)
        continue
      }
      pendingProduce.fail(this.#indexes[at]!, failure, topic)
      this.#pendingProduces[at] = undefined
      this.#withdrawn++
    }
    this.earliestDeadlineAt = earliest
    return this.#withdrawn - withdrawnBefore
  }

  /** All records are in the log, the first of them at `baseOffset`; -1: who knows where. */
  deliver(partition: number, baseOffset: number, logAppendTimeMs: number): void {
    const pendingProduces = this.#pendingProduces
    for (let at = 0; at < pendingProduces.length; at++) {
      pendingProduces[at]!.settle(this.#indexes[at]!, {
        type: 'delivered',
        partition,
        offset: baseOffset < 0 ? -1 : baseOffset + at,
        timestampMs: logAppendTimeMs < 0 ? this.#timestampsMs[at]! : logAppendTimeMs
      })
    }
  }

  /** The sealed bytes, to be used for another batch by a caller that is certain that no attempt reads them any more. */
  get sealedBytes(): Buffer | undefined {
    return this.#bytes
  }

  /** No record of it is tried any more. @param topic named where records are lost by that */
  fail(failure: RecordFailure, topic?: string): void {
    for (let at = 0; at < this.#pendingProduces.length; at++)
      this.#pendingProduces[at]?.fail(this.#indexes[at]!, failure, topic)
  }

  /** Two closed batches with the same records in the same order and the same history. Needs at least two records. */
  split(): [Batch, Batch] {
    if (this.#withdrawn > 0) this.#compact()
    const half = this.recordCount >> 1
    return [this.#part(0, half), this.#part(half, this.recordCount)]
  }

  #part(from: number, to: number): Batch {
    const part = new Batch(boundlessWriter(), this.#options)
    const records = readBack(this.#rawBytes())
    for (let at = from; at < to; at++) {
      const { key, value, headers } = records[at]!
      const timestampMs = this.#given[at] ? this.#timestampsMs[at] : undefined
      part.append(
        { topic: '', key, value, headers, timestampMs },
        this.#timestampsMs[at]!,
        this.#pendingProduces[at]!,
        this.#indexes[at]!
      )
    }
    part.maybeWritten = this.maybeWritten
    part.#isClosed = true
    return part
  }

  /** Writes the records anew, with their present times and without those that were withdrawn. Offsets inside a batch have no holes. */
  #compact(): void {
    const records = readBack(this.#rawBytes())
    const writer = boundlessWriter()
    this.#bytes = undefined
    this.#writer = writer
    const given: boolean[] = []
    let kept = 0
    for (let at = 0; at < this.#pendingProduces.length; at++) {
      const pendingProduce = this.#pendingProduces[at]
      if (pendingProduce === undefined) continue
      const { key, value, headers } = records[at]!
      writer.append(key, value, headers, this.#timestampsMs[at]!)
      this.#pendingProduces[kept] = pendingProduce
      if (this.#given[at]) given[kept] = true
      this.#indexes[kept] = this.#indexes[at]!
      this.#timestampsMs[kept++] = this.#timestampsMs[at]!
    }
    this.#pendingProduces.length = this.#indexes.length = this.#timestampsMs.length = kept
    this.#given = given
    this.#withdrawn = 0
  }

  #rawBytes(): Buffer {
    this.#bytes ??= this.#seal({ ...noProducer, codec: 'none' })
    return this.#bytes
  }

  #seal(options: SealOptions): Buffer {
    this.#sizeBytes = this.#writer!.sizeBytes
    return this.#writer!.seal(options)
  }
}

/**
 * For records that have been in a batch before. Times are written as distances from the first record's, so the same
 * records may take more bytes without it; whether that is too large is Kafka's to say, but none may be left out.
 */
const boundlessWriter = (): RecordBatchWriter => new RecordBatchWriter(Number.POSITIVE_INFINITY)

/** A batch of any size, for records that were in one before. */
export const boundlessBatch = (options: BatchOptions): Batch => new Batch(boundlessWriter(), options)

/** A batch for one record that is larger than batches are meant to be. Whether it is too large is Kafka's to say. */
export function loneBatch(record: ProduceRecord, options: BatchOptions): Batch {
  const maxBytes = sizeOfRecord(record.key, record.value, record.headers) + LONE_RECORD_SLACK_BYTES
  return new Batch(new RecordBatchWriter(maxBytes), options)
}
