import type { Persisted, ProduceRecord, RecordFailure } from '../../core/model.js'
import type { SendSpan } from '../../core/tracing/tracing.js'
import {
  type BatchBufferPool,
  noProducer,
  RecordBatchWriter,
  resealBatch,
  type SealOptions
} from '../../kafka/record-batch-writer.js'
import { readBack } from '../../kafka/record-reader.js'
import { type BatchRow, BatchRows } from './batch-rows.js'
import type { Numbering } from './numbering.js'
import { canSetBackFurther } from './own-time.js'
import type { Arrival, MemoryPendingProduce, OutcomeReceiver, Row } from './pending-produce.js'
import type { SenderSettings } from './settings.js'
import { persistedOf } from './verdict.js'

/**
 * Memory of a record in addition to its bytes: pending produce, outcome, array elements. Counted so that many small
 * records are limited, too.
 */
const RECORD_OVERHEAD_BYTES = 256
/**
 * Memory of a request in addition to its records: outcomes, the promise, and objects that its caller keeps until they
 * resolve. Counted with its first record. Measured at 700 bytes of heap with kprf's pushes of one small record.
 */
const REQUEST_OVERHEAD_BYTES = 768
/** Memory of the record at `index` of its request, in addition to its bytes. */
export const overheadOf = (index: number): number =>
  index === 0 ? REQUEST_OVERHEAD_BYTES + RECORD_OVERHEAD_BYTES : RECORD_OVERHEAD_BYTES

/** A batch gets new timestamps when it is sent this much later than its present ones. */
const STAMP_AFTER_MS = 1_000

/** Read at once by those who seal: an object for each of many small batches is much garbage. */
const sealing: { -readonly [Name in keyof SealOptions]: SealOptions[Name] } = { ...noProducer, codec: 'none' }

/** `timeoutMs`: how long a batch is sent again; infinite: until Kafka has it. */
export type BatchSettings = Pick<SenderSettings, 'compression' | 'timeoutMs' | 'transactionalId'>

/**
 * Records of one partition that are sent together, and the request that each belongs to. Open: records are written into
 * the buffer as they arrive. Sealed: bytes, producer id, epoch and sequence are frozen. A record may be withdrawn while
 * no broker can have written it; its bytes are then removed.
 */
export class Batch extends BatchRows {
  #writer: RecordBatchWriter
  readonly #options: BatchSettings
  #withdrawn = 0
  #bytes: Buffer | undefined
  /** The producer id, epoch and sequence in the sealed bytes. */
  #numbering: Numbering | undefined
  #isClosed = false
  #sizeBytes = 0
  /** The outcome of an attempt is unknown, so brokers may have written the batch. Only an acknowledgement ends this. */
  maybeWritten = false
  /** Milliseconds by which the timestamps were set back after Kafka had refused them. `undefined`: they are unchanged. */
  setBackMs: number | undefined
  chargedBytes = 0
  /** The span of the batch on its way to Kafka. `undefined`: it was not sent yet, or nothing records spans. */
  span: SendSpan | undefined
  /** A whole millisecond; see `LONG_AGO`. `undefined`: never, or it was not sent yet. */
  #expiresAt: number | undefined

  /**
   * @param maxBytes limit of the whole batch, for records that come one after another. Records that have been in a batch
   *   before are written without a limit, because timestamps relative to another first record may take more bytes. Kafka
   *   decides whether the batch is too large.
   * @param batchBuffers absent: fresh memory
   */
  constructor(options: BatchSettings, maxBytes = Number.POSITIVE_INFINITY, batchBuffers?: BatchBufferPool) {
    super()
    this.#options = options
    this.#writer = new RecordBatchWriter(maxBytes, batchBuffers)
  }

  get maxBytes(): number {
    return this.#writer.maxBytes
  }

  /** Bytes that are reserved with its first record. */
  get expectedBytes(): number {
    return this.#writer.expectedBytes
  }

  /**
   * Forgets all records, so that the object can be the next batch. Called when nothing else refers to it: it was sealed, and
   * delivered by its only attempt.
   */
  clear(): void {
    this.forget()
    this.#withdrawn = 0
    this.#bytes = undefined
    this.#numbering = undefined
    this.#isClosed = false
    this.#sizeBytes = 0
    this.maybeWritten = false
    this.setBackMs = undefined
    this.chargedBytes = 0
    this.span = undefined
    this.#expiresAt = undefined
  }

  /** When the batch is given up; infinite: never, or it was not sent yet. */
  get expiresAt(): number {
    return this.#expiresAt ?? Number.POSITIVE_INFINITY
  }

  tryFrom(nowMs: number): void {
    this.#expiresAt = Math.ceil(nowMs + this.#options.timeoutMs)
  }

  /** Number of records that are not withdrawn. */
  get recordCount(): number {
    return this.records - this.#withdrawn
  }

  /** Indexes of the records in their pending produces; for the durable log, their sequences. */
  get indexes(): readonly number[] {
    this.toSingleRecords()
    return this.rows.map(({ index }) => index)
  }

  get isEmpty(): boolean {
    return this.recordCount === 0
  }

  /** Whether requests of some of its records were answered; see {@link OutcomeReceiver.isAnswered}. */
  get isPromised(): boolean {
    return this.rows.some(({ receiver }) => receiver?.isAnswered === true)
  }

  /** Size of the whole batch before compression, also when it is sealed. */
  get sizeBytes(): number {
    return this.#bytes === undefined ? this.#writer.sizeBytes : this.#sizeBytes
  }

  /** The batch takes no more records. */
  get isClosed(): boolean {
    return this.#isClosed
  }

  /** @returns the bytes to charge to the budget; 0 when the batch is full, and did not take the record */
  append(record: ProduceRecord, timestampMs: number, receiver: OutcomeReceiver, index: number): number {
    if (this.#isClosed) return 0
    const writer = this.#writer
    const before = writer.sizeBytes
    if (!writer.append(record.key, record.value, record.headers, timestampMs)) {
      this.#isClosed = true
      return 0
    }
    this.remember(timestampMs, receiver, index, 1, record.timestampMs !== undefined)
    const charge = writer.sizeBytes - before + overheadOf(index)
    this.chargedBytes += charge
    return charge
  }

  /**
   * Appends records of one request in a row, for which no timestamp is given, until the batch is full.
   *
   * @returns how many records it took
   */
  appendRow({ records, from, to, timestampMs, pendingProduce }: Row): number {
    if (this.#isClosed) return 0
    const writer = this.#writer
    const before = writer.sizeBytes
    let at = from
    let charge = 0
    for (; at < to; at++) {
      const { key, value, headers } = records[at]!
      if (!writer.append(key, value, headers, timestampMs)) break
      charge += overheadOf(at)
    }
    if (at < to) this.#isClosed = true
    if (at === from) return 0
    this.remember(timestampMs, pendingProduce, from, at - from, false)
    this.chargedBytes += writer.sizeBytes - before + charge
    return at - from
  }

  /**
   * Sets the number under which the batch is sent. The bytes change only if the number, the records or their timestamps change.
   *
   * @param sentAtMs becomes the timestamp of all records whose caller has given none; absent: timestamps stay
   */
  numbered(numbering: Numbering, sentAtMs?: number): this {
    this.#isClosed = true
    const isStamped = sentAtMs !== undefined && this.isStampedBefore(sentAtMs, STAMP_AFTER_MS)
    if (isStamped) this.stamp(sentAtMs)
    if (this.#withdrawn > 0 || isStamped) this.#compact()
    if (this.#bytes !== undefined && this.#numbering !== numbering)
      this.#bytes = resealBatch(this.#bytes, this.#sealedAs(numbering))
    this.#numbering = numbering
    // Compresses now, so that the size, or a failure to compress, is known before the Router gets the batch.
    if (this.#options.compression !== 'none') void this.bytes
    return this
  }

  /**
   * The bytes to send under its number. An uncompressed batch is sealed when they are first read: the CRC and the copy into the
   * call are then one way through memory, which costs more than all else of a small batch.
   */
  get bytes(): Buffer {
    this.#bytes ??= this.#seal(this.#sealedAs(this.#numbering!))
    return this.#bytes
  }

  /** No copy of its bytes is read any more. */
  release(): void {
    this.#writer.release(this.bytes)
  }

  #sealedAs({ producerId, epoch, nextSequence }: Numbering): SealOptions {
    const { compression, transactionalId } = this.#options
    sealing.producerId = producerId
    sealing.producerEpoch = epoch
    sealing.baseSequence = nextSequence
    sealing.isTransactional = transactionalId !== undefined
    sealing.codec = compression
    return sealing
  }

  /** `undefined`: its records belong to no transaction. */
  get transactionalId(): string | undefined {
    return this.#options.transactionalId
  }

  /** The number of bytes to send, also before they are read. */
  get sentSizeBytes(): number {
    return this.#bytes?.length ?? this.#writer.sizeBytes
  }

  /** Kafka may take it with other timestamps. */
  get canRestamp(): boolean {
    return this.hasOwnTimes && canSetBackFurther(this.setBackMs)
  }

  /** Gives it new timestamps. Its number stays: if an earlier attempt was written, Kafka takes this one for its duplicate. */
  restamp(atMs: number, setBackMs: number): void {
    this.stamp(atMs)
    this.#compact()
    this.setBackMs = setBackMs
  }

  /**
   * Ends waits whose deadline has passed: withdraws the records if no broker can have written them; otherwise their outcome is
   * unknown.
   *
   * @param topic named in the report of records lost by this
   * @returns how many records were withdrawn
   */
  expire(
    nowMs: number,
    canWithdraw: boolean,
    failureOf: (persisted: Persisted) => RecordFailure,
    topic?: string
  ): number {
    if (this.earliestDeadlineAt > nowMs) return 0
    return this.#end(({ deadlineAt }) => deadlineAt <= nowMs, canWithdraw, failureOf(persistedOf(!canWithdraw)), topic)
  }

  /** Ends the waits of callers, like {@link expire}: those for outcomes, of requests that are not answered yet. */
  failAwaited(failureOf: (persisted: Persisted) => RecordFailure, topic: string): number {
    const failure = failureOf(persistedOf(this.maybeWritten))
    return this.#end(({ isAnswered }) => isAnswered !== true, !this.maybeWritten, failure, topic)
  }

  #end(
    isOver: (receiver: OutcomeReceiver) => boolean,
    canWithdraw: boolean,
    failure: RecordFailure,
    topic: string | undefined
  ): number {
    this.toSingleRecords()
    const withdrawnBefore = this.#withdrawn
    let earliest = Number.POSITIVE_INFINITY
    for (const row of this.rows) {
      const { receiver, index } = row
      if (receiver === undefined) continue
      if (!isOver(receiver)) {
        if (receiver.deadlineAt < earliest) earliest = receiver.deadlineAt
        continue
      }
      // A record whose outcome was reported as unknown is sent again: "not written" would contradict the report.
      if (!canWithdraw || receiver.isSettled(index)) {
        receiver.settle(index, failure)
        continue
      }
      receiver.fail(index, failure, topic)
      row.receiver = undefined
      this.#withdrawn++
    }
    this.earliest = earliest
    return this.#withdrawn - withdrawnBefore
  }

  /** Takes out and fails the records of a request if no broker can have written them. @returns how many */
  withdraw(receiver: OutcomeReceiver, failure: RecordFailure): number {
    if (this.maybeWritten || !this.has(receiver)) return 0
    this.toSingleRecords()
    const withdrawnBefore = this.#withdrawn
    for (const row of this.rows) {
      if (row.receiver !== receiver || receiver.isSettled(row.index)) continue
      receiver.fail(row.index, failure)
      row.receiver = undefined
      this.#withdrawn++
    }
    return this.#withdrawn - withdrawnBefore
  }

  /** Fails all records. @param topic named in the report of lost records */
  fail(failure: RecordFailure, topic?: string): void {
    this.toSingleRecords()
    for (const { receiver, index } of this.rows) receiver?.fail(index, failure, topic)
  }

  /** Takes out the records that a partitioner has placed, so that they can go to another partition. */
  takePlaced(topic: string): readonly Arrival[] {
    this.toSingleRecords()
    if (!this.rows.some(({ receiver, index }) => receiver?.partitionerOf?.(index) !== undefined)) return []
    if (this.#withdrawn > 0) this.#compact()
    const records = readBack(this.#rawBytes())
    this.#isClosed = true
    return this.rows.flatMap((row, at) => {
      const { receiver, index, timestampMs, isGiven } = row
      const partitioner = receiver?.partitionerOf?.(index)
      if (partitioner === undefined) return []
      row.receiver = undefined
      this.#withdrawn++
      const record = { topic, ...records[at]!, ...(isGiven && { timestampMs }) }
      return [{ record, partitioner, timestampMs, pendingProduce: receiver as MemoryPendingProduce, index }]
    })
  }

  /** Splits the batch into two closed ones with the same records, order and history. Needs at least two records. */
  split(): [Batch, Batch] {
    if (this.#withdrawn > 0) this.#compact()
    this.toSingleRecords()
    const half = this.recordCount >> 1
    const records = readBack(this.#rawBytes())
    return [
      this.#part(records.slice(0, half), this.rows.slice(0, half)),
      this.#part(records.slice(half), this.rows.slice(half))
    ]
  }

  #part(records: readonly SentBytes[], rows: readonly BatchRow[]): Batch {
    const part = new Batch(this.#options)
    for (const [at, { receiver, index, timestampMs, isGiven }] of rows.entries()) {
      const { key, value, headers } = records[at]!
      const given = isGiven ? timestampMs : undefined
      part.append({ topic: '', key, value, headers, timestampMs: given }, timestampMs, receiver!, index)
    }
    part.maybeWritten = this.maybeWritten
    part.#isClosed = true
    return part
  }

  /** Writes the records again, with their present timestamps and without withdrawn ones: offsets in a batch have no gaps. */
  #compact(): void {
    this.toSingleRecords()
    const records = readBack(this.#rawBytes())
    this.#bytes = undefined
    this.#writer = new RecordBatchWriter(Number.POSITIVE_INFINITY)
    this.rows = this.rows.filter(({ receiver, timestampMs }, at) => {
      const { key, value, headers } = records[at]!
      if (receiver !== undefined) this.#writer.append(key, value, headers, timestampMs)
      return receiver !== undefined
    })
    this.records = this.rows.length
    this.#withdrawn = 0
  }

  #rawBytes(): Buffer {
    this.#bytes ??= this.#seal({ ...noProducer, codec: 'none' })
    return this.#bytes
  }

  #seal(options: SealOptions): Buffer {
    this.#sizeBytes = this.#writer.sizeBytes
    return this.#writer.seal(options)
  }
}

type SentBytes = ReturnType<typeof readBack>[number]

/** A record that was in a batch before, and its index in its pending produce. */
export interface SentRecord {
  readonly record: ProduceRecord
  readonly timestampMs: number
  readonly index: number
  /** Epoch milliseconds: the first attempt was not earlier. */
  readonly acceptedAtMs: number
}

export function sentBatch(records: readonly SentRecord[], receiver: OutcomeReceiver, options: BatchSettings): Batch {
  const batch = new Batch(options)
  for (const { record, timestampMs, index } of records) batch.append(record, timestampMs, receiver, index)
  batch.maybeWritten = true
  return batch
}
