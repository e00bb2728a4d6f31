import type { Offset, Persisted, RecordFailure } from '../../core/model.js'
import type { BatchAnswer, SealedBatch } from '../../router/messages/operations.js'
import { Attempts } from './attempts.js'
import type { Batch } from './batch.js'
import { PartitionCharge } from './budget.js'
import { failures } from './failures.js'
import { PartitionSearch } from './log-search.js'
import { PartitionNumbering } from './numbering.js'
import type { BatchOwner, PartitionProducerDeps, PartitionProducerState, Siblings } from './partition-producer-deps.js'
import type { ScheduledProducer } from './partition-schedule.js'
import { judge, type Verdict } from './verdict.js'
import { WaitingBatches } from './waiting-batches.js'

const NO_PARTS: readonly Batch[] = []

/**
 * Sends the batches of one partition, in order. Batches wait until the one before them is settled: at most one sealed batch is
 * unacknowledged, the *head*, and it is sent again unchanged. Not an actor, because it is called for every batch.
 */
export abstract class PartitionSender implements ScheduledProducer {
  readonly topic: string
  readonly partition: number
  /** Accounts for the memory of its records. */
  readonly charge: PartitionCharge
  place: number | undefined
  isEmptied = true
  protected readonly deps: PartitionProducerDeps
  protected readonly waiting: WaitingBatches
  protected readonly numbers: PartitionNumbering
  protected readonly search: PartitionSearch
  protected readonly sending: Attempts
  protected current: PartitionProducerState = 'idle'
  protected head: Batch | undefined
  protected headSince = 0
  protected isDeadLettering = false
  /** The last batch that Kafka refused for good; a later batch that it takes ends that. */
  protected refusal: { readonly failure: RecordFailure; readonly at: number } | undefined
  readonly #siblings: Siblings
  #timer: NodeJS.Timeout | undefined

  constructor(topic: string, partition: number, deps: PartitionProducerDeps, siblings: Siblings) {
    this.topic = topic
    this.partition = partition
    this.deps = deps
    this.#siblings = siblings
    this.waiting = new WaitingBatches(deps.settings, this, deps.batchBuffers, deps.spareBatches)
    this.charge = new PartitionCharge(deps.budget, deps.settings.maxPartitionBytes)
    this.numbers = new PartitionNumbering(deps.numbers)
    this.search = new PartitionSearch(this, deps.written)
    this.sending = new Attempts(this, deps.cluster, deps.log)
  }

  abstract tick(nowMs: number): void
  abstract close(failureOf: (maybeWritten: boolean) => RecordFailure): void
  /** Fails the records of the head whose callers wait for outcomes. Nothing may be left of it then. */
  protected abstract failAwaitedOf(head: Batch, failureOf: (persisted: Persisted) => RecordFailure): void

  get state(): PartitionProducerState {
    return this.current
  }

  get batchMaxBytes(): number {
    return this.#siblings.batchMaxBytes
  }

  batchClosed(): void {
    this.#siblings.batchClosed(this.partition)
  }

  /** Only the last attempt with the head is answered. */
  attemptAnswered(answer: BatchAnswer): void {
    this.answered(this.head!, answer)
  }

  /**
   * The batch to send now. Called once after the partition has become ready. `undefined`: there is none, or no producer id yet;
   * the partition becomes ready again when there is one.
   */
  take(nowMs: number): SealedBatch | undefined {
    if (this.current !== 'ready') return undefined
    if (this.head === undefined && this.waiting.isEmpty) {
      this.becomeIdle()
      return undefined
    }
    if (this.head === undefined) this.numbers.changeRecords()
    else if (this.head.maybeWritten && this.search.isDue(this.head.newestMs)) {
      void this.#seek(this.head)
      return undefined
    }
    const numbering = this.numbers.start(this)
    if (numbering === undefined) return undefined
    const head = this.head ?? this.#takeNext(nowMs)
    this.search.sent(numbering)
    this.current = 'awaiting'
    return this.sending.send(head.numbered(numbering, this.deps.sendTimeMs?.()), nowMs)
  }

  #takeNext(nowMs: number): Batch {
    let head = this.waiting.take()
    while (head.recordCount > 1 && head.sizeBytes > this.batchMaxBytes) {
      this.#replace(head, head.split())
      head = this.waiting.take()
    }
    if (this.waiting.isEmpty) this.batchClosed()
    this.head = head
    this.sending.begin()
    this.headSince = Math.floor(nowMs)
    head.tryFrom(nowMs)
    this.beginSpan(head)
    this.lookBy(head.expiresAt)
    this.search.begin()
    this.deps.waitedInPartition?.(nowMs - head.oldestAt)
    return head
  }

  protected beginSpan(head: Batch): void {
    const { tracing, owner } = this.deps
    if (tracing === undefined) return
    const { topic, partition } = this
    const { recordCount, sizeBytes } = head
    const durability = owner === undefined ? 'memory' : 'disk'
    head.span = tracing.send({ topic, partition, recordCount, sizeBytes, durability, contexts: head.traces() })
  }

  /** Searches Kafka's log for the head before sending it again. */
  async #seek(head: Batch): Promise<void> {
    this.enter('sought')
    const numbering = this.search.sentAs
    const finding = await this.search.look(head)
    // The finding is void if something has changed during the search: the head was given up (its time is over, or
    // `close` was called), or another cluster was connected, where the head is sent under another number.
    if (this.head !== head || this.current !== 'sought' || this.search.sentAs !== numbering) return
    if (finding.type === 'found') {
      // The answer to it was lost. If the number was raised meanwhile, the raised one was not used.
      if (this.numbers.current === numbering) this.numbers.advance(head.recordCount)
      this.#delivered(head, finding.baseOffset, -1)
    } else this.becomeReady()
  }

  #delivered(head: Batch, baseOffset: Offset, logAppendTimeMs: number): void {
    this.deps.counters.delivered += head.recordCount
    this.refusal = undefined
    if (baseOffset >= 0) this.search.from = baseOffset + head.recordCount
    this.settled(head)
    head.span?.delivered(baseOffset, this.sending.count)
    head.deliver(this.partition, baseOffset, logAppendTimeMs)
  }

  protected answered(head: Batch, answer: BatchAnswer): void {
    this.sending.answered(answer)
    if (answer.type !== 'notSent') this.numbers.seen()
    this.search.attempted(answer.type !== 'notSent', head.recordCount)
    if (answer.type === 'appended') {
      const { ownTime, clock } = this.deps
      // A batch that was sent before may have been appended before. Records of the log do not know when they were accepted.
      if (answer.logAppendTimeMs >= 0 && this.sending.count === 1 && !head.maybeWritten)
        ownTime.appended(answer.logAppendTimeMs, clock() - this.headSince)
      this.#appended(head, answer.baseOffset, answer.logAppendTimeMs)
      return
    }
    const { owner, clock } = this.deps
    const { topic, partition } = this
    const { isPromised } = head
    if (isPromised && answer.type === 'notSent' && answer.reason === 'uncreatedTopic') {
      this.failAwaitedOf(head, persisted => failures.unknownTopic(topic, persisted))
      if (this.head !== head) return
    }
    const { recordCount, maybeWritten, canRestamp, expiresAt } = head
    const isExpired = clock() >= expiresAt
    const facts = { topic, partition, recordCount, maybeWritten, isPromised, canRestamp, isExpired }
    const verdict = judge({ ...facts, isDurable: owner !== undefined, lastError: this.sending.cause }, answer)
    this.#carryOut(head, verdict)
  }

  #appended(head: Batch, baseOffset: Offset, logAppendTimeMs: number): void {
    this.numbers.advance(head.recordCount)
    if (head.setBackMs !== undefined) this.deps.ownTime.accepted(head.setBackMs)
    this.#delivered(head, baseOffset, logAppendTimeMs)
    // A socket that was given up may still hold the bytes of an earlier attempt, and a search its batch.
    if (this.sending.count !== 1) return
    head.release()
    if (!head.maybeWritten) this.waiting.giveBatch(head)
  }

  #carryOut(head: Batch, verdict: Verdict): void {
    switch (verdict.type) {
      case 'delivered':
        this.#appended(head, verdict.baseOffset, verdict.logAppendTimeMs)
        return
      case 'retry':
        head.maybeWritten = verdict.maybeWritten
        if (verdict.refusal !== undefined) this.deps.owner?.refused?.(this.topic, verdict.refusal)
        this.#backOff(verdict.reason, verdict.soon)
        return
      case 'restart':
        this.sending.stateLost(this.numbers.current?.epoch, verdict.reason)
        this.numbers.raise()
        this.search.isForgotten = true
        this.#backOff(verdict.reason, false)
        return
      case 'restamp':
        this.#restamp(head, verdict.reason)
        return
      case 'split':
        if (verdict.renumber) this.numbers.raise()
        else this.numbers.refused()
        if (verdict.lowersLimit) this.#siblings.batchRefused(head.sizeBytes)
        this.settled(head, head.split())
        head.span?.replaced()
        return
      case 'fail':
        if (this.deps.owner !== undefined) {
          void this.#deadLetter(head, verdict, this.deps.owner)
          return
        }
        if (verdict.failure.code === 'unknownPartition' && !head.maybeWritten) {
          // `takePlaced`, in this call, takes a head that is not `awaiting`. If nothing is left of it, there is no head any
          // more, and the partition is ready for the next batch, or idle. What is left of it fails.
          this.enter('backingOff')
          this.#siblings.misplaced(this.partition)
        }
        if (this.head === head) this.failHead(head, verdict.failure, verdict.renumber)
        return
      case 'suspend':
        this.sending.refused(verdict.failure.message)
        this.enter('suspended')
        this.deps.owner!.suspended(this, verdict.failure)
    }
  }

  #restamp(head: Batch, reason: string): void {
    const { ownTime, counters } = this.deps
    const setBackMs = ownTime.nextAfter(head.setBackMs)
    head.restamp(ownTime.at(setBackMs), setBackMs)
    head.span?.retry(reason)
    counters.retries++
    this.sending.refused(reason)
    this.becomeReady()
  }

  /** Makes a dead letter of the only record of this batch before the next batch is sent. */
  async #deadLetter(head: Batch, verdict: Verdict & { type: 'fail' }, owner: BatchOwner): Promise<void> {
    this.enter('suspended')
    this.isDeadLettering = true
    const isDeadLetter = await owner.deadLetter(head.indexes[0]!, verdict.failure)
    this.isDeadLettering = false
    // `close` has given the head up while the dead letter was written.
    if (this.head !== head) return
    if (isDeadLetter) this.failHead(head, verdict.failure, verdict.renumber)
    else this.#backOff(verdict.failure.message, false)
  }

  protected failHead(head: Batch, failure: RecordFailure, renumber: boolean): void {
    if (renumber) this.numbers.raise()
    this.deps.counters.failed += head.recordCount
    this.refusal = { failure, at: this.deps.clock() }
    this.sending.notDelivered(head.recordCount, failure)
    this.settled(head)
    head.span?.failed(failure.code, this.sending.count)
    head.fail(failure, this.topic)
  }

  /** The head is settled; `parts` take its place. */
  protected settled(head: Batch, parts = NO_PARTS): void {
    this.head = undefined
    this.charge.setStuck(false)
    this.#replace(head, parts)
    if (this.waiting.isEmpty) this.becomeIdle()
    else this.becomeReady()
  }

  #replace(batch: Batch, parts: readonly Batch[]): void {
    if (parts.length > 0) {
      this.waiting.putBack(parts)
      for (const part of parts) this.charge.holdBatch(part)
    }
    this.charge.releaseBatch(batch)
  }

  #backOff(reason: string, soon: boolean): void {
    const { random, settings, counters } = this.deps
    this.current = 'backingOff'
    this.head?.span?.retry(reason)
    counters.retries++
    this.batchClosed()
    const pauseMs = this.sending.pauseMs(reason, soon, settings, random)
    this.#timer = setTimeout(() => this.becomeReady(), pauseMs)
    this.deps.owner?.delayed(this)
  }

  protected becomeIdle(): void {
    this.enter('idle')
    this.charge.emptied()
    this.deps.schedule.emptied(this)
  }

  protected becomeReady(): void {
    this.enter('ready')
    this.deps.schedule.ready(this)
  }

  protected enter(state: PartitionProducerState): void {
    if (this.#timer !== undefined) {
      clearTimeout(this.#timer)
      this.#timer = undefined
    }
    this.current = state
  }

  protected lookBy(at: number): void {
    this.deps.schedule.lookBy(this, at)
  }
}
