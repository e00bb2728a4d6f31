import { noop } from '../../core/ending.js'
import { withFields } from '../../core/log-fields.js'
import type { LoopTurns } from '../../core/loop-turns.js'
import { type Logger, MAX_TIMER_MS } from '../../core/model.js'
import { shortened } from '../../core/printable.js'
import type { IsolationLevel } from '../../kafka/calls.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { Failure } from '../../router/messages/request.js'
import { Alarm } from '../../router/requests/deadlines.js'
import { failureOf, ownFailure } from '../../router/requests/failures.js'
import type { Asker } from '../group/consume-result.js'
import { FetchLimit, type FetchLimitDeps } from './fetch-limit.js'
import type { HeldMessage } from './held-messages.js'
import { MessageGiver } from './message-giver.js'
import { MessageLocks, type MessageLocksDeps } from './message-locks.js'
import { troubleOfPartitions } from './partition-errors.js'
import { openGroup, type QueueAdmin } from './queue-opening.js'
import type { AcknowledgeType, Acquired, QueueDemand, QueueReader, QueueReaderEvents } from './queue-reader.js'
import type { QueueTokens } from './queue-token.js'
import type { LastingError, QueueTroubles } from './queue-troubles.js'
import type {
  AcquireFailure,
  AcquireOptions,
  AcquireResult,
  QueueLimits,
  QueueMessage,
  QueueSettings,
  QueueStart
} from './queue-verbs.js'
import type { TellResult } from './settled-tokens.js'
import { WaitingAcquire } from './waiting-acquire.js'
import { WaitingAcquires } from './waiting-acquires.js'

/** How long a queue without acquires and messages stays a member of its group. */
const IDLE_MS = 30_000
/** How much longer than its client wanted an acquire waits until the queue has begun. */
const BEGIN_GRACE_MS = 10_000
const CLOSE_MS = 5_000
/** The delivery limit may be changed by others. */
const SETTINGS_AGE_MS = 60_000
const SETTINGS_TIMEOUT_MS = 10_000
const NOT_OPEN = ownFailure('timedOut', 'the queue has not begun yet: Kafka has not answered in time', true)

/** Objects that all queues of a process share. */
export interface SharedByQueues extends Omit<MessageLocksDeps, 'isShort'>, FetchLimitDeps {
  readonly limits: QueueLimits
  readonly admin: QueueAdmin
  openReader(
    topic: string,
    groupId: string,
    events: QueueReaderEvents,
    start: QueueStart | undefined
  ): Pick<QueueReader, 'wake' | 'settle' | 'begun' | 'close' | 'partitionErrors'>
  tokenOf: QueueTokens['write']
  /** Lets queues take turns with other long work. */
  readonly turns: LoopTurns
  readonly troubles: QueueTroubles
  /** Isolation of the reads of this process. `undefined`: Kafka decides. */
  readonly isolation: IsolationLevel | undefined
}

export interface QueueOwner {
  /** Called once, when it takes no further acquires. `failure`: why it cannot be served, if that is so. */
  leaving(failure: Failure | undefined): void
  /** Called once, when the group is left. */
  left(): void
}

/** A queue that is open in this process, or has had trouble lately, for the status page. */
export interface QueueView {
  readonly topic: string
  readonly group: string
  readonly held: number
  /** Held messages that Kafka archives when they are released. */
  readonly lastDeliveries: number
  /** Messages that it has archived at their last delivery, as far as is known, since the queue was opened. */
  readonly archived: number
  readonly waiting: number
  /** Time since the oldest held message was acquired; 0: none is held. */
  readonly oldestHeldMs: number
  readonly failure: string | undefined
  /** How long it cannot be served. `undefined`: it is served, or fails for moments. */
  readonly notServedMs: number | undefined
  /** How long ago a message was archived at its last delivery. `undefined`: none was lately. */
  readonly archivedAgoMs: number | undefined
  /** Isolation of the group, if it differs from that of other reads. `undefined`: it is the same, or unknown. */
  readonly differentIsolation: IsolationLevel | undefined
}

/** The acquires that wait for messages of one topic for a share group, and the messages that this process holds for them. */
export class Queue {
  readonly topic: string
  readonly groupId: string
  readonly #shared: SharedByQueues
  readonly #owner: QueueOwner
  readonly #log: Logger
  readonly #waiting: WaitingAcquires
  readonly #giver: MessageGiver
  readonly #fetchLimit: FetchLimit
  /** `undefined`: the group is being looked at, before it is joined. */
  #joined: { readonly reader: ReturnType<SharedByQueues['openReader']>; readonly locks: MessageLocks } | undefined
  #settingsReadAt = 0
  #isNewGroup = false
  /** True: no record that is written from now on is skipped. */
  #hasBegun = false
  /** Messages are given before all partitions have begun, because no record is skipped by that. */
  #givesAtOnce = false
  /** The queue has begun, and some acquires were waiting whose time was already over. */
  #hasLate = false
  #failure: Failure | undefined
  #idleAlarm: Alarm | undefined
  #afterChange: NodeJS.Immediate | undefined
  /** No acquire waits any more: messages that come, or come back, are released. */
  #isDraining = false
  #isClosed = false
  #closing: Promise<void> = Promise.resolve()

  constructor(topic: string, groupId: string, shared: SharedByQueues, owner: QueueOwner) {
    this.topic = topic
    this.groupId = groupId
    this.#shared = shared
    this.#owner = owner
    this.#waiting = new WaitingAcquires(shared, () => this.limitChanged())
    this.#giver = new MessageGiver({
      ...shared,
      waiting: this.#waiting,
      locks: () => (this.#hasBegun || this.#givesAtOnce ? this.#joined?.locks : undefined),
      answer: acquire => this.#answer(acquire),
      onDone: () => this.#answerLate()
    })
    this.#fetchLimit = new FetchLimit(shared, () => this.limitChanged())
    this.#log = withFields(shared.log, { topic, groupId: shortened(groupId) })
  }

  get #held(): number {
    return this.#joined?.locks.size ?? 0
  }

  /** Messages that are held, and that no client has. */
  get spare(): number {
    return this.#joined?.locks.spare.size ?? 0
  }

  /** {@link QueueReader.partitionErrors} */
  get partitionErrors(): ReadonlyMap<number, LastingError> {
    return this.#joined?.reader.partitionErrors ?? new Map()
  }

  /** As the status page shows it. */
  view(): QueueView {
    const { topic, groupId: group, partitionErrors } = this
    const { troubles, isolation, now: clock } = this.#shared
    const now = clock()
    const { notServed = troubleOfPartitions(partitionErrors), archivedAgoMs } = troubles.of(this, true)
    const { lastDeliveries = 0, archived = 0, oldestSince, settings } = this.#joined?.locks ?? {}
    return {
      topic,
      group,
      held: this.#held,
      lastDeliveries,
      archived,
      waiting: this.#waiting.size,
      oldestHeldMs: now - (oldestSince ?? now),
      failure: this.#failure?.message ?? notServed?.message,
      notServedMs: notServed?.forMs,
      archivedAgoMs,
      differentIsolation: isolation === settings?.isolation ? undefined : isolation && settings?.isolation
    }
  }

  /** @param releasePlace called once, when it is answered or its client has gone */
  acquire(options: AcquireOptions, asker: Asker<AcquireResult>, releasePlace: () => void): () => void {
    const startsAt = this.#shared.now()
    const acquire = new WaitingAcquire(options, asker, startsAt, one => this.#due(one), releasePlace)
    this.#waiting.add(acquire)
    if (this.#failure?.retriable === false) this.#refuse(acquire, this.#failure)
    this.#serve()
    this.#joined?.reader.wake()
    return () => this.#gone(acquire)
  }

  /** Joins the group. To be called once, after the first acquire. */
  async join(): Promise<void> {
    const { topic, groupId } = this
    const { admin, limits, isolation, openReader, now } = this.#shared
    const waiting = this.#waiting.all()
    const refuse = (acquire: WaitingAcquire, failure: AcquireFailure): void => this.#refuse(acquire, failure)
    const opened = await openGroup({ topic, groupId, admin, limits, isolation, waiting, refuse })
    if (this.#isClosed) return
    if (opened.type === 'refused') {
      void this.close()
      return
    }
    if (opened.type === 'failed') {
      this.#failed(opened)
      return
    }
    const start = opened.settings?.start
    const events: QueueReaderEvents = {
      demand: () => this.#demand(),
      acquired: messages => this.#acquired(messages),
      lost: (session, partition) => this.#joined!.locks.lost(session, partition),
      failed: failure => this.#failed(failure),
      recovered: () => this.#recovered()
    }
    const reader = openReader(topic, groupId, events, start)
    const ofQueue = {
      log: this.#log,
      archived: () => this.#shared.troubles.archived(this),
      isShort: () => this.#waiting.isShort
    }
    const locks = new MessageLocks({ ...this.#shared, ...ofQueue }, reader, () => this.#watchIdle())
    this.#joined = { reader, locks }
    locks.settings = opened.settings
    this.#settingsReadAt = now()
    this.#isNewGroup = opened.isNewGroup
    this.#givesAtOnce = start !== undefined && start !== 'latest'
    reader.begun(MAX_TIMER_MS).then(() => this.#begun(), noop)
    reader.wake()
  }

  /** Takes note of settings of the group. */
  configured(settings: QueueSettings | undefined): void {
    this.#settingsReadAt = this.#shared.now()
    if (this.#joined !== undefined) this.#joined.locks.settings = settings
  }

  /** The message whose newest token this is. */
  find(token: string): HeldMessage | undefined {
    return this.#joined?.locks.find(token)
  }

  /** Settles a message that was found by its token. */
  settle(held: HeldMessage, type: AcknowledgeType, delayMs: number, tell: TellResult): void {
    this.#joined!.locks.settle(held, type, this.#isDraining ? 0 : delayMs, tell)
  }

  /** The client that got the messages has not seen them. */
  takeBack(messages: readonly QueueMessage[]): void {
    for (const { token, record } of messages) {
      const held = this.find(token)
      if (held !== undefined) this.#joined!.locks.takeBack(held, record)
    }
    this.#serve()
  }

  /** Answers all waiting acquires, and releases what no client has, delayed releases included. */
  drain(): void {
    this.#isDraining = true
    for (const acquire of this.#waiting.all()) this.#answer(acquire)
    this.#joined?.locks.releaseUnclaimed()
  }

  /** Leaves the group. All messages that are still held are released with their sessions. Idempotent; never rejects. */
  close(): Promise<void> {
    if (!this.#isClosed) {
      this.#isClosed = true
      this.#closing = this.#close()
    }
    return this.#closing
  }

  async #close(): Promise<void> {
    this.drain()
    this.#shared.troubles.left(this, this.partitionErrors)
    this.#joined?.locks.close()
    if (this.#idleAlarm !== undefined) this.#shared.deadlines.remove(this.#idleAlarm)
    clearImmediate(this.#afterChange)
    this.#giver.close()
    this.#fetchLimit.close()
    this.#owner.leaving(this.#failure)
    await this.#joined?.reader.close(CLOSE_MS).catch(error => this.#log.warn({ err: error }, 'the queue was not left'))
    this.#owner.left()
  }

  /**
   * The queue has begun. Until then no acquire is told that there are no messages; if the group starts at the end, none gets
   * messages either.
   */
  #begun(): void {
    this.#hasBegun = true
    if (this.#failure === undefined) this.#shared.troubles.served(this)
    this.#hasLate = true
    this.#serve()
    this.#answerLate()
  }

  /** Answers those whose wait was over before the queue has begun, once all messages are given that are there. */
  #answerLate(): void {
    if (!this.#hasLate || this.#giver.hasWork) return
    this.#hasLate = false
    for (const acquire of this.#waiting.all()) if (acquire.waitsForBegin) this.#end(acquire)
  }

  #due(acquire: WaitingAcquire): void {
    if (acquire.stopAsking(this.#shared.now())) this.#waiting.waitOn(acquire)
    else this.#end(acquire)
  }

  /** The time of an acquire is over. */
  #end(acquire: WaitingAcquire): void {
    const { now, records } = this.#shared
    const problem = this.#waiting.problemOf(acquire)
    if (this.#validOf(acquire).length > 0) this.#answer(acquire)
    else if (acquire.startAgain(now())) this.#waiting.waitOn(acquire)
    else if (problem !== undefined && this.#failure === undefined)
      this.#refuse(acquire, failureOf(records.refusal(problem)))
    else if (!this.#hasBegun && acquire.waitsForBegin) this.#refuseNotBegun(acquire)
    else if (!this.#hasBegun) {
      acquire.waitForBegin(now() + BEGIN_GRACE_MS)
      this.#waiting.waitOn(acquire)
    } else if (this.#failure !== undefined) this.#refuse(acquire, this.#failure)
    else if (this.#fetchLimit.wasFullSince(acquire.since)) this.#refuse(acquire, failureOf(records.refusal('full')))
    else this.#answer(acquire)
  }

  #refuseNotBegun(acquire: WaitingAcquire): void {
    if (this.#joined === undefined) this.#refuse(acquire, NOT_OPEN)
    else
      this.#joined.reader.begun(0).then(
        () => this.#answer(acquire),
        error => {
          const failure = this.#failure ?? ownFailure('noLeader', String(error?.message), true)
          this.#shared.troubles.failed(this, failure)
          this.#refuse(acquire, failure)
        }
      )
  }

  #demand(): QueueDemand {
    const { now, counts } = this.#shared
    const demand = this.#waiting.demand(now())
    let messages = demand.messages - this.spare
    // Until the queue has begun, every partition is fetched from, even if no messages are wanted.
    if (!this.#hasBegun && this.#waiting.size > 0) messages = Math.max(1, messages)
    messages = Math.max(0, Math.min(messages, counts.freeOfQueue))
    const least = this.#hasBegun ? 0 : Math.min(1, messages)
    return { ...demand, messages: Math.max(least, this.#fetchLimit.limit(messages, this.spare)) }
  }

  #acquired(messages: readonly Acquired[]): void {
    let largest = 0
    for (const one of messages) largest = Math.max(largest, this.#joined!.locks.add(one))
    this.#fetchLimit.note(largest)
    this.#recovered()
  }

  /** Kafka serves the queue. */
  #recovered(): void {
    if (this.#isClosed) return
    this.#failure = undefined
    this.#shared.troubles.served(this)
    if (this.#shared.now() - this.#settingsReadAt > SETTINGS_AGE_MS) this.#readSettings()
    this.#serve()
  }

  /** Reads the settings of the group. Settings that were changed meanwhile win over the result. */
  #readSettings(): void {
    const { now, admin } = this.#shared
    const { locks } = this.#joined!
    const known = locks.settings
    this.#settingsReadAt = now()
    admin.settings(this.groupId, SETTINGS_TIMEOUT_MS).then(settings => {
      if (locks.settings === known) this.configured(settings)
    }, noop)
  }

  /** A client that waits, or the process, may hold more. Others may be about to be told, so it is looked at later. */
  limitChanged(): void {
    if (this.#isClosed || this.#waiting.size === 0) return
    this.#afterChange ??= setImmediate(() => {
      this.#afterChange = undefined
      this.#serve()
      this.#joined?.reader.wake()
    })
  }

  #serve(): void {
    if (this.#isDraining) this.#joined?.locks.releaseSpare()
    else this.#giver.serve()
  }

  /**
   * The messages of an acquire whose locks still hold. Those whose locks have almost ended are taken back: the client does
   * not know of them, and this process would go on renewing the locks. The process may have stood still since it got
   * messages, and another gateway may have given them to a client.
   */
  #validOf({ messages }: WaitingAcquire): HeldMessage[] {
    const now = this.#shared.now()
    for (const held of messages) if (!held.hasTimeToSettle(now)) this.#joined!.locks.takeBack(held)
    return messages.filter(held => held.state === 'given' && this.#joined!.locks.holds(held))
  }

  #answer(acquire: WaitingAcquire): void {
    const { metrics } = this.#shared
    const messages = this.#validOf(acquire).map(held => this.#messageOf(held))
    const again = messages.filter(({ deliveryCount }) => deliveryCount > 1).length
    if (messages.length > 0) metrics.count('queues', 'acquired_messages', {}, messages.length)
    if (again > 0) metrics.count('queues', 'redelivered_messages', {}, again)
    const isNewGroup = this.#isNewGroup
    this.#isNewGroup = false
    this.#leave(acquire)
    acquire.answer({ type: 'acquired', messages, isNewGroup })
  }

  #messageOf(held: HeldMessage): QueueMessage {
    const { tokenOf } = this.#shared
    const { locks } = this.#joined!
    const { lock, acquisition, record } = held
    if (held.lockMs !== undefined) locks.beginLock(held)
    locks.dropRecord(held)
    const token = tokenOf(this.topic, this.groupId, lock, acquisition)
    locks.giveToken(held, token)
    return {
      token,
      topic: this.topic,
      partition: lock.partition,
      record: record!,
      deliveryCount: lock.deliveryCount,
      lastDelivery: locks.isLastDelivery(lock),
      lockEndsAt: locks.tokenEndsAt(held)
    }
  }

  #refuse(acquire: WaitingAcquire, failure: AcquireFailure): void {
    for (const held of acquire.messages) this.#joined!.locks.takeBack(held)
    this.#leave(acquire)
    acquire.answer(failure)
  }

  #gone(acquire: WaitingAcquire): void {
    if (!acquire.leave()) return
    this.#leave(acquire)
    for (const held of acquire.messages) this.#joined!.locks.takeBack(held)
    this.#serve()
  }

  #leave(acquire: WaitingAcquire): void {
    this.#waiting.remove(acquire)
    this.#watchIdle()
  }

  /**
   * Refuses waiting acquires: at once, or, where the group was joined and the failure may pass soon, when their waits
   * end.
   */
  #failed(reason: Failure): void {
    if (this.#isClosed) return
    const failure = failureOfQueue(reason)
    this.#failure = failure
    this.#shared.troubles.failed(this, failure)
    this.#log.warn({ error: failure.message }, 'a queue cannot be served')
    if (this.#joined !== undefined && failure.retriable && failure.code !== 'overloaded') return
    for (const acquire of this.#waiting.all()) this.#refuse(acquire, failure)
    if (this.#held === 0) void this.close()
  }

  /** Ends the queue when nothing waits and nothing is held for a while; at once where it cannot be served. */
  #watchIdle(): void {
    if (this.#isClosed || this.#waiting.size > 0 || this.#held > 0) return
    const { now, deadlines } = this.#shared
    if (this.#idleAlarm !== undefined) deadlines.remove(this.#idleAlarm)
    this.#idleAlarm = new Alarm(now() + IDLE_MS, () => {
      if (this.#waiting.size === 0 && this.#held === 0) void this.close()
    })
    deadlines.add(this.#idleAlarm)
    if (this.#failure?.retriable === false) void this.close()
  }
}

/** A failure as acquires are told it. */
function failureOfQueue(failure: Failure): Failure {
  const { errorCode } = failure
  const saying = (message: string, more: Partial<Failure> = {}): Failure => ({ ...failure, message, ...more })
  switch (errorCode) {
    case errorCodes.UNSUPPORTED_VERSION:
      return saying('this Kafka has no share groups: they need Kafka 4.2 or later, and share.version 1')
    case errorCodes.GROUP_ID_NOT_FOUND:
    case errorCodes.INCONSISTENT_GROUP_PROTOCOL:
      return saying('the id belongs to a group of another kind', { retriable: false })
    case errorCodes.GROUP_MAX_SIZE_REACHED:
      return saying('the group has as many members as its limit allows (group.share.max.size of Kafka)', OVERLOADED)
    case errorCodes.SHARE_SESSION_LIMIT_REACHED:
      return saying('a broker has as many sessions as its limit allows (group.share.max.share.sessions)', OVERLOADED)
    default:
      return failure
  }
}

const OVERLOADED = { code: 'overloaded', retriable: true } as const
