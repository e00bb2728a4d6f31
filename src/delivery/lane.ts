import { A_FIFTH_AROUND, backoffMs } from '../backoff.js'
import type { ProduceRecord } from '../model.js'
import type { BatchAnswer, Persisted, RecordFailure, SealedBatch } from '../operations.js'
import { errorCodes } from '../wire/error-codes.js'
import type { Batch } from './batch.js'
import type { BatchLimit } from './batch-limit.js'
import { failures } from './failures.js'
import type { HostedLane, LaneHost } from './lane-host.js'
import { advanced, type Numbering, raised } from './numbering.js'
import type { Ticket } from './ticket.js'
import { judge, type Verdict } from './verdict.js'
import { WaitingBatches } from './waiting-batches.js'

/** Pause before the first retry after a change of leader: the new one is known within moments, or not soon at all. */
const SOON_MS = 15
/** The attempt after which a warning is logged, about a second after the first one. */
const ATTEMPTS_WORTH_A_LINE = 4

/**
 * Where a lane stands.
 *
 *   idle ─ a record ─▶ ready ─ flush ─▶ awaiting ─ acknowledged or failed ─▶ idle, or ready when more is waiting
 *                        ▲                 │ not now
 *                        └── time ── backingOff
 */
export type LaneState = 'idle' | 'ready' | 'awaiting' | 'backingOff'

/**
 * The way of records into one partition, in order: batches that fill or wait, and at most one that is sealed and not
 * acknowledged, which is tried again, frozen, until it is settled. Owned by delivery; not an actor, for it is touched
 * for every record.
 */
export class Lane implements HostedLane {
  readonly topic: string
  readonly partition: number
  readonly #host: LaneHost
  readonly #limit: BatchLimit
  readonly #waiting: WaitingBatches
  #state: LaneState = 'idle'
  #head: Batch | undefined
  #numbering: Numbering | undefined
  #attempts = 0
  #expiresAt = 0
  /** Distinguishes the answer that is waited for from late ones. */
  #awaited: SealedBatch | undefined
  #awaitedSince = 0
  #timer: NodeJS.Timeout | undefined
  #missingSince: number | undefined
  #reason = 'it was waiting to be sent'
  /** What its leader could not be reached for, since a broker last answered. */
  #lastError: string | undefined
  #chargedBytes = 0
  /** The request that everything held belongs to, if there is one. */
  #soleTicket: Ticket | undefined

  /** @param limit of all lanes of the topic */
  constructor(topic: string, partition: number, host: LaneHost, limit: BatchLimit) {
    this.topic = topic
    this.partition = partition
    this.#host = host
    this.#limit = limit
    this.#waiting = new WaitingBatches(host.settings, limit, host.slabs, () => host.batchClosed(this))
  }

  get state(): LaneState {
    return this.#state
  }

  /** When the oldest record held was accepted; infinite: none is held. */
  get oldestAt(): number {
    return Math.min(this.#head?.oldestAt ?? Number.POSITIVE_INFINITY, this.#waiting.oldestAt)
  }

  /** Bytes held, bookkeeping included. */
  get chargedBytes(): number {
    return this.#chargedBytes
  }

  /**
   * Has room for a record: its share of the buffer is not used up, or the lane was empty when the record's request came,
   * since one request within the limits is not refused while there is room.
   */
  hasRoom(bytes: number, ticket: Ticket): boolean {
    if (this.#chargedBytes + bytes <= this.#host.settings.maxLaneBytes) return true
    return (this.#chargedBytes === 0 || this.#soleTicket === ticket) && this.#host.hasSpare(bytes)
  }

  /** Takes a record; its bytes are copied. The caller has asked whether the budgets allow it. */
  append(record: ProduceRecord, timestampMs: number, ticket: Ticket, index: number): void {
    if (this.#chargedBytes === 0) this.#soleTicket = ticket
    else if (this.#soleTicket !== ticket) this.#soleTicket = undefined
    const charge = this.#waiting.append(record, timestampMs, ticket, index)
    this.#chargedBytes += charge
    this.#host.held(charge, 1)
    if (this.#state === 'idle') this.#becomeReady()
  }

  /**
   * What to send now, called once after the lane said that it is ready. `undefined`: nothing, or no producer id yet;
   * then the lane is asked again when there is one.
   */
  take(): SealedBatch | undefined {
    if (this.#state !== 'ready') return undefined
    if (this.#head === undefined && this.#waiting.isEmpty) {
      this.#becomeIdle()
      return undefined
    }
    this.#numbering ??= this.#host.numbering(this)
    if (this.#numbering === undefined) return undefined
    const head = this.#head ?? this.#takeNext()
    const bytes = head.bytesFor(this.#numbering)
    this.#waiting.giveWriter(head.takeWriter())
    const sealed: SealedBatch = {
      topic: this.topic,
      partition: this.partition,
      bytes,
      clusterId: this.#host.clusterId,
      answer: answer => {
        if (this.#awaited === sealed) this.#answered(head, answer)
      },
      delayed: lastError => {
        if (this.#awaited === sealed) this.#lastError = lastError
      }
    }
    this.#awaited = sealed
    this.#awaitedSince = this.#host.clock()
    this.#attempts++
    this.#state = 'awaiting'
    return sealed
  }

  #takeNext(): Batch {
    let head = this.#waiting.take()
    while (head.sizeBytes > this.#limit.bytes && head.recordCount > 1) {
      this.#replace(head, head.split())
      head = this.#waiting.take()
    }
    if (this.#waiting.isEmpty) this.#host.batchClosed(this)
    this.#head = head
    this.#attempts = 0
    this.#expiresAt = this.#host.clock() + this.#host.settings.timeoutMs
    return head
  }

  #answered(head: Batch, answer: BatchAnswer): void {
    this.#awaited = undefined
    const nowMs = this.#host.clock()
    this.#noteMissing(answer, nowMs)
    if (answer.type === 'appended' || answer.type === 'rejected') this.#lastError = undefined
    const facts = {
      topic: this.topic,
      partition: this.partition,
      recordCount: head.recordCount,
      maybeWritten: head.maybeWritten,
      isExpired: nowMs >= this.#expiresAt,
      isMissingTooLong:
        this.#missingSince !== undefined && nowMs - this.#missingSince >= this.#host.settings.unknownTopicWaitMs,
      lastError: this.#cause
    }
    this.#carryOut(head, judge(facts, answer))
  }

  #noteMissing(answer: BatchAnswer, nowMs: number): void {
    const saysMissing =
      answer.type === 'notSent' && (answer.reason === 'unknownTopic' || answer.reason === 'unknownPartition')
    if (saysMissing) this.#missingSince ??= nowMs
    else if (answer.type !== 'rejected' || answer.errorCode !== errorCodes.UNKNOWN_TOPIC_OR_PARTITION)
      this.#missingSince = undefined
    if (saysMissing || (answer.type === 'rejected' && answer.errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION))
      this.#host.lookUp(this)
  }

  #carryOut(head: Batch, verdict: Verdict): void {
    switch (verdict.type) {
      case 'delivered':
        // Void when another cluster has taken the place of the one that answered.
        if (this.#numbering !== undefined) this.#numbering = advanced(this.#numbering, head.recordCount)
        this.#host.counters.delivered += head.recordCount
        this.#settled(head)
        head.deliver(this.partition, verdict.baseOffset, verdict.logAppendTimeMs)
        // Of an earlier attempt somebody may still hold the bytes: a socket that was given up, a broker's queue.
        if (this.#attempts === 1 && head.sealedBytes !== undefined) this.#host.slabs.give(head.sealedBytes)
        return
      case 'retry':
        head.maybeWritten = verdict.maybeWritten
        this.#backOff(verdict.reason, verdict.soon)
        return
      case 'restart':
        this.#host.log.warn(
          { topic: this.topic, partition: this.partition, epoch: this.#numbering?.epoch },
          `kafka has lost what it knew of this producer, going on with the next epoch: ${verdict.reason}`
        )
        this.#renumber()
        this.#backOff(verdict.reason, false)
        return
      case 'split':
        if (verdict.renumber) this.#renumber()
        if (verdict.tooLarge) this.#limit.refused(head.sizeBytes)
        this.#settled(head, head.split())
        return
      case 'fail':
        if (verdict.renumber) this.#renumber()
        this.#failHead(head, verdict.failure)
    }
  }

  #failHead(head: Batch, failure: RecordFailure): void {
    this.#host.counters.failed += head.recordCount
    this.#host.log.warn(
      { topic: this.topic, partition: this.partition, records: head.recordCount, code: failure.code },
      `records were not delivered: ${failure.message}`
    )
    this.#settled(head)
    head.fail(failure)
    if (failure.code === 'unknownTopic') this.#host.topicMissing(this)
  }

  /** The head is done with; `parts` take its place. */
  #settled(head: Batch, parts: readonly Batch[] = []): void {
    this.#head = undefined
    this.#replace(head, parts)
    if (this.#waiting.isEmpty) this.#becomeIdle()
    else this.#becomeReady()
  }

  #replace(batch: Batch, parts: readonly Batch[]): void {
    this.#waiting.putBack(parts)
    for (const part of parts) {
      this.#chargedBytes += part.chargedBytes
      this.#host.held(part.chargedBytes, part.recordCount)
    }
    this.#release(batch)
  }

  /** Another cluster: the producer id is void there, and a broker could take it for somebody else's. */
  clusterChanged(): void {
    this.#numbering = undefined
  }

  /** Holds nothing, and waits for no answer. */
  get isIdle(): boolean {
    return this.#state === 'idle' && this.#chargedBytes === 0
  }

  /** With what it would go on; `undefined`: it has written nothing under the present producer id. */
  get numbering(): Numbering | undefined {
    return this.#numbering
  }

  #renumber(): void {
    const used = this.#numbering
    if (used === undefined) return
    this.#numbering = raised(used)
    if (this.#numbering === undefined) this.#host.usedUp(used.producerId)
  }

  #backOff(reason: string, soon: boolean): void {
    const { random, settings, counters } = this.#host
    this.#reason = reason
    this.#state = 'backingOff'
    counters.retries++
    this.#host.batchClosed(this)
    const delayMs =
      soon && this.#attempts === 1
        ? SOON_MS * (0.5 + random())
        : backoffMs(this.#attempts - 1, settings.retryBackoffMs, settings.retryBackoffMaxMs, random, A_FIFTH_AROUND)
    this.#timer = setTimeout(() => this.#becomeReady(), delayMs)
    if (this.#attempts === ATTEMPTS_WORTH_A_LINE) this.#logTrouble()
  }

  #logTrouble(): void {
    this.#host.log.warn(
      { topic: this.topic, partition: this.partition, attempts: this.#attempts },
      `a batch is not taken yet: ${this.#reason}`
    )
  }

  #becomeIdle(): void {
    this.#enter('idle')
    this.#soleTicket = undefined
    this.#host.emptied(this)
  }

  #becomeReady(): void {
    this.#enter('ready')
    this.#host.ready(this)
  }

  #enter(state: LaneState): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#state = state
  }

  /** Ends what is over: waits of callers, tries of a batch, the patience with an answer that does not come. */
  tick(nowMs: number): void {
    this.#countWithdrawn(this.#waiting.expire(nowMs, this.#tooLate, batch => this.#release(batch)))
    const head = this.#head
    if (head === undefined) return
    if (this.#state === 'awaiting') {
      head.expire(nowMs, false, this.#tooLate)
      if (nowMs - this.#awaitedSince >= this.#host.settings.answerTimeoutMs) this.#giveUpWaiting(head)
      return
    }
    this.#countWithdrawn(head.expire(nowMs, !head.maybeWritten, this.#tooLate))
    if (head.isEmpty) this.#settled(head)
    else if (nowMs >= this.#expiresAt) this.#expireHead(head)
  }

  /** What a record is told whose time is over. */
  readonly #tooLate = (persisted: Persisted): RecordFailure =>
    this.#missingSince !== undefined && persisted === 'no'
      ? failures.unknownTopic(this.topic)
      : failures.timedOut(this.#reason, persisted, this.#cause)

  get #cause(): string | undefined {
    return this.#lastError ?? this.#host.awayBecause
  }

  #giveUpWaiting(head: Batch): void {
    const error = new Error('the router did not answer')
    this.#host.log.error({ topic: this.topic, partition: this.partition }, error.message)
    this.#answered(head, { type: 'unanswered', error })
  }

  #expireHead(head: Batch): void {
    if (head.maybeWritten) this.#renumber()
    this.#failHead(head, failures.timedOut(this.#reason, head.maybeWritten ? 'unknown' : 'no', this.#cause))
  }

  #countWithdrawn(records: number): void {
    this.#host.counters.withdrawn += records
    this.#host.held(0, -records)
  }

  #release(batch: Batch): void {
    this.#chargedBytes -= batch.chargedBytes
    this.#host.held(-batch.chargedBytes, -batch.recordCount)
  }

  /** Fails all that waits behind the head, and the head too unless the Router has it. */
  failWaiting(failureOf: (maybeWritten: boolean) => RecordFailure): void {
    for (const batch of this.#waiting.takeAll()) this.#drop(batch, failureOf)
    if (this.#state !== 'awaiting') this.#missingSince = undefined
    const head = this.#head
    if (head === undefined || this.#state === 'awaiting') return
    if (head.maybeWritten) this.#renumber()
    this.#head = undefined
    this.#drop(head, failureOf)
    this.#becomeReady()
  }

  /** Lets go of everything; what the Router has may still be written. */
  close(failureOf: (maybeWritten: boolean) => RecordFailure): void {
    if (this.#state === 'awaiting') this.#head!.maybeWritten = true
    this.#awaited = undefined
    this.#state = 'ready'
    this.failWaiting(failureOf)
    this.#becomeIdle()
  }

  #drop(batch: Batch, failureOf: (maybeWritten: boolean) => RecordFailure): void {
    this.#host.counters.failed += batch.recordCount
    this.#release(batch)
    batch.fail(failureOf(batch.maybeWritten))
  }
}
