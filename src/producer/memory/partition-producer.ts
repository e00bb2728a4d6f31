import type { Offset, ProduceRecord, RecordFailure } from '../../core/model.js'
import type { BatchAnswer, SealedBatch } from '../../router/messages/operations.js'
import { AwaitedAnswer } from './awaited-answer.js'
import { type Batch, boundlessBatch } from './batch.js'
import type { BatchLimit } from './batch-limit.js'
import type { Numbering } from './numbering.js'
import { PartitionCharge } from './partition-charge.js'
import { PartitionNumbering } from './partition-numbering.js'
import type { BatchOwner, PartitionProducerDeps, ScheduledProducer } from './partition-producer-deps.js'
import { PartitionProducerLog } from './partition-producer-log.js'
import { PartitionSearch } from './partition-search.js'
import { PartitionTrouble } from './partition-trouble.js'
import type { OutcomeReceiver } from './pending-produce.js'
import { retryPauseMs } from './retry-pause.js'
import { judge, type Verdict } from './verdict.js'
import { WaitingBatches } from './waiting-batches.js'

/** The attempt after which a warning is logged, about a second after the first one. */
const ATTEMPTS_WORTH_A_LINE = 4
/** A partition is stuck when a batch has waited so long for its acknowledgement, however often it was tried. */
const STUCK_AFTER_MS = 500

/**
 * Where a partition stands.
 *
 *   idle ─ a record ─▶ ready ─ flush ─▶ awaiting ─ acknowledged or failed ─▶ idle, or ready when more is waiting
 *                        ▲                 │ not now
 *                        └── time ── backingOff
 *
 * A batch that may have been written, and that brokers may not recognise any more, is `sought` in the log first.
 *
 * A partition of the durable log that has nowhere to send its records, or whose record is becoming a dead letter, is
 * `suspended` instead of failing them.
 */
export type PartitionProducerState = 'idle' | 'ready' | 'awaiting' | 'backingOff' | 'sought' | 'suspended'

/** A record that was in a batch before, and what its pending produce calls it. */
export interface SentRecord {
  readonly record: ProduceRecord
  readonly timestampMs: number
  readonly index: number
  /** Epoch milliseconds: it was not sent before. */
  readonly acceptedAtMs: number
}

/**
 * The way of records into one partition, in order: batches that fill or wait, and at most one that is sealed and not
 * acknowledged, which is tried again, frozen, until it is settled. Owned by delivery; not an actor, for it is touched
 * for every record.
 */
export class PartitionProducer implements ScheduledProducer {
  readonly topic: string
  readonly partition: number
  readonly #deps: PartitionProducerDeps
  readonly #limit: BatchLimit
  readonly #onBatchClosed: () => void
  readonly #waiting: WaitingBatches
  readonly #charge: PartitionCharge
  readonly #numbering: PartitionNumbering
  readonly #search: PartitionSearch
  readonly #trouble: PartitionTrouble
  readonly #answer = new AwaitedAnswer()
  readonly #log: PartitionProducerLog
  #state: PartitionProducerState = 'idle'
  #head: Batch | undefined
  #attempts = 0
  /** When the head was tried first. */
  #headSince = 0
  #isDeadLettering = false
  #timer: NodeJS.Timeout | undefined

  /**
   * @param limit of all partitions of the topic
   * @param onBatchClosed a batch was sealed or is full, or there is trouble: records without a key may go elsewhere now
   */
  constructor(
    topic: string,
    partition: number,
    deps: PartitionProducerDeps,
    limit: BatchLimit,
    onBatchClosed: () => void
  ) {
    this.topic = topic
    this.partition = partition
    this.#deps = deps
    this.#limit = limit
    this.#onBatchClosed = onBatchClosed
    this.#waiting = new WaitingBatches(deps.settings, limit, deps.batchBuffers, onBatchClosed)
    this.#charge = new PartitionCharge(deps.budget, deps.settings.maxPartitionBytes)
    this.#numbering = new PartitionNumbering(deps.numbers)
    this.#search = new PartitionSearch(deps.written, deps.clock)
    this.#trouble = new PartitionTrouble(topic, deps.cluster)
    this.#log = new PartitionProducerLog(deps.log, this)
  }

  get state(): PartitionProducerState {
    return this.#state
  }

  /** When the oldest record held was accepted; infinite: none is held. */
  get oldestAt(): number {
    return Math.min(this.#head?.oldestAt ?? Number.POSITIVE_INFINITY, this.#waiting.oldestAt)
  }

  /** What it holds of the buffer. */
  get charge(): PartitionCharge {
    return this.#charge
  }

  /** Takes a record; its bytes are copied. The caller has asked whether the budgets allow it. */
  append(record: ProduceRecord, timestampMs: number, pendingProduce: OutcomeReceiver, index: number): void {
    this.#charge.take(this.#waiting.append(record, timestampMs, pendingProduce, index), pendingProduce)
    if (this.#state === 'idle') this.#becomeReady()
  }

  /**
   * What to send now, called once after the partition said that it is ready. `undefined`: nothing, or no producer id yet;
   * then the partition is asked again when there is one.
   */
  take(): SealedBatch | undefined {
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
    const head = this.#head ?? this.#takeNext()
    this.#search.sent(numbering)
    const { clock, cluster } = this.#deps
    const bytes = head.bytesFor(numbering, this.#deps.sendTimeMs?.())
    this.#waiting.giveWriter(head.takeWriter())
    this.#attempts++
    this.#state = 'awaiting'
    const { topic, partition } = this
    return this.#answer.expect({ topic, partition, bytes, clusterId: cluster.clusterId }, clock(), {
      answered: answer => this.#answered(head, answer),
      delayed: lastError => this.#trouble.delayed(lastError)
    })
  }

  #takeNext(): Batch {
    let head = this.#waiting.take()
    while (head.sizeBytes > this.#limit.bytes && head.recordCount > 1) {
      this.#replace(head, head.split())
      head = this.#waiting.take()
    }
    if (this.#waiting.isEmpty) this.#onBatchClosed()
    this.#head = head
    this.#attempts = 0
    this.#headSince = this.#deps.clock()
    head.tryFrom(this.#headSince)
    this.#search.begin()
    this.#deps.waitedInPartition?.(this.#headSince - head.oldestAt)
    return head
  }

  /** Looks whether the head is in the log, before it is sent again. */
  async #seek(head: Batch): Promise<void> {
    this.#enter('sought')
    const numbering = this.#search.sentAs
    const finding = await this.#search.look(this.#placeOf(head), head.newestMs)
    if (this.#head !== head || this.#state !== 'sought' || this.#search.sentAs !== numbering) return
    if (finding.type === 'found') this.#found(head, finding.baseOffset)
    else if (finding.type === 'later') this.#backOff(finding.reason, false)
    else this.#becomeReady()
  }

  #placeOf({ recordCount }: Batch): { topic: string; partition: number; recordCount: number } {
    return { topic: this.topic, partition: this.partition, recordCount }
  }

  /** It is in the log; the answer to it was lost. */
  #found(head: Batch, baseOffset: Offset): void {
    // A number that was raised meanwhile has not been used.
    if (this.#numbering.current === this.#search.sentAs) this.#numbering.advance(head.recordCount)
    this.#search.acknowledged(baseOffset + head.recordCount)
    this.#deps.counters.delivered += head.recordCount
    this.#settled(head)
    head.deliver(this.partition, baseOffset, -1)
  }

  #answered(head: Batch, answer: BatchAnswer): void {
    this.#answer.forget()
    const nowMs = this.#deps.clock()
    this.#trouble.answered(answer)
    if (answer.type === 'notSent') this.#search.notSent()
    else {
      this.#numbering.seen()
      this.#search.arrived(this.#placeOf(head))
    }
    const facts = {
      topic: this.topic,
      partition: this.partition,
      recordCount: head.recordCount,
      maybeWritten: head.maybeWritten,
      isExpired: nowMs >= head.expiresAt,
      isDurable: this.#deps.owner !== undefined,
      lastError: this.#trouble.cause
    }
    this.#carryOut(head, judge(facts, answer))
  }

  #carryOut(head: Batch, verdict: Verdict): void {
    switch (verdict.type) {
      case 'delivered':
        this.#numbering.advance(head.recordCount)
        this.#deps.counters.delivered += head.recordCount
        if (verdict.baseOffset >= 0) this.#search.acknowledged(verdict.baseOffset + head.recordCount)
        this.#settled(head)
        head.deliver(this.partition, verdict.baseOffset, verdict.logAppendTimeMs)
        // The bytes of an earlier attempt may still be held by a socket that was given up.
        if (this.#attempts === 1 && head.sealedBytes !== undefined) this.#deps.batchBuffers.give(head.sealedBytes)
        return
      case 'retry':
        head.maybeWritten = verdict.maybeWritten
        if (verdict.refusal !== undefined) this.#deps.owner?.refused?.(this.topic, verdict.refusal)
        this.#backOff(verdict.reason, verdict.soon)
        return
      case 'restart':
        this.#log.stateLost(this.#numbering.current?.epoch, verdict.reason)
        this.#numbering.raise()
        this.#search.forgotten()
        this.#backOff(verdict.reason, false)
        return
      case 'split':
        if (verdict.renumber) this.#numbering.raise()
        if (verdict.tooLarge) this.#limit.refused(head.sizeBytes)
        this.#settled(head, head.split())
        return
      case 'fail':
        if (this.#deps.owner === undefined) this.#giveUp(head, verdict)
        else void this.#deadLetter(head, verdict, this.#deps.owner)
        return
      case 'suspend':
        this.#trouble.refused(verdict.failure.message)
        this.#enter('suspended')
        this.#deps.owner!.suspended(this, verdict.failure)
    }
  }

  #giveUp(head: Batch, { failure, renumber }: Verdict & { type: 'fail' }): void {
    if (renumber) this.#numbering.raise()
    this.#failHead(head, failure)
  }

  /** The record of the durable log that is alone in this batch becomes a dead letter before the next one is sent. */
  async #deadLetter(head: Batch, verdict: Verdict & { type: 'fail' }, owner: BatchOwner): Promise<void> {
    this.#enter('suspended')
    this.#isDeadLettering = true
    const isDeadLetter = await owner.deadLetter(head.indexes[0]!, verdict.failure)
    this.#isDeadLettering = false
    if (this.#head !== head) return
    if (isDeadLetter) this.#giveUp(head, verdict)
    else this.#backOff(verdict.failure.message, false)
  }

  #failHead(head: Batch, failure: RecordFailure): void {
    this.#deps.counters.failed += head.recordCount
    this.#log.notDelivered(head.recordCount, failure)
    this.#settled(head)
    head.fail(failure, this.topic)
  }

  /** The head is done with; `parts` take its place. */
  #settled(head: Batch, parts: readonly Batch[] = []): void {
    this.#head = undefined
    this.#charge.setStuck(false)
    this.#replace(head, parts)
    if (this.#waiting.isEmpty) this.#becomeIdle()
    else this.#becomeReady()
  }

  #replace(batch: Batch, parts: readonly Batch[]): void {
    this.#waiting.putBack(parts)
    for (const part of parts) this.#charge.hold(part.chargedBytes, part.recordCount)
    this.#release(batch)
  }

  /** What pending produces call the records of the batch that is being tried. */
  get sentIndexes(): readonly number[] {
    return this.#head?.indexes ?? []
  }

  /**
   * Goes on where another process stopped: these records were one batch, which may have been written. The same batch
   * under the same number is recognised by Kafka; without one they get a new number, and may be there twice.
   */
  resume(records: readonly SentRecord[], pendingProduce: OutcomeReceiver, numbering: Numbering | undefined): void {
    const head = boundlessBatch(this.#deps.settings)
    for (const { record, timestampMs, index } of records) head.append(record, timestampMs, pendingProduce, index)
    head.maybeWritten = true
    this.#head = head
    this.#headSince = this.#deps.clock()
    this.#numbering.resume(numbering)
    this.#search.begin(newestAcceptedAt(records), numbering)
    this.#charge.hold(head.chargedBytes, head.recordCount)
    this.#becomeReady()
  }

  /** Lets go of what was never sent. Returns what pending produces call the records. */
  takeBack(): number[] {
    return this.#waiting.takeAll().flatMap(batch => {
      this.#release(batch)
      return batch.indexes
    })
  }

  /** The same for the batch that is being tried, unless the Router has it: to be sent elsewhere, if it was not written. */
  takeBackSent(): readonly number[] {
    const head = this.#head
    if (head === undefined || this.#state === 'awaiting' || this.#isDeadLettering) return []
    this.#head = undefined
    this.#release(head)
    this.#becomeReady()
    return head.indexes
  }

  /**
   * The same for a partition that waits before it tries again: its batch is to come back by {@link resume}. Returns `undefined` when it
   * does not wait, or when it has to look for the batch first, which only this partition knows.
   */
  setAside(): { readonly indexes: readonly number[]; readonly numbering: Numbering | undefined } | undefined {
    const head = this.#head
    if (head === undefined || this.#state !== 'backingOff' || this.#search.mustLook) return undefined
    this.#head = undefined
    this.#release(head)
    this.#becomeIdle()
    return { indexes: head.indexes, numbering: this.#numbering.current }
  }

  /** There may be somewhere to send records again. */
  wake(): void {
    if (this.#state === 'suspended' && !this.#isDeadLettering) this.#becomeReady()
  }

  /** Another cluster: the producer id is void there, and a broker could take it for another producer's. */
  clusterChanged(): void {
    this.#numbering.forget()
    this.#search.clusterChanged()
    if (this.#state === 'sought') this.#becomeReady()
  }

  /** The Router has a batch of it. */
  get isAwaiting(): boolean {
    return this.#state === 'awaiting'
  }

  /** Holds nothing, and waits for no answer. */
  get isIdle(): boolean {
    return this.#state === 'idle' && this.#charge.bytes === 0
  }

  /** With what it would go on; `undefined`: it has written nothing under the present producer id. */
  get numbering(): Numbering | undefined {
    return this.#numbering.current
  }

  #backOff(reason: string, soon: boolean): void {
    const { random, settings, counters } = this.#deps
    this.#trouble.refused(reason)
    this.#state = 'backingOff'
    counters.retries++
    this.#onBatchClosed()
    const delayMs = retryPauseMs(this.#attempts, soon, settings, random)
    this.#timer = setTimeout(() => this.#becomeReady(), delayMs)
    this.#deps.owner?.delayed(this)
    if (this.#attempts === ATTEMPTS_WORTH_A_LINE) this.#log.notTakenYet(this.#attempts, reason)
  }

  #becomeIdle(): void {
    this.#enter('idle')
    this.#charge.emptied()
    this.#deps.schedule.emptied(this)
  }

  #becomeReady(): void {
    this.#enter('ready')
    this.#deps.schedule.ready(this)
  }

  #enter(state: PartitionProducerState): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#state = state
  }

  /** Ends what is over: waits of callers, tries of a batch, the patience with an answer that does not come. */
  tick(nowMs: number): void {
    const { tooLate } = this.#trouble
    this.#countWithdrawn(this.#waiting.expire(nowMs, tooLate, batch => this.#release(batch), this.topic))
    const head = this.#head
    if (head === undefined) return
    if (nowMs - this.#headSince >= STUCK_AFTER_MS) this.#becomeStuck()
    if (this.#state === 'awaiting' && !this.#recall(head, nowMs)) {
      head.expire(nowMs, false, tooLate)
      if (this.#answer.waitedMs(nowMs) >= this.#deps.settings.answerTimeoutMs) this.#giveUpWaiting(head)
      return
    }
    const withdrawn = head.expire(nowMs, !head.maybeWritten, tooLate, this.topic)
    if (withdrawn > 0) this.#numbering.changeRecords()
    this.#countWithdrawn(withdrawn)
    if (head.isEmpty) this.#settled(head)
    else if (nowMs >= head.expiresAt) this.#expireHead(head)
  }

  /** Takes the batch back from the Router when the deadline of a record is over and not one byte has left. */
  #recall(head: Batch, nowMs: number): boolean {
    if (head.earliestDeadlineAt > nowMs || head.maybeWritten || !this.#answer.recall()) return false
    this.#attempts--
    this.#becomeReady()
    return true
  }

  #becomeStuck(): void {
    if (this.#charge.isStuck) return
    this.#charge.setStuck(true)
    this.#onBatchClosed()
  }

  #giveUpWaiting(head: Batch): void {
    const error = new Error('the router did not answer')
    this.#log.notAnswered(error)
    const isUnsent = this.#answer.recall()
    const notSent = { type: 'notSent', reason: 'noLeader', message: error.message } as const
    this.#answered(head, isUnsent ? notSent : { type: 'unanswered', error })
  }

  #expireHead(head: Batch): void {
    if (head.maybeWritten) this.#numbering.raise()
    this.#failHead(head, this.#trouble.timedOut(head.maybeWritten ? 'unknown' : 'no'))
  }

  #countWithdrawn(records: number): void {
    this.#deps.counters.withdrawn += records
    this.#charge.hold(0, -records)
  }

  #release(batch: Batch): void {
    this.#charge.hold(-batch.chargedBytes, -batch.recordCount)
  }

  /** Fails all that waits behind the head, and the head too unless the Router has it. */
  failWaiting(failureOf: (maybeWritten: boolean) => RecordFailure): void {
    for (const batch of this.#waiting.takeAll()) this.#drop(batch, failureOf)
    const head = this.#head
    if (head === undefined || this.#state === 'awaiting') return
    if (head.maybeWritten) this.#numbering.raise()
    this.#head = undefined
    this.#drop(head, failureOf)
    this.#becomeReady()
  }

  /** Lets go of everything; what the Router has may still be written, unless it can be taken back. */
  close(failureOf: (maybeWritten: boolean) => RecordFailure): void {
    if (this.#state === 'awaiting' && !this.#answer.recall()) this.#head!.maybeWritten = true
    this.#answer.forget()
    this.#state = 'ready'
    this.failWaiting(failureOf)
    this.#becomeIdle()
  }

  #drop(batch: Batch, failureOf: (maybeWritten: boolean) => RecordFailure): void {
    this.#deps.counters.failed += batch.recordCount
    this.#release(batch)
    batch.fail(failureOf(batch.maybeWritten), this.topic)
  }
}

const newestAcceptedAt = (records: readonly SentRecord[]): number =>
  records.reduce((newest, { acceptedAtMs }) => Math.max(newest, acceptedAtMs), 0)
