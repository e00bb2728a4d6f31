import type { ActorRef } from '../../core/actor/actor.js'
import { UnavailableError } from '../../core/errors.js'
import { inTime } from '../../core/in-time.js'
import type { Logger, MonotonicClock } from '../../core/model.js'
import { shortened } from '../../core/printable.js'
import { Waiters } from '../../core/waiters.js'
import { codesOf, errorCodes } from '../../kafka/error-codes.js'
import { keyOf, type SharePartitionId } from '../../kafka/protocol/share.js'
import type { Failure, RouterMessage } from '../../router/messages/operations.js'
import type { TimedOut } from '../../router/messages/request.js'
import { kafkaFailure, ownFailure } from '../../router/requests/failures.js'
import { asking } from '../partition/ask.js'
import { PartitionErrors } from './partition-errors.js'
import type { AcknowledgeResult, AcknowledgeType, OnSettled, QueueReaderEvents } from './queue-messages.js'
import { QueuePartitions } from './queue-partitions.js'
import type { LastingError } from './queue-troubles.js'
import type { QueueStart } from './queue-verbs.js'
import { goneLockCodes } from './session-acknowledgements.js'
import type { Lock } from './share-locks.js'
import { ShareMember } from './share-member.js'
import { type Fetched, type FetchLimits, ShareSession } from './share-session.js'

export type * from './queue-messages.js'

export interface QueueReaderOptions {
  readonly topic: string
  readonly groupId: string
  readonly router: ActorRef<RouterMessage>
  readonly now: MonotonicClock
  readonly log: Logger
  readonly events: QueueReaderEvents
  /** Where the group begins in partitions that it has not read. `undefined`: not known. */
  readonly start?: QueueStart | undefined
}

/** How long Kafka waits for messages, divided by the number of leaders, since a release does not end its wait. */
const MAX_WAIT_MS = 250
const MIN_WAIT_MS = 50
/** Pause before the next fetch of a session that was answered at once without messages. */
const PAUSE_MS = 100
const REFUSED_PAUSE_MS = 1_000
/**
 * The pause before the next session with a broker, when its sessions are lost in a row without an answered fetch: none after the
 * first loss, twice this after the second, and twice as long with each further one.
 */
const LOST_AGAIN_PAUSE_MS = 250
const MAX_PAUSE_MS = 2_000
/**
 * A partition has begun when the member is assigned partitions, so that the group has its state for the topic, and when fetches
 * with the partition have been answered for so long. Kafka answers an empty fetch, and tells no error, while the leader still reads
 * the state. Records that are written before the leader has read it are skipped where the group starts at the end.
 */
const BEGIN_MS = 500
const MAX_INT32 = 0x7fff_ffff
const NO_STATE =
  'no partition has a state of the group yet: if this lasts, Kafka cannot make its topic __share_group_state (share.coordinator.state.topic.replication.factor and .min.isr)'
/** The part of the time to close in which sessions are closed. */
const SESSIONS_PART = 0.75
const LOST: AcknowledgeResult = { outcome: 'lost' }
/** The session is gone at its leader. Another one gets its place. */
const goneSessionCodes = codesOf('SHARE_SESSION_NOT_FOUND', 'INVALID_SHARE_SESSION_EPOCH')

/**
 * Acquires messages of one topic for a share group, as many as are waited for, and settles them. There is one session per leader,
 * and every session fetches all partitions of its leader, whatever is assigned to the member. It joins with the first {@link wake}.
 *
 * Nothing is fetched before the member is assigned partitions of the topic. Until then leaders give messages and take
 * acknowledgements, but if a broker fails, the coordinator of the group makes the states of all partitions once more: what was accepted is offered again.
 */
export class QueueReader {
  readonly #options: QueueReaderOptions
  readonly #member: ShareMember
  readonly #partitions: QueuePartitions
  /** Sessions by the id of their broker. */
  readonly #sessions = new Map<number, ShareSession>()
  /** Brokers with a lost session and no answered fetch since: how many were lost in a row, and until when none is opened. */
  readonly #losses = new Map<number, { readonly inARow: number; readonly pausedUntil: number }>()
  /** Failures that were reported, by their subject: the member, the topic, or a broker. */
  readonly #failures = new Map<string, string>()
  /** By partition: time since which its fetches are answered; `true`: the partition has begun. */
  readonly #answeredSince = new Map<string, number | true>()
  readonly #errors: PartitionErrors
  readonly #waitingForBegin = new Waiters()
  /** The topic of which the member was assigned partitions last. */
  #assignedId: string | undefined
  /** Kafka has a state of the group for a partition. */
  #isInitialised = false
  #hasBegun = false
  #isStarted = false
  #fetches = 0
  #pauseTimer: NodeJS.Timeout | undefined
  #closing: Promise<void> | undefined

  constructor(options: QueueReaderOptions) {
    const { router, topic, groupId, now } = options
    const ask = asking(router)
    this.#options = options
    this.#errors = new PartitionErrors(now)
    this.#member = new ShareMember({
      topic,
      groupId,
      ask,
      onAnswered: ({ assignment }) => this.#heartbeatAnswered(assignment),
      onFailed: failure => this.#failed('member', failure)
    })
    this.#partitions = new QueuePartitions({
      topic,
      ask,
      now,
      onFound: failure => this.#partitionsFound(failure),
      onFailed: failure => this.#failed('topic', failure)
    })
  }

  /** The errors that partitions have had for 30 s and longer, and those that do not pass, by partition. */
  get partitionErrors(): ReadonlyMap<number, LastingError> {
    return this.#errors.lasting
  }

  /** Called when the demand has changed, or when messages have become free. */
  wake(): void {
    if (!this.#isStarted && this.#closing === undefined) {
      this.#isStarted = true
      this.#member.join()
      this.#partitions.lookUp()
    }
    this.#fetch()
  }

  /** The acknowledgements of one turn go together in one call. */
  settle(lock: Lock, type: AcknowledgeType, settled: OnSettled): void {
    if (lock.session instanceof ShareSession) lock.session.settle(lock, type, settled)
    else settled(LOST)
  }

  /**
   * Resolves when nothing that is written from now on can be skipped: every partition has had its state for a while. A group that
   * starts at the earliest record skips nothing, so that one partition is enough.
   *
   * @throws UnavailableError after `waitMs`, or when the reader is closed, with a partition that is missing
   */
  async begun(waitMs: number): Promise<void> {
    if (!this.#hasBegun && waitMs > 0 && this.#closing === undefined) await this.#waitingForBegin.wait(waitMs)
    if (this.#hasBegun) return
    if (!this.#isInitialised) throw new UnavailableError('noLeader', NO_STATE)
    const missing = [...this.#partitions.numbers].find(
      partition => this.#answeredSince.get(this.#keyOf(partition)) !== true
    )
    const what = missing === undefined ? 'the topic was not found' : `partition ${missing} was not fetched from`
    throw new UnavailableError('noLeader', `the queue has not begun: ${what}`)
  }

  /** Settles what is queued, ends the sessions, and leaves the group, within `timeoutMs`. Idempotent; never rejects. */
  close(timeoutMs: number): Promise<void> {
    this.#closing ??= this.#close(timeoutMs)
    return this.#closing
  }

  async #close(timeoutMs: number): Promise<void> {
    const { now } = this.#options
    const until = now() + timeoutMs
    const sessions = [...this.#sessions.values()]
    this.#partitions.stop()
    clearTimeout(this.#pauseTimer)
    this.#waitingForBegin.wake()
    const closed = Promise.all(sessions.map(session => session.close()))
    await inTime<unknown, void>(closed, timeoutMs * SESSIONS_PART, () => undefined)
    for (const session of sessions) session.abandon()
    const leftMs = Math.max(1, until - now())
    await inTime(this.#member.leave(leftMs), leftMs, () => undefined)
  }

  #heartbeatAnswered(assignment: ReadonlyMap<string, readonly number[]> | null): void {
    const { topicId } = this.#partitions
    const known = new Set(this.#partitions.numbers)
    const isNew = ([id, assigned]: readonly [string, readonly number[]]): boolean =>
      id !== topicId || assigned.some(partition => !known.has(partition))
    if ([...(assignment ?? [])].some(isNew)) this.#partitions.lookUp()
    for (const [id, assigned] of assignment ?? []) if (assigned.length > 0) this.#assignedId = id
    this.#recovered('member')
    this.#fetch()
  }

  /** Gives each partition to the session with its leader. */
  #partitionsFound(failure: Failure | undefined): void {
    const { numbers, topicId } = this.#partitions
    this.#errors.keepOnly(topicId)
    for (const session of this.#sessions.values()) {
      for (const place of session.partitions.values()) {
        // A partition without a leader stays in its session. The answer of its broker decides, because another broker
        // may lag behind.
        const leaderId = this.#partitions.leaderOf(place.topicId, place.partition) ?? session.nodeId
        if (place.topicId !== topicId || leaderId !== session.nodeId) this.#locksGone(session, place)
      }
    }
    for (const partition of numbers) {
      const leaderId = this.#partitions.leaderOf(topicId!, partition)
      if (leaderId !== undefined) this.#sessionWith(leaderId).addPartition({ topicId: topicId!, partition })
    }
    for (const [nodeId, session] of this.#sessions) {
      if (session.partitions.size > 0) continue
      this.#sessions.delete(nodeId)
      session.abandon()
    }
    for (const nodeId of this.#losses.keys()) if (!this.#sessions.has(nodeId)) this.#losses.delete(nodeId)
    for (const what of this.#failures.keys())
      if (what !== 'member' && what !== 'topic' && !this.#sessions.has(Number(what))) this.#recovered(what)
    if (failure === undefined) this.#recovered('topic')
    else this.#failed('topic', failure)
    this.#fetch()
  }

  #sessionWith(nodeId: number): ShareSession {
    const { router, topic, groupId, now, log } = this.#options
    const known = this.#sessions.get(nodeId)
    if (known !== undefined) return known
    const session = new ShareSession({
      nodeId,
      topic,
      groupId,
      router,
      now,
      log,
      onFetched: (from, fetched) => this.#fetched(from, fetched),
      onLocksGone: (from, partition) => {
        this.#locksGone(from, partition)
        this.#partitions.lookUp()
      },
      onMayFetch: () => this.#fetch(),
      onLate: () => {
        this.#partitions.lookUp()
        this.#fetch()
      },
      onLost: (from, why) => this.#sessionLost(from, why)
    })
    session.pausedUntil = this.#losses.get(nodeId)?.pausedUntil ?? 0
    this.#sessions.set(nodeId, session)
    return session
  }

  get #isAssigned(): boolean {
    return this.#assignedId !== undefined && this.#assignedId === this.#partitions.topicId
  }

  /** Fetches from the leaders that were not asked for the longest time, as long as more messages are wanted. */
  #fetch(): void {
    if (!this.#isAssigned || this.#closing !== undefined) return
    const now = this.#options.now()
    const free = [...this.#sessions.values()].filter(({ mayFetch }) => mayFetch)
    const ready = free.filter(({ pausedUntil }) => pausedUntil <= now)
    if (ready.length < free.length) this.#pauseTimer ??= setTimeout(() => this.#pauseOver(), PAUSE_MS)
    for (const session of ready.sort((one, other) => one.lastFetch - other.lastFetch)) {
      const limits = this.#nextFetch(now)
      if (limits === undefined) return
      session.lastFetch = ++this.#fetches
      session.fetch(limits)
    }
  }

  #pauseOver(): void {
    this.#pauseTimer = undefined
    this.#fetch()
  }

  /** @returns `undefined`: the fetches in flight may bring all that is wanted */
  #nextFetch(now: number): FetchLimits | undefined {
    const { messages, maxBytes, until } = this.#options.events.demand()
    const leaders = this.#sessions.size
    let left = messages
    for (const { expected } of this.#sessions.values()) left -= expected
    if (left <= 0) return undefined
    const maxRecords = messages < leaders ? left : Math.min(left, Math.ceil(messages / leaders))
    return {
      maxRecords,
      maxBytes: Math.min(MAX_INT32, Math.ceil((maxBytes * maxRecords) / messages)),
      maxWaitMs: Math.floor(Math.max(0, Math.min(until - now, Math.max(MIN_WAIT_MS, MAX_WAIT_MS / leaders))))
    }
  }

  #fetched(session: ShareSession, { messages, errors, partitions, tookMs, waitMs, isEmpty }: Fetched): void {
    const { now, events } = this.#options
    this.#losses.delete(session.nodeId)
    let pauseMs = isEmpty && tookMs < waitMs / 2 ? PAUSE_MS : 0
    let refusal: Failure | undefined
    for (const error of errors) {
      const { topicId, partition, errorCode, errorMessage } = error
      if (goneLockCodes.has(errorCode)) {
        this.#locksGone(session, { topicId, partition })
        this.#partitions.lookUp()
      } else if (!this.#hasNothingYet(error) && errorCode !== errorCodes.UNKNOWN_SERVER_ERROR)
        refusal ??= kafkaFailure(errorCode, errorMessage)
    }
    if (refusal !== undefined) pauseMs = REFUSED_PAUSE_MS
    if (pauseMs > 0) session.pausedUntil = now() + pauseMs
    const refused = errors.filter(error => !this.#hasNothingYet(error))
    this.#errors.fetched(partitions.keys(), refused)
    if (!this.#hasBegun) {
      const young = errors.filter(this.#hasNothingYet)
      if (refused.length < partitions.size) this.#isInitialised = true
      this.#noteBegun(
        partitions,
        new Set(refused.map(keyOf)),
        new Set([...messages.map(({ lock }) => lock.key), ...young.map(keyOf)]),
        now() - tookMs
      )
    }
    if (messages.length > 0) events.acquired(messages)
    if (refusal === undefined) this.#recovered(String(session.nodeId))
    else this.#failed(String(session.nodeId), refusal)
  }

  get #isByDuration(): boolean {
    const { start } = this.#options
    return start !== undefined && start !== 'earliest' && start !== 'latest'
  }

  /** A group that begins with the records of the last time: the partition has none, so what is written from now on comes. */
  readonly #hasNothingYet = ({ errorCode }: { readonly errorCode: number }): boolean =>
    errorCode === errorCodes.OFFSET_NOT_AVAILABLE && this.#isByDuration

  #keyOf(partition: number): string {
    return keyOf({ topicId: this.#partitions.topicId ?? '', partition })
  }

  /** Notes of which partitions nothing is skipped any more. `sentAt`: when the fetch was sent with them. */
  #noteBegun(
    partitions: Fetched['partitions'],
    refused: ReadonlySet<string>,
    acquired: ReadonlySet<string>,
    sentAt: number
  ): void {
    const now = this.#options.now()
    for (const key of partitions.keys()) {
      const since = this.#answeredSince.get(key) ?? sentAt
      if (refused.has(key)) this.#answeredSince.delete(key)
      else if (since !== true) this.#answeredSince.set(key, acquired.has(key) || now - since >= BEGIN_MS ? true : since)
    }
    const numbers = [...this.#partitions.numbers]
    const isEnough =
      this.#options.start === 'earliest'
        ? this.#isInitialised
        : numbers.every(partition => this.#answeredSince.get(this.#keyOf(partition)) === true)
    this.#hasBegun = numbers.length > 0 && isEnough
    if (this.#hasBegun) this.#waitingForBegin.wake()
  }

  /** The locks of a partition are gone. It gets a session again with the next look-up. */
  #locksGone(session: ShareSession, partition: SharePartitionId): void {
    if (!session.partitions.has(keyOf(partition))) return
    session.removePartition(partition)
    this.#answeredSince.delete(keyOf(partition))
    this.#options.events.lost(session, partition)
  }

  #sessionLost(session: ShareSession, why: Failure | TimedOut): void {
    const { events, log, topic, groupId } = this.#options
    const { nodeId } = session
    if (this.#sessions.get(nodeId) !== session || this.#closing !== undefined) return
    this.#sessions.delete(nodeId)
    // Another leader, or a leader that was started again, evaluates `latest` again.
    for (const key of session.partitions.keys()) this.#answeredSince.delete(key)
    if (session.hasAcquired) {
      const reason = why.type === 'timedOut' ? why.reason : why.message
      log.info({ topic, groupId: shortened(groupId), nodeId, reason }, 'the session with a leader was lost')
      events.lost(session)
    }
    let leastPauseMs = 0
    if (why.type === 'timedOut')
      this.#failed(String(nodeId), ownFailure('brokerUnreachable', 'the connection to the leader was lost', true))
    else if (why.errorCode === undefined || !goneSessionCodes.has(why.errorCode)) {
      if (why.errorCode !== undefined) leastPauseMs = REFUSED_PAUSE_MS
      this.#failed(String(nodeId), why)
    }
    this.#pause(nodeId, leastPauseMs)
    this.#partitions.lookUp()
  }

  #pause(nodeId: number, leastMs: number): void {
    const before = this.#losses.get(nodeId)?.inARow ?? 0
    const pauseMs = before === 0 ? 0 : Math.min(MAX_PAUSE_MS, LOST_AGAIN_PAUSE_MS * 2 ** before)
    this.#losses.set(nodeId, { inARow: before + 1, pausedUntil: this.#options.now() + Math.max(leastMs, pauseMs) })
  }

  #failed(what: string, failure: Failure): void {
    const text = `${failure.code} ${failure.errorCode}`
    if (this.#closing !== undefined || this.#failures.get(what) === text) return
    this.#failures.set(what, text)
    this.#options.events.failed(failure)
  }

  #recovered(what: string): void {
    if (this.#failures.delete(what) && this.#failures.size === 0 && this.#closing === undefined)
      this.#options.events.recovered()
  }
}
