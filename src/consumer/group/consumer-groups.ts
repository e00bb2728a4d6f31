import type { ActorRef, ActorSystem } from '../../core/actor/actor.js'
import { ask, type Requester } from '../../core/actor/requester.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { Logger, MonotonicClock, Offset, OffsetAndMetadata } from '../../core/model.js'
import { Shares } from '../../core/shares.js'
import type { FetchData, FetchDataResult, RouterMessage } from '../../router/messages/operations.js'
import { Deadlines } from '../../router/requests/deadlines.js'
import { ownFailure } from '../../router/requests/failures.js'
import { problemOfGroup } from '../../router/requests/problems.js'
import type {
  AckResult,
  Asker,
  ConsumeManyResult,
  ConsumeResult,
  MessageId,
  MessageLimits,
  SetOffsetsResult
} from './consume-result.js'
import { GroupConsumer } from './group-consumer.js'
import { GroupInbox, type GroupMessages } from './group-inbox.js'
import { logOfGroup } from './group-log.js'
import type { GroupRuntime, Timer } from './group-runtime.js'
import { HeldBatches } from './held-batches.js'
import type { GroupMessage } from './messages.js'
import { lookUpPartitions } from './partition-counts.js'
import type { ConsumerSettings } from './settings.js'
import { SharedReads } from './shared-reads.js'
import { type AwayBecause, WaitingRequest } from './waiting-request.js'
import { WatchedTopics } from './watched-topics.js'

const SHUTTING_DOWN = ownFailure('shuttingDown', 'the consumer groups are shutting down', true)
/** An acknowledgement is answered in the next turn of the group's actor. */
const ACK_TIMEOUT_MS = 10_000
/** The Router answers in time; this is for the turns of the group's actor. */
const TURN_MS = 1_000
const LONGEST_TIMER_MS = 2 ** 31 - 1

export interface ConsumerGroupsDeps {
  readonly system: ActorSystem
  readonly router: ActorRef<RouterMessage>
  readonly settings: ConsumerSettings
  readonly clock: MonotonicClock
  readonly log: Logger
  readonly metrics: MetricsLogger
  /** Why no broker can be reached, if none can; requests that time out say it. Default: nothing is known. */
  readonly awayBecause?: AwayBecause | undefined
}

/** Where a group begins in partitions of a topic without a committed offset. */
export interface TopicBeginning {
  /** In those that are not read yet; the group may have asked for the topic before it existed. */
  readonly atEarliest: boolean
  /** Of those that are read: everything before is acknowledged, or was there before the group. */
  readonly positions: ReadonlyMap<number, Offset>
}

type Read = Omit<FetchData, 'type' | 'requester'>

interface Group {
  /** Gives its share of `maxGroups` back to its client. */
  readonly releaseRequests: () => void
  readonly inbox: GroupInbox
  readonly consumer: GroupConsumer
}

/**
 * Consumer groups: a client asks for one message after another, and the group is joined and left for it. Each group is an
 * actor.
 */
export class ConsumerGroups {
  readonly #deps: ConsumerGroupsDeps
  readonly #deadlines: Deadlines
  readonly #batches: HeldBatches
  readonly #reads: SharedReads
  readonly #topics: WatchedTopics
  readonly #groups = new Map<string, Group>()
  readonly #shares: Shares
  #isStopped = false

  constructor(deps: ConsumerGroupsDeps) {
    this.#deps = deps
    this.#shares = new Shares(deps.settings.maxGroups)
    this.#deadlines = new Deadlines(deps.clock)
    this.#batches = new HeldBatches(deps.settings.bufferMaxBytes)
    this.#reads = new SharedReads(deps.router)
    this.#topics = new WatchedTopics({
      checkMs: deps.settings.partitionCheckMs,
      after,
      lookUp: (topics, onFound) => lookUpPartitions(this.#askTopics, topics, onFound)
    })
  }

  /** Groups that this process takes part in. */
  get size(): number {
    return this.#groups.size
  }
  /** Bytes of the fetched batches that are held. */
  get heldBytes(): number {
    return this.#batches.bytes
  }

  /**
   * Waits for a message of the topic on behalf of the group. It counts as offered once it is given to the requester.
   *
   * @param timeoutMs `undefined`: `consumer.longPollMs`
   * @returns what to call when no answer is wanted any more
   */
  request(groupId: string, topic: string, timeoutMs: number | undefined, requester: Asker<ConsumeResult>): () => void {
    return this.#ask(
      groupId,
      topic,
      new WaitingRequest(this.#deadlineOf(timeoutMs), requester, undefined, this.#deps.awayBecause),
      requester.client
    )
  }

  /**
   * The same for several messages: waits until there is one, and gives as many as are there within the limits. They count as
   * offered together, and are acknowledged together.
   */
  requestMany(
    groupId: string,
    topic: string,
    limits: MessageLimits,
    timeoutMs: number | undefined,
    requester: Asker<ConsumeManyResult>
  ): () => void {
    return this.#ask(
      groupId,
      topic,
      new WaitingRequest(this.#deadlineOf(timeoutMs), requester, limits, this.#deps.awayBecause),
      requester.client
    )
  }

  /** The same as a promise. */
  consume(groupId: string, topic: string, timeoutMs?: number): Promise<ConsumeResult> {
    return new Promise(resolve => this.request(groupId, topic, timeoutMs, { reply: resolve }))
  }

  /** Where the group begins in the topic with this id, as far as this process knows. */
  beginningOf(groupId: string, topic: string, topicId: string | undefined): TopicBeginning {
    const consumer = this.#groups.get(groupId)?.consumer
    return {
      atEarliest: this.#deps.settings.start === 'earliest' || consumer?.hasBegun(topic) === true,
      positions: consumer?.positionsIn(topic, topicId) ?? new Map()
    }
  }

  /** Acknowledges a message by its place, for clients that do not hold it any more. */
  ack(groupId: string, { topic, partition, offset }: MessageId): Promise<AckResult> {
    const group = this.#groups.get(groupId)
    if (!group) return Promise.resolve({ type: 'notRead' })
    return ask<AckResult>('ack', ACK_TIMEOUT_MS, requester =>
      group.inbox.tell({ type: 'ack', topic, partition, offset, requester })
    )
  }

  /** Makes a group go on elsewhere in partitions that this process reads for it: offsets by partition. */
  setOffsets(
    groupId: string,
    topic: string,
    offsets: ReadonlyMap<number, OffsetAndMetadata>,
    timeoutMs: number
  ): Promise<SetOffsetsResult> {
    const group = this.#groups.get(groupId)
    if (!group) return Promise.resolve({ type: 'notRead' })
    return ask<SetOffsetsResult>('setOffsets', timeoutMs + TURN_MS, requester =>
      group.inbox.tell({ type: 'setOffsets', topic, offsets, timeoutMs, requester })
    )
  }

  /**
   * Refuses further requests, waits `graceMs` at most for acknowledgements, commits, and leaves all groups. Idempotent.
   *
   * @param timeoutMs what is not done by then, because brokers do not answer, is left undone: coordinators miss the members
   *   after the session time-out, and messages whose acknowledgement was not committed are offered again
   */
  async stop(graceMs = this.#deps.settings.ackTimeoutMs, timeoutMs = LONGEST_TIMER_MS): Promise<void> {
    this.#isStopped = true
    const groups = Array.from(this.#groups, ([groupId, group]) => this.#leave(groupId, group, graceMs))
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>(resolve => (timer = setTimeout(resolve, timeoutMs)))
    await Promise.race([Promise.all(groups), late])
    clearTimeout(timer)
    this.#abandonRest()
    this.#deadlines.stop()
  }

  #deadlineOf(timeoutMs: number | undefined): number {
    return this.#deps.clock() + (timeoutMs ?? this.#deps.settings.longPollMs)
  }

  #ask(groupId: string, topic: string, request: WaitingRequest, client: string | undefined): () => void {
    this.#tellGroup(groupId, { type: 'consume', topic, request }, client)
    return () => {
      this.#deadlines.remove(request)
      request.cancel()
    }
  }

  async #leave(groupId: string, { inbox }: Group, graceMs: number): Promise<void> {
    await new Promise<void>(resolve => inbox.tell({ type: 'stop', graceMs, onStopped: resolve }))
    refuseAll(inbox.stop(), SHUTTING_DOWN)
    this.#forget(groupId)
  }

  #abandonRest(): void {
    if (this.#groups.size === 0) return
    this.#deps.log.warn(
      { groups: this.#groups.size },
      'consumer groups could not be left in time; others wait for them'
    )
    for (const { inbox, consumer } of this.#groups.values()) {
      consumer.abandon(SHUTTING_DOWN)
      refuseAll(inbox.stop(), SHUTTING_DOWN)
    }
    for (const groupId of [...this.#groups.keys()]) this.#forget(groupId)
  }

  #tellGroup(groupId: string, message: GroupMessage & { type: 'consume' }, client?: string): void {
    const { maxGroups } = this.#deps.settings
    const problem = problemOfGroup(groupId)
    const group = this.#isStopped || problem ? undefined : this.#groupFor(groupId, client)
    if (group) group.inbox.tell(message)
    else if (problem) message.request.answer(problem)
    else if (this.#isStopped) message.request.answer(SHUTTING_DOWN)
    else {
      const whose = this.#shares.problemOf(client) === 'greedy' ? ' of one client' : ''
      const text = `too many groups${whose} (limit ${maxGroups}; consumer.maxGroups)`
      message.request.answer(ownFailure('overloaded', text, true))
    }
  }

  /** @returns `undefined`: there are too many, or too many of the client */
  #groupFor(groupId: string, client: string | undefined): Group | undefined {
    const known = this.#groups.get(groupId)
    if (known) return known
    if (this.#shares.problemOf(client) !== undefined) return undefined
    const { metrics } = this.#deps
    const group = this.#start(groupId, client)
    this.#groups.set(groupId, group)
    metrics.gauge('groups', 'groups', {}, this.#groups.size)
    return group
  }

  #start(groupId: string, client: string | undefined): Group {
    const { system, settings, metrics } = this.#deps
    const log = logOfGroup(this.#deps.log, groupId)
    const actor = system.spawnOwner<GroupMessages>(`group-${groupId}`, {
      receive: told => {
        inbox.begins(told)
        for (const message of told.messages) consumer.receive(message)
      },
      onCrash: (error, told, unhandled) => {
        metrics.count('groups', 'unexpected_failures')
        log.error({ err: error }, 'a consumer group met a bug; the next request starts it anew')
        const failure = ownFailure('protocol', `the group has failed: ${error.message}`, true)
        consumer.abandon(failure)
        for (const { messages } of [told, ...unhandled]) refuseAll(messages, failure)
        this.#ended(groupId)
      }
    })
    const inbox = new GroupInbox(actor)
    const consumer = new GroupConsumer({
      runtime: this.#runtimeOf(groupId, log, inbox),
      settings,
      deadlines: this.#deadlines,
      batches: this.#batches,
      tell: message => inbox.tell(message),
      onEnded: () => {
        this.#ended(groupId)
        // Behind the messages that were told before: requests among them go to the successor.
        inbox.tell({
          type: 'happened',
          run: () => {
            for (const late of inbox.stop()) consumer.receive(late)
          }
        })
      },
      onLate: message => this.#tellGroup(groupId, message, client)
    })
    return { inbox, consumer, releaseRequests: this.#shares.take(client) }
  }

  #forget(groupId: string): void {
    this.#groups.get(groupId)?.releaseRequests()
    this.#groups.delete(groupId)
  }

  #ended(groupId: string): void {
    this.#forget(groupId)
    this.#deps.metrics.gauge('groups', 'groups', {}, this.#groups.size)
  }

  #runtimeOf(groupId: string, log: Logger, inbox: GroupInbox): GroupRuntime {
    const { router, clock, metrics } = this.#deps
    return {
      groupId,
      clock,
      log,
      metrics,
      ask: (kind, request, onResult) => {
        const reply = (result: never): void => inbox.tell({ type: 'happened', run: () => onResult(result) })
        if (kind === 'fetchData') {
          this.#reads.read({ ...(request as unknown as Read), requester: { reply } as Requester<FetchDataResult> })
          return
        }
        router.tell({ type: kind, ...request, requester: { reply } } as unknown as RouterMessage)
      },
      after: (delayMs, run) => inTurn(inbox, run, tell => after(delayMs, tell)),
      watchTopics: (counts, onChanged) => inTurn(inbox, onChanged, tell => this.#topics.watch(counts, tell))
    }
  }

  readonly #askTopics: Parameters<typeof lookUpPartitions>[0] = (request, reply) =>
    this.#deps.router.tell({ type: 'fetchTopicMetadata', ...request, requester: { reply } })
}

/** Has `run` called in a turn of the group's actor, unless it is cancelled before that turn. */
function inTurn(inbox: GroupInbox, run: () => void, start: (tell: () => void) => Timer): Timer {
  let isCancelled = false
  const started = start(() => inbox.tell({ type: 'happened', run: () => void (isCancelled || run()) }))
  return {
    cancel: () => {
      isCancelled = true
      started.cancel()
    }
  }
}

function after(delayMs: number, run: () => void): Timer {
  const timer = setTimeout(run, delayMs)
  return { cancel: () => clearTimeout(timer) }
}

function refuseAll(messages: readonly GroupMessage[], failure: ReturnType<typeof ownFailure>): void {
  for (const message of messages) refuse(message, failure)
}

function refuse(message: GroupMessage, failure: ReturnType<typeof ownFailure>): void {
  if (message.type === 'consume') message.request.answer(failure)
  else if (message.type === 'ack') message.requester?.reply(failure)
  else if (message.type === 'setOffsets') message.requester.reply(failure)
  else if (message.type === 'stop') message.onStopped()
}
