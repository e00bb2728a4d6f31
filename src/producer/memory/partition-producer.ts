import type { Offset, ProduceRecord, RecordFailure } from '../../core/model.js'
import type { BatchAnswer, SealedBatch } from '../../router/messages/operations.js'
import { Attempts } from './attempts.js'
import { type Batch, type SentRecord, sentBatch } from './batch.js'
import { PartitionCharge } from './budget.js'
import { PartitionSearch } from './log-search.js'
import { type Numbering, PartitionNumbering } from './numbering.js'
import type { BatchOwner, PartitionProducerDeps, PartitionProducerState } from './partition-producer-deps.js'
import type { ScheduledProducer } from './partition-schedule.js'
import type { Arrival, OutcomeReceiver, Row } from './pending-produce.js'
import type { Obstacle } from './topic-view.js'
import { judge, persistedOf, type Verdict } from './verdict.js'
import { type BatchLimit, WaitingBatches } from './waiting-batches.js'

/** A refusal by brokers counts for the status page as long as this. */
const REFUSAL_COUNTS_FOR_MS = 60_000
/** A partition is stuck when a batch has waited this long for its acknowledgement, however often it is tried. */
const STUCK_AFTER_MS = 500
const NO_PARTS: readonly Batch[] = []

/**
 * Sends records to one partition, in order. Batches wait until the one before them is settled: at most one sealed batch is
 * unacknowledged, the *head*, and it is sent again unchanged. Not an actor, because it is called for every record.
 */
export class PartitionProducer implements ScheduledProducer {
  readonly topic: string
  readonly partition: number
  readonly #deps: PartitionProducerDeps
  readonly #limit: BatchLimit
  readonly #onBatchClosed: () => void
  readonly #onMisplaced: ((producer: PartitionProducer) => void) | undefined
  readonly #waiting: WaitingBatches
  /** Accounts for the memory of its records. */
  readonly charge: PartitionCharge
  readonly #numbering: PartitionNumbering
  readonly #search: PartitionSearch
  readonly #attempts: Attempts
  #state: PartitionProducerState = 'idle'
  #head: Batch | undefined
  #headSince = 0
  #isDeadLettering = false
  /** The last batch that Kafka refused for good; a later batch that it takes ends that. */
  #refusal: { readonly failure: RecordFailure; readonly at: number } | undefined
  #timer: NodeJS.Timeout | undefined
  /** Only the last attempt with the head is answered. */
  readonly #onAnswer = (answer: BatchAnswer): void => this.#answered(this.#head!, answer)
  place: number | undefined
  isEmptied = true

  /**
   * @param onBatchClosed called when a batch is sealed or full, or in trouble: records without a key may go elsewhere
   * @param onMisplaced called when the topic has no such partition; may take the placed records
   */
  constructor(
    topic: string,
    partition: number,
    deps: PartitionProducerDeps,
    limit: BatchLimit,
    onBatchClosed: () => void,
    onMisplaced?: (producer: PartitionProducer) => void
  ) {
    this.topic = topic
    this.partition = partition
    this.#deps = deps
    this.#limit = limit
    this.#onBatchClosed = onBatchClosed
    this.#onMisplaced = onMisplaced
    this.#waiting = new WaitingBatches(deps.settings, limit, deps.batchBuffers, onBatchClosed)
    this.charge = new PartitionCharge(deps.budget, deps.settings.maxPartitionBytes)
    this.#numbering = new PartitionNumbering(deps.numbers)
    this.#search = new PartitionSearch(this, deps.written)
    this.#attempts = new Attempts(this, deps.cluster, deps.log)
  }

  get state(): PartitionProducerState {
    return this.#state
  }

  /** When the oldest held record was accepted; infinite: none is held. */
  get oldestAt(): number {
    return Math.min(this.#head?.oldestAt ?? Number.POSITIVE_INFINITY, this.#waiting.oldestAt)
  }

  get attempts(): number {
    return this.#head === undefined ? 0 : this.#attempts.count
  }

  /** Why Kafka does not have the oldest batch yet; `undefined`: no answer says so. */
  get obstacle(): Obstacle | undefined {
    return this.#head === undefined ? undefined : this.#attempts.obstacle
  }

  /** Why Kafka has refused the last batch for good, if that was a moment ago. */
  refusalAt(nowMs: number): RecordFailure | undefined {
    const refusal = this.#refusal
    return refusal !== undefined && nowMs - refusal.at <= REFUSAL_COUNTS_FOR_MS ? refusal.failure : undefined
  }

  /** Takes a record and copies its bytes. The caller has checked that there is capacity. */
  append(record: ProduceRecord, timestampMs: number, pendingProduce: OutcomeReceiver, index: number): void {
    this.charge.take(this.#waiting.append(record, timestampMs, pendingProduce, index), pendingProduce)
    this.#lookBy(pendingProduce.deadlineAt)
    if (this.#state === 'idle') this.#becomeReady()
  }

  /** Takes the first records of a row, as far as its open batch goes. The caller has checked that there is capacity. */
  appendRow(row: Row): number {
    const [records, charge] = this.#waiting.appendRow(row)
    if (records > 0) this.charge.take(charge, row.pendingProduce, records)
    this.#lookBy(row.pendingProduce.deadlineAt)
    return records
  }

  /**
   * The batch to send now. Called once after the partition has become ready. `undefined`: there is none, or no producer id yet;
   * the partition becomes ready again when there is one.
   */
  take(nowMs: number): SealedBatch | undefined {
    if (this.#state !== 'ready') return undefined
    if (this.#head === undefined && this.#waiting.isEmpty) {
      this.#becomeIdle()
      return undefined
    }
    if (this.#head === undefined) this.#numbering.changeRecords()
    else if (this.#head.maybeWritten && this.#search.isDue(this.#head.newestMs)) {
      void this.#seek(this.#head)
      return undefined
    }
    const numbering = this.#numbering.start(this)
    if (numbering === undefined) return undefined
    const head = this.#head ?? this.#takeNext(nowMs)
    this.#search.sent(numbering)
    this.#state = 'awaiting'
    return this.#attempts.send(head.numbered(numbering, this.#deps.sendTimeMs?.()), nowMs, this.#onAnswer)
  }

  #takeNext(nowMs: number): Batch {
    let head = this.#waiting.take()
    while (head.recordCount > 1 && head.sizeBytes > this.#limit.bytes) {
      this.#replace(head, head.split())
      head = this.#waiting.take()
    }
    if (this.#waiting.isEmpty) this.#onBatchClosed()
    this.#head = head
    this.#attempts.begin()
    this.#headSince = nowMs
    head.tryFrom(nowMs)
    this.#beginSpan(head)
    this.#lookBy(head.expiresAt)
    this.#search.begin()
    this.#deps.waitedInPartition?.(nowMs - head.oldestAt)
    return head
  }

  #beginSpan(head: Batch): void {
    const { tracing, owner } = this.#deps
    if (tracing === undefined) return
    const { topic, partition } = this
    const { recordCount, sizeBytes } = head
    const durability = owner === undefined ? 'memory' : 'disk'
    head.span = tracing.send({ topic, partition, recordCount, sizeBytes, durability, contexts: head.traces() })
  }

  /** Searches Kafka's log for the head before sending it again. */
  async #seek(head: Batch): Promise<void> {
    this.#enter('sought')
    const numbering = this.#search.sentAs
    const finding = await this.#search.look(head)
    if (this.#head !== head || this.#state !== 'sought' || this.#search.sentAs !== numbering) return
    if (finding.type === 'found') {
      // The answer to it was lost. If the number was raised meanwhile, the raised one was not used.
      if (this.#numbering.current === numbering) this.#numbering.advance(head.recordCount)
      this.#delivered(head, finding.baseOffset, -1)
    } else this.#becomeReady()
  }

  #delivered(head: Batch, baseOffset: Offset, logAppendTimeMs: number): void {
    this.#deps.counters.delivered += head.recordCount
    this.#refusal = undefined
    if (baseOffset >= 0) this.#search.from = baseOffset + head.recordCount
    this.#settled(head)
    head.span?.delivered(baseOffset, this.#attempts.count)
    head.deliver(this.partition, baseOffset, logAppendTimeMs)
  }

  #answered(head: Batch, answer: BatchAnswer): void {
    this.#attempts.answered(answer)
    if (answer.type !== 'notSent') this.#numbering.seen()
    this.#search.attempted(answer.type !== 'notSent', head.recordCount)
    if (answer.type === 'appended') {
      const { ownTime, clock } = this.#deps
      // A batch that was sent before may have been appended before.
      if (answer.logAppendTimeMs >= 0 && this.#attempts.count === 1 && !head.maybeWritten)
        ownTime.appended(answer.logAppendTimeMs, clock() - head.oldestAt)
      this.#appended(head, answer.baseOffset, answer.logAppendTimeMs)
      return
    }
    const { owner, clock } = this.#deps
    const { topic, partition } = this
    const { recordCount, maybeWritten, canRestamp, expiresAt } = head
    const facts = { topic, partition, recordCount, maybeWritten, canRestamp, isExpired: clock() >= expiresAt }
    const verdict = judge({ ...facts, isDurable: owner !== undefined, lastError: this.#attempts.cause }, answer)
    this.#carryOut(head, verdict)
  }

  #appended(head: Batch, baseOffset: Offset, logAppendTimeMs: number): void {
    this.#numbering.advance(head.recordCount)
    if (head.setBackMs !== undefined) this.#deps.ownTime.accepted(head.setBackMs)
    this.#delivered(head, baseOffset, logAppendTimeMs)
    // A socket that was given up may still hold the bytes of an earlier attempt, and a search its batch.
    if (this.#attempts.count !== 1) return
    this.#deps.batchBuffers.give(head.bytes)
    if (!head.maybeWritten) this.#waiting.giveBatch(head)
  }

  #carryOut(head: Batch, verdict: Verdict): void {
    switch (verdict.type) {
      case 'delivered':
        this.#appended(head, verdict.baseOffset, verdict.logAppendTimeMs)
        return
      case 'retry':
        head.maybeWritten = verdict.maybeWritten
        if (verdict.refusal !== undefined) this.#deps.owner?.refused?.(this.topic, verdict.refusal)
        this.#backOff(verdict.reason, verdict.soon)
        return
      case 'restart':
        this.#attempts.stateLost(this.#numbering.current?.epoch, verdict.reason)
        this.#numbering.raise()
        this.#search.isForgotten = true
        this.#backOff(verdict.reason, false)
        return
      case 'restamp':
        this.#restamp(head, verdict.reason)
        return
      case 'split':
        if (verdict.renumber) this.#numbering.raise()
        if (verdict.lowersLimit) this.#limit.refused(head.sizeBytes)
        this.#settled(head, head.split())
        head.span?.replaced()
        return
      case 'fail':
        if (this.#deps.owner !== undefined) {
          void this.#deadLetter(head, verdict, this.#deps.owner)
          return
        }
        if (verdict.failure.code === 'unknownPartition' && !head.maybeWritten) {
          this.#enter('backingOff')
          this.#onMisplaced?.(this)
        }
        if (this.#head === head) this.#failHead(head, verdict.failure, verdict.renumber)
        return
      case 'suspend':
        this.#attempts.refused(verdict.failure.message)
        this.#enter('suspended')
        this.#deps.owner!.suspended(this, verdict.failure)
    }
  }

  #restamp(head: Batch, reason: string): void {
    const { ownTime, counters } = this.#deps
    const setBackMs = ownTime.nextAfter(head.setBackMs)
    head.restamp(ownTime.at(setBackMs), setBackMs)
    head.span?.retry(reason)
    counters.retries++
    this.#attempts.refused(reason)
    this.#becomeReady()
  }

  /** Makes a dead letter of the only record of this batch before the next batch is sent. */
  async #deadLetter(head: Batch, verdict: Verdict & { type: 'fail' }, owner: BatchOwner): Promise<void> {
    this.#enter('suspended')
    this.#isDeadLettering = true
    const isDeadLetter = await owner.deadLetter(head.indexes[0]!, verdict.failure)
    this.#isDeadLettering = false
    if (this.#head !== head) return
    if (isDeadLetter) this.#failHead(head, verdict.failure, verdict.renumber)
    else this.#backOff(verdict.failure.message, false)
  }

  /**
   * Gives up the records that a partitioner has placed here and that are not on their way.
   *
   * @returns them, in order
   */
  takePlaced(): readonly Arrival[] {
    const head = this.#head
    const isFree = head !== undefined && this.#state !== 'awaiting' && !head.maybeWritten
    const batches = [...(isFree ? [head] : []), ...this.#waiting.takeAll()]
    const arrivals = batches.flatMap(batch => {
      const { recordCount } = batch
      const placed = batch.takePlaced(this.topic)
      this.charge.hold(batch.isEmpty ? -batch.chargedBytes : 0, batch.recordCount - recordCount)
      return placed
    })
    this.#waiting.putBack(batches.filter(batch => batch !== head && !batch.isEmpty))
    if (arrivals.length === 0) return arrivals
    if (isFree) this.#numbering.changeRecords()
    if (isFree && head.isEmpty) {
      this.#head = undefined
      this.charge.setStuck(false)
      head.span?.replaced()
      if (this.#waiting.isEmpty) this.#becomeIdle()
      else this.#becomeReady()
    }
    return arrivals
  }

  #failHead(head: Batch, failure: RecordFailure, renumber: boolean): void {
    if (renumber) this.#numbering.raise()
    this.#deps.counters.failed += head.recordCount
    this.#refusal = { failure, at: this.#deps.clock() }
    this.#attempts.notDelivered(head.recordCount, failure)
    this.#settled(head)
    head.span?.failed(failure.code, this.#attempts.count)
    head.fail(failure, this.topic)
  }

  /** The head is settled; `parts` take its place. */
  #settled(head: Batch, parts = NO_PARTS): void {
    this.#head = undefined
    this.charge.setStuck(false)
    this.#replace(head, parts)
    if (this.#waiting.isEmpty) this.#becomeIdle()
    else this.#becomeReady()
  }

  #replace(batch: Batch, parts: readonly Batch[]): void {
    if (parts.length > 0) {
      this.#waiting.putBack(parts)
      for (const part of parts) this.charge.holdBatch(part)
    }
    this.charge.releaseBatch(batch)
  }

  /** Indexes of the records of the head in their pending produces; for the durable log, their sequences. */
  get sentIndexes(): readonly number[] {
    return this.#head?.indexes ?? []
  }

  /** Continues where another process stopped, with one batch that may have been written; Kafka recognises its number. */
  resume(records: readonly SentRecord[], pendingProduce: OutcomeReceiver, numbering: Numbering | undefined): void {
    this.#head = sentBatch(records, pendingProduce, this.#deps.settings)
    this.#headSince = this.#deps.clock()
    this.#lookBy(0)
    this.#numbering.resume(numbering)
    const newestAcceptedAt = records.reduce((newest, { acceptedAtMs }) => Math.max(newest, acceptedAtMs), 0)
    this.#search.begin(newestAcceptedAt, numbering)
    this.charge.holdBatch(this.#head)
    this.#beginSpan(this.#head)
    this.#becomeReady()
  }

  /** Why Kafka does not have the head, or what waits behind it, yet. */
  get whyWaiting(): string {
    const { cause } = this.#attempts
    if (this.#state === 'awaiting') return cause ?? 'it was sent, and kafka has not acknowledged it yet'
    if (this.#state === 'backingOff') return `backing off: ${this.#attempts.why}`
    return this.#state === 'suspended' ? this.#attempts.why : (cause ?? 'it is about to be sent')
  }

  /** Gives up batches that were never sent. @returns the indexes of their records */
  takeBack(): number[] {
    const batches = this.#waiting.takeAll()
    for (const batch of batches) this.charge.releaseBatch(batch)
    return batches.flatMap(({ indexes }) => indexes)
  }

  /** Gives up the head, unless the Router has it, so that its records can be sent elsewhere. */
  takeBackSent(): readonly number[] {
    const head = this.#head
    if (head === undefined || this.#state === 'awaiting' || this.#isDeadLettering) return []
    this.#head = undefined
    head.span?.replaced()
    this.charge.releaseBatch(head)
    this.#becomeReady()
    return head.indexes
  }

  /**
   * Gives up the head of a partition that is backing off; {@link resume} brings it back. `undefined`: it is not backing
   * off, or must search the log for the head first.
   */
  setAside(): { readonly indexes: readonly number[]; readonly numbering: Numbering | undefined } | undefined {
    const head = this.#head
    if (head === undefined || this.#state !== 'backingOff' || this.#search.mustLook) return undefined
    this.#head = undefined
    head.span?.replaced()
    this.charge.releaseBatch(head)
    this.#becomeIdle()
    return { indexes: head.indexes, numbering: this.#numbering.current }
  }

  /** Ends the suspension: the partition may exist again. */
  wake(): void {
    if (this.#state === 'suspended' && !this.#isDeadLettering) this.#becomeReady()
  }

  /** In another cluster the producer id is void: a broker could take it for another producer's. */
  clusterChanged(): void {
    this.#numbering.forget()
    this.#search.clusterChanged()
    if (this.#state === 'sought') this.#becomeReady()
  }

  /** Holds no record and awaits no answer. */
  get isIdle(): boolean {
    return this.#state === 'idle' && this.charge.bytes === 0
  }

  /** The next number; `undefined`: nothing was written under the present producer id. */
  get numbering(): Numbering | undefined {
    return this.#numbering.current
  }

  #backOff(reason: string, soon: boolean): void {
    const { random, settings, counters } = this.#deps
    this.#state = 'backingOff'
    this.#head?.span?.retry(reason)
    counters.retries++
    this.#onBatchClosed()
    const pauseMs = this.#attempts.pauseMs(reason, soon, settings, random)
    this.#timer = setTimeout(() => this.#becomeReady(), pauseMs)
    this.#deps.owner?.delayed(this)
  }

  #becomeIdle(): void {
    this.#enter('idle')
    this.charge.emptied()
    this.#deps.schedule.emptied(this)
  }

  #becomeReady(): void {
    this.#enter('ready')
    this.#deps.schedule.ready(this)
  }

  #enter(state: PartitionProducerState): void {
    if (this.#timer !== undefined) {
      clearTimeout(this.#timer)
      this.#timer = undefined
    }
    this.#state = state
  }

  tick(nowMs: number): void {
    this.#endWaits(nowMs)
    this.#lookBy(this.#waiting.earliestDeadlineAt)
    if (this.#head === undefined) return
    const answerDueAt = nowMs - this.#attempts.waitedMs(nowMs) + this.#deps.settings.answerTimeoutMs
    this.#lookBy(Math.min(this.#head.earliestDeadlineAt, this.#head.expiresAt, answerDueAt))
    if (!this.charge.isStuck) this.#lookBy(this.#headSince + STUCK_AFTER_MS)
  }

  #lookBy(at: number): void {
    this.#deps.schedule.lookBy(this, at)
  }

  /** Ends the waits of callers, the attempts of a batch, and the wait for an answer, each when its time is over. */
  #endWaits(nowMs: number): void {
    const { tooLate } = this.#attempts
    if (this.#waiting.earliestDeadlineAt <= nowMs)
      this.#countWithdrawn(this.#waiting.expire(nowMs, tooLate, batch => this.charge.releaseBatch(batch), this.topic))
    const head = this.#head
    if (head === undefined) return
    if (nowMs - this.#headSince >= STUCK_AFTER_MS && !this.charge.isStuck) {
      this.charge.setStuck(true)
      this.#onBatchClosed()
    }
    if (this.#state === 'awaiting' && !this.#recall(head, nowMs)) {
      head.expire(nowMs, false, tooLate)
      if (this.#attempts.waitedMs(nowMs) >= this.#deps.settings.answerTimeoutMs)
        this.#answered(head, this.#attempts.giveUpWaiting())
      return
    }
    const withdrawn = head.expire(nowMs, !head.maybeWritten, tooLate, this.topic)
    if (withdrawn > 0) this.#numbering.changeRecords()
    this.#countWithdrawn(withdrawn)
    if (head.isEmpty) {
      this.#settled(head)
      head.span?.failed('timedOut', this.#attempts.count)
    } else if (nowMs >= head.expiresAt)
      this.#failHead(head, this.#attempts.timedOut(persistedOf(head.maybeWritten)), head.maybeWritten)
  }

  /** Takes the batch back from the Router when a record's deadline has passed and no byte was sent. */
  #recall(head: Batch, nowMs: number): boolean {
    if (head.earliestDeadlineAt > nowMs || head.maybeWritten || !this.#attempts.recall()) return false
    this.#attempts.recalled()
    this.#becomeReady()
    return true
  }

  #countWithdrawn(records: number): void {
    if (records === 0) return
    this.#deps.counters.withdrawn += records
    this.charge.hold(0, -records)
  }

  /** Fails all waiting batches, and the head too unless the Router has it. */
  failWaiting(failureOf: (maybeWritten: boolean) => RecordFailure): void {
    for (const batch of this.#waiting.takeAll()) this.#drop(batch, failureOf)
    const head = this.#head
    if (head === undefined || this.#state === 'awaiting') return
    if (head.maybeWritten) this.#numbering.raise()
    this.#head = undefined
    this.#drop(head, failureOf)
    this.#becomeReady()
  }

  /** Fails all batches. The head may still be written if the Router has it and cannot give it back. */
  close(failureOf: (maybeWritten: boolean) => RecordFailure): void {
    if (this.#state === 'awaiting' && !this.#attempts.recall()) this.#head!.maybeWritten = true
    this.#attempts.forget()
    this.#state = 'ready'
    this.failWaiting(failureOf)
    this.#becomeIdle()
  }

  #drop(batch: Batch, failureOf: (maybeWritten: boolean) => RecordFailure): void {
    this.#deps.counters.failed += batch.recordCount
    this.charge.releaseBatch(batch)
    const failure = failureOf(batch.maybeWritten)
    batch.span?.failed(failure.code, this.#attempts.count)
    batch.fail(failure, this.topic)
  }
}
