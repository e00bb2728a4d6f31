import type { Persisted, ProduceRecord, RecordFailure } from '../../core/model.js'
import { type Batch, type SentRecord, sentBatch } from './batch.js'
import type { Numbering } from './numbering.js'
import { PartitionSender } from './partition-sender.js'
import type { Arrival, OutcomeReceiver, Row } from './pending-produce.js'
import type { Obstacle } from './topic-view.js'
import { persistedOf } from './verdict.js'

/** A refusal by brokers counts for the status page as long as this. */
const REFUSAL_COUNTS_FOR_MS = 60_000
/** A partition is stuck when a batch has waited this long for its acknowledgement, however often it is tried. */
const STUCK_AFTER_MS = 500

/**
 * Takes the records of one partition, has them sent in order, and gives them up again: at their deadlines, for another partition
 * or process, or at the end. Not an actor, because it is called for every record.
 */
export class PartitionProducer extends PartitionSender {
  /** When the oldest held record was accepted; infinite: none is held. */
  get oldestAt(): number {
    return Math.min(this.head?.oldestAt ?? Number.POSITIVE_INFINITY, this.waiting.oldestAt)
  }

  get attempts(): number {
    return this.head === undefined ? 0 : this.sending.count
  }

  /** Why Kafka does not have the oldest batch yet; `undefined`: no answer says so. */
  get obstacle(): Obstacle | undefined {
    return this.head === undefined ? undefined : this.sending.obstacle
  }

  /** Why Kafka has refused the last batch for good, if that was a moment ago. */
  refusalAt(nowMs: number): RecordFailure | undefined {
    const refusal = this.refusal
    return refusal !== undefined && nowMs - refusal.at <= REFUSAL_COUNTS_FOR_MS ? refusal.failure : undefined
  }

  /** Takes a record and copies its bytes. The caller has checked that there is capacity. */
  append(record: ProduceRecord, timestampMs: number, pendingProduce: OutcomeReceiver, index: number): void {
    this.charge.take(this.waiting.append(record, timestampMs, pendingProduce, index), pendingProduce)
    this.lookBy(pendingProduce.deadlineAt)
    if (this.current === 'idle') this.becomeReady()
  }

  /** Takes the first records of a row, as far as its open batch goes. The caller has checked that there is capacity. */
  appendRow(row: Row): number {
    const [records, charge] = this.waiting.appendRow(row)
    if (records > 0) this.charge.take(charge, row.pendingProduce, records)
    this.lookBy(row.pendingProduce.deadlineAt)
    return records
  }

  /**
   * Gives up the records that a partitioner has placed here and that are not on their way.
   *
   * @returns them, in order
   */
  takePlaced(): readonly Arrival[] {
    const head = this.head
    const isFree = head !== undefined && this.current !== 'awaiting' && !head.maybeWritten
    const batches = [...(isFree ? [head] : []), ...this.waiting.takeAll()]
    const arrivals = batches.flatMap(batch => {
      const { recordCount } = batch
      const placed = batch.takePlaced(this.topic)
      this.charge.hold(batch.isEmpty ? -batch.chargedBytes : 0, batch.recordCount - recordCount)
      return placed
    })
    this.waiting.putBack(batches.filter(batch => batch !== head && !batch.isEmpty))
    if (arrivals.length === 0) return arrivals
    if (isFree) this.numbers.changeRecords()
    if (isFree && head.isEmpty) {
      this.head = undefined
      this.charge.setStuck(false)
      head.span?.replaced()
      if (this.waiting.isEmpty) this.becomeIdle()
      else this.becomeReady()
    }
    return arrivals
  }

  /** Indexes of the records of the head in their pending produces; for the durable log, their sequences. */
  get sentIndexes(): readonly number[] {
    return this.head?.indexes ?? []
  }

  /** Continues where another process stopped, with one batch that may have been written; Kafka recognises its number. */
  resume(records: readonly SentRecord[], pendingProduce: OutcomeReceiver, numbering: Numbering | undefined): void {
    this.head = sentBatch(records, pendingProduce, this.deps.settings)
    this.headSince = Math.floor(this.deps.clock())
    this.lookBy(0)
    this.numbers.resume(numbering)
    const newestAcceptedAt = records.reduce((newest, { acceptedAtMs }) => Math.max(newest, acceptedAtMs), 0)
    this.search.begin(newestAcceptedAt, numbering)
    this.charge.holdBatch(this.head)
    this.beginSpan(this.head)
    this.becomeReady()
  }

  /** Why the first waiting batch, or the ones behind it, are not in Kafka yet. */
  get whyWaiting(): string {
    const { cause } = this.sending
    if (this.current === 'awaiting') return cause ?? 'it was sent, and kafka has not acknowledged it yet'
    if (this.current === 'backingOff') return `backing off: ${this.sending.why}`
    return this.current === 'suspended' ? this.sending.why : (cause ?? 'it is about to be sent')
  }

  /** Gives up batches that were never sent. @returns the indexes of their records */
  takeBack(): number[] {
    const batches = this.waiting.takeAll()
    for (const batch of batches) this.charge.releaseBatch(batch)
    return batches.flatMap(({ indexes }) => indexes)
  }

  /** Gives up the head, unless the Router has it, so that its records can be sent elsewhere. */
  takeBackSent(): readonly number[] {
    const head = this.head
    if (head === undefined || this.current === 'awaiting' || this.isDeadLettering) return []
    this.#letGo(head)
    this.becomeReady()
    return head.indexes
  }

  /**
   * Gives up the head of a partition that is backing off; {@link resume} brings it back. `undefined`: it is not backing
   * off, or must search the log for the head first.
   */
  setAside(): { readonly indexes: readonly number[]; readonly numbering: Numbering | undefined } | undefined {
    const head = this.head
    if (head === undefined || this.current !== 'backingOff' || this.search.mustLook) return undefined
    this.#letGo(head)
    this.becomeIdle()
    return { indexes: head.indexes, numbering: this.numbers.current }
  }

  /** The head leaves this producer with its records, none of which is settled. */
  #letGo(head: Batch): void {
    this.head = undefined
    head.span?.replaced()
    this.charge.releaseBatch(head)
  }

  /** Ends the suspension: the partition may exist again. */
  wake(): void {
    if (this.current === 'suspended' && !this.isDeadLettering) this.becomeReady()
  }

  /** Gives up the producer id after another cluster is connected: there it may be the id of another producer. */
  clusterChanged(): void {
    this.numbers.forget()
    this.search.clusterChanged()
    if (this.current === 'sought') this.becomeReady()
  }

  /** Holds no record and awaits no answer. */
  get isIdle(): boolean {
    return this.current === 'idle' && this.charge.bytes === 0
  }

  /** The next number; `undefined`: nothing was written under the present producer id. */
  get numbering(): Numbering | undefined {
    return this.numbers.current
  }

  tick(nowMs: number): void {
    this.#endWaits(nowMs)
    this.lookBy(this.waiting.earliestDeadlineAt)
    if (this.head === undefined) return
    const answerDueAt = nowMs - this.sending.waitedMs(nowMs) + this.deps.settings.answerTimeoutMs
    this.lookBy(Math.min(this.head.earliestDeadlineAt, this.head.expiresAt, answerDueAt))
    if (!this.charge.isStuck) this.lookBy(this.headSince + STUCK_AFTER_MS)
  }

  /** Ends the waits of callers, the attempts of a batch, and the wait for an answer, each when its time is over. */
  #endWaits(nowMs: number): void {
    const tooLate = (persisted: Persisted): RecordFailure => this.sending.tooLate(persisted)
    if (this.waiting.earliestDeadlineAt <= nowMs)
      this.#countWithdrawn(this.waiting.expire(nowMs, tooLate, batch => this.charge.releaseBatch(batch), this.topic))
    const head = this.head
    if (head === undefined) return
    if (nowMs - this.headSince >= STUCK_AFTER_MS && !this.charge.isStuck) {
      this.charge.setStuck(true)
      this.batchClosed()
    }
    if (this.current === 'awaiting' && !this.#recall(head, nowMs)) {
      head.expire(nowMs, false, tooLate)
      if (this.sending.waitedMs(nowMs) >= this.deps.settings.answerTimeoutMs)
        this.answered(head, this.sending.giveUpWaiting())
      return
    }
    const withdrawn = head.expire(nowMs, !head.maybeWritten, tooLate, this.topic)
    if (withdrawn > 0) this.numbers.changeRecords()
    this.#countWithdrawn(withdrawn)
    if (head.isEmpty) {
      this.settled(head)
      head.span?.failed('timedOut', this.sending.count)
    } else if (nowMs >= head.expiresAt)
      this.failHead(head, this.sending.timedOut(persistedOf(head.maybeWritten)), head.maybeWritten)
  }

  /** Takes the batch back from the Router when a record's deadline has passed and no byte was sent. */
  #recall(head: Batch, nowMs: number): boolean {
    return head.earliestDeadlineAt <= nowMs && !head.maybeWritten && this.#takeFromRouter()
  }

  #takeFromRouter(): boolean {
    if (!this.sending.recall()) return false
    this.sending.recalled()
    this.becomeReady()
    return true
  }

  /** Fails the records of a request that no broker can have written. What is under way is left. */
  withdraw(receiver: OutcomeReceiver, failure: RecordFailure): void {
    this.#countWithdrawn(this.waiting.withdraw(receiver, failure, batch => this.charge.releaseBatch(batch)))
    const head = this.head
    if (head === undefined || head.maybeWritten || !head.has(receiver)) return
    if (this.current === 'awaiting' && !this.#takeFromRouter()) return
    const withdrawn = head.withdraw(receiver, failure)
    if (withdrawn > 0) this.numbers.changeRecords()
    this.#countWithdrawn(withdrawn)
    if (!head.isEmpty) return
    this.settled(head)
    head.span?.failed(failure.code, this.sending.count)
  }

  /** Fails the records whose callers wait for outcomes, unless the Router has them. Those of answered requests wait on. */
  failAwaited(failureOf: (persisted: Persisted) => RecordFailure): void {
    const drop = (batch: Batch): void => this.charge.releaseBatch(batch)
    this.#countFailed(this.waiting.failAwaited(failureOf, drop, this.topic))
    if (this.head !== undefined && this.current !== 'awaiting') this.failAwaitedOf(this.head, failureOf)
  }

  protected failAwaitedOf(head: Batch, failureOf: (persisted: Persisted) => RecordFailure): void {
    const failed = head.failAwaited(failureOf, this.topic)
    if (failed === 0) return
    this.numbers.changeRecords()
    this.#countFailed(failed)
    if (!head.isEmpty) return
    this.settled(head)
    head.span?.failed('unknownTopic', this.sending.count)
  }

  #countFailed(records: number): void {
    this.deps.counters.failed += records
    this.charge.hold(0, -records)
  }

  #countWithdrawn(records: number): void {
    if (records === 0) return
    this.deps.counters.withdrawn += records
    this.charge.hold(0, -records)
  }

  /** Fails all waiting batches, and the head too unless the Router has it. */
  failWaiting(failureOf: (maybeWritten: boolean) => RecordFailure): void {
    for (const batch of this.waiting.takeAll()) this.#drop(batch, failureOf)
    const head = this.head
    if (head === undefined || this.current === 'awaiting') return
    if (head.maybeWritten) this.numbers.raise()
    this.head = undefined
    this.#drop(head, failureOf)
    this.becomeReady()
  }

  /** Fails all batches. The head may still be written if the Router has it and cannot give it back. */
  close(failureOf: (maybeWritten: boolean) => RecordFailure): void {
    if (this.current === 'awaiting' && !this.sending.recall()) this.head!.maybeWritten = true
    this.sending.forget()
    this.enter('ready')
    this.failWaiting(failureOf)
    this.becomeIdle()
  }

  #drop(batch: Batch, failureOf: (maybeWritten: boolean) => RecordFailure): void {
    this.deps.counters.failed += batch.recordCount
    this.charge.releaseBatch(batch)
    const failure = failureOf(batch.maybeWritten)
    batch.span?.failed(failure.code, this.sending.count)
    batch.fail(failure, this.topic)
  }
}
