import { type ActorRef, type ActorSystem, ask } from '../../core/actor/actor.js'
import { onAbort } from '../../core/ending.js'
import { inTime } from '../../core/in-time.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import {
  type Logger,
  MAX_TIMER_MS,
  type MonotonicClock,
  type Offset,
  type OffsetAndMetadata
} from '../../core/model.js'
import { ownText } from '../../core/own-text.js'
import { shortened } from '../../core/printable.js'
import type { RecordBudget } from '../../core/record-budget.js'
import { Shares } from '../../core/shares.js'
import type { Failure, OffsetType, RouterMessage } from '../../router/messages/operations.js'
import { Deadlines } from '../../router/requests/deadlines.js'
import { invalid, ownFailure } from '../../router/requests/failures.js'
import { asking } from '../partition/ask.js'
import {
  type AckResult,
  type Asker,
  type AwayBecause,
  askerOfOne,
  type ConsumedMessages,
  type ConsumeManyResult,
  type ConsumeResult,
  type MessageId,
  type MessageLimits,
  ONE_MESSAGE,
  type SetOffsetsResult
} from './consume-result.js'
import { GroupConsumer, type GroupMessage, type GroupWork, SHUTTING_DOWN } from './group-consumer.js'
import { GroupActor, SharedReads, type SharedRuntime, type Timer } from './group-runtime.js'
import { HeldBatches } from './held-batches.js'
import type { GroupLending, LentLimits } from './lending.js'
import type { LoopDemand } from './loop-demand.js'
import { ParkedBytes } from './parking-limits.js'
import { type MatchingNow, PatternSubscription } from './pattern-subscription.js'
import type { ConsumerSettings } from './settings.js'
import { lookUpTopics, WatchedTopics } from './topic-look-ups.js'
import { PatternLookUps } from './topic-patterns.js'
import { WaitingRequest } from './waiting-request.js'
import { problemOfClientsGroup } from './webhook-groups.js'

/** Limit of characters in the name of a topic, far below the limit of the protocol. No topic of Kafka has a longer name. */
const LONGEST_TOPIC = 8_000
/** Time limit for what the group's actor answers in its next tick. */
const ANSWER_MS = 10_000
/** Margin beyond the Router's time limit, for the ticks of the group's actor. */
const TURN_MS = 1_000

export interface GroupDeps {
  readonly system: ActorSystem
  readonly router: ActorRef<RouterMessage>
  readonly settings: ConsumerSettings
  readonly clock: MonotonicClock
  readonly log: Logger
  readonly metrics: MetricsLogger
}

export interface ConsumerGroupsDeps extends GroupDeps {
  readonly records: RecordBudget
  /**
   * Returns the reason why no broker can be reached, for the answers to requests that time out. Default: the reason is
   * unknown.
   */
  readonly awayBecause?: AwayBecause | undefined
  /** Why a group cannot be used. Default: groups of webhooks are not for clients. */
  readonly problemOfName?: ((groupId: string) => Failure | undefined) | undefined
  /** Warns a program that has no log. */
  readonly warn?: ((message: string) => void) | undefined
}

/** The place where a group begins in partitions without a committed offset. */
export interface TopicBeginning {
  /** True: in partitions that are not read yet, the group begins at the earliest record. */
  readonly atEarliest: boolean
  /**
   * The position of each partition that is read: all records before it are acknowledged, or are older than the group.
   */
  readonly positions: ReadonlyMap<number, Offset>
}

/** A group in which this process is a member, for the status page. */
export interface GroupView extends GroupWork {
  readonly group: string
}

interface Group {
  /** Returns the client's share of `maxGroups`. */
  readonly releaseShare: () => void
  readonly actor: GroupActor<GroupMessage>
  readonly consumer: GroupConsumer
  /** Resolves when the group is left; `undefined`: it is not being left. */
  leaving: Promise<void> | undefined
}

/**
 * Consumer groups. A client asks for one or several messages of a topic, and Castellan joins and leaves the group for the
 * client. Each group is an actor.
 */
export class ConsumerGroups {
  /** Set before the first request for messages. */
  lending: GroupLending | undefined
  readonly #deps: ConsumerGroupsDeps
  readonly #deadlines: Deadlines
  readonly #batches: HeldBatches
  /** Parked bytes of the loops of all groups. */
  readonly parkedBytes: ParkedBytes
  readonly #shared: SharedRuntime
  readonly #patterns: PatternLookUps
  readonly #groups = new Map<string, Group>()
  readonly #shares: Shares
  readonly #stopping = new AbortController()

  constructor(deps: ConsumerGroupsDeps) {
    this.#deps = deps
    this.parkedBytes = new ParkedBytes(deps.records)
    this.#shares = new Shares(deps.settings.maxGroups, 'groups')
    this.#deadlines = new Deadlines(deps.clock)
    this.#batches = new HeldBatches(deps.settings.bufferMaxBytes)
    this.#shared = sharedRuntime(deps)
    this.#patterns = new PatternLookUps(asking(deps.router), deps.clock)
  }

  /** Aborted when the groups are being left: requests are refused from then on. */
  get stopped(): AbortSignal {
    return this.#stopping.signal
  }
  /** Number of groups in which this process is a member. */
  get size(): number {
    return this.#groups.size
  }
  get groupIds(): Iterable<string> {
    return this.#groups.keys()
  }
  /** The groups in which this process is a member. They are looked at while they are read. */
  *views(): Iterable<GroupView> {
    for (const [group, { consumer }] of this.#groups) yield { group, ...consumer.view() }
  }
  /** Limit of the messages of a partition that are offered and not acknowledged, those included that a loop has parked. */
  get maxPendingMessages(): number {
    return this.#deps.settings.maxPendingMessages
  }
  get heldBytes(): number {
    return this.#batches.bytes
  }

  /**
   * Waits for a message of the topic on behalf of the group. The message is offered when the requester gets it.
   *
   * @param timeoutMs `undefined`: `consumer.longPollMs`
   * @returns a function that cancels the request, which then gets no answer
   */
  request(groupId: string, topic: string, timeoutMs: number | undefined, requester: Asker<ConsumeResult>): () => void {
    return this.requestMany(groupId, topic, ONE_MESSAGE, timeoutMs, askerOfOne(requester))
  }

  /**
   * Waits for messages. Answers as soon as there is a message, with all available messages within the limits. They are
   * offered together and acknowledged together, and all are of one topic.
   *
   * @param topics in the order in which they are looked at: the first one with a message answers
   * @param start where the group begins if it has committed nothing; default: `consumer.start`. Requests that name another
   *   place than the one where this process begins to read the topic are refused
   * @param later those of the topics that a group without a commit reads from their beginning, where `start` is `latest`;
   *   given where the topics match a pattern, and those that may not be read are passed over
   */
  requestMany(
    groupId: string,
    topics: string | readonly string[],
    limits: MessageLimits,
    timeoutMs: number | undefined,
    requester: Asker<ConsumeManyResult>,
    start?: OffsetType,
    later?: ReadonlySet<string>
  ): () => void {
    const { clock, settings, awayBecause } = this.#deps
    const deadlineAt = clock() + (timeoutMs ?? settings.longPollMs)
    const request = new WaitingRequest(this.#deadlines, deadlineAt, requester, limits, awayBecause, later !== undefined)
    const together: readonly string[] | undefined = Array.isArray(topics) ? topics : undefined
    for (const topic of together ?? [topics as string]) {
      const isLater = later?.has(topic)
      this.#tellGroup(groupId, { type: 'consume', topic, request, together, start, isLater }, requester.client)
    }
    return () => request.cancel()
  }

  /** Asks for messages of a loop, which has no other request open. The request waits as long as the loop runs. */
  ask(loop: LoopDemand, limits: MessageLimits, reply: (result: ConsumeManyResult) => void): void {
    loop.begin(limits, reply)
    this.#tellGroup(loop.groupId, { type: 'ask', request: loop })
  }

  /**
   * Watches which topics match a pattern, on behalf of a group.
   *
   * @param pattern in RE2's syntax, checked by `compilePattern`
   */
  watchPattern(groupId: string, pattern: string, onChanged: (matching: MatchingNow) => void): { stop(): void } {
    const { router, settings, log } = this.#deps
    const runtime = { after: startTimer, log }
    const of = { groupId, pattern, patterns: this.#patterns, settings, onChanged }
    const subscription = new PatternSubscription({ ...of, ask: asking(router), runtime })
    const leave = onAbort(this.stopped, () => subscription.stop())
    return {
      stop: () => {
        leave()
        subscription.stop()
      }
    }
  }

  /** {@link request}, as a promise. */
  consume(groupId: string, topic: string, timeoutMs?: number): Promise<ConsumeResult> {
    return new Promise(resolve => this.request(groupId, topic, timeoutMs, { reply: resolve }))
  }

  /** The place where the group begins in the topic with this id, as far as this process knows. */
  beginningOf(groupId: string, topic: string, topicId: string | undefined): TopicBeginning {
    const consumer = this.#groups.get(groupId)?.consumer
    return {
      atEarliest: this.#deps.settings.start === 'earliest' || consumer?.hasBegun(topic) === true,
      positions: consumer?.positionsIn(topic, topicId) ?? new Map()
    }
  }

  /** Acknowledges a message by partition and offset, for clients that no longer have the message object. */
  ack(groupId: string, message: MessageId): Promise<AckResult> {
    const group = this.#groups.get(groupId)
    if (!group) return Promise.resolve({ type: 'notRead' })
    return ask<AckResult>('ack', ANSWER_MS, requester => group.actor.tell({ type: 'ack', message, requester }))
  }

  /** Moves a group to other offsets, given by partition, in partitions that this process reads for the group. */
  setOffsets(
    groupId: string,
    topic: string,
    offsets: ReadonlyMap<number, OffsetAndMetadata>,
    timeoutMs: number
  ): Promise<SetOffsetsResult> {
    const group = this.#groups.get(groupId)
    if (!group) return Promise.resolve({ type: 'notRead' })
    return ask<SetOffsetsResult>('setOffsets', timeoutMs + TURN_MS, requester =>
      group.actor.tell({ type: 'setOffsets', topic, offsets, timeoutMs, requester })
    )
  }

  /** The requests that wait for a message of the topic, oldest first. */
  waitingFor(groupId: string, topic: string): readonly WaitingRequest[] {
    return this.#groups.get(groupId)?.consumer.requestsFor(topic) ?? []
  }

  /** A message for the request may be on its way from another gateway: see {@link WaitingRequest.holdForTake}. */
  holdForTake(request: WaitingRequest): void {
    request.holdForTake()
  }

  /** The message takes long: messages of this process may answer the request. */
  allowOwn(groupId: string, topic: string, request: WaitingRequest): void {
    request.allowOwn()
    if (!request.settled) this.#groups.get(groupId)?.actor.tell({ type: 'serve', topic })
  }

  /** No message is on its way to the request any more. Messages of this process may answer it. */
  endTake(groupId: string, topic: string, request: WaitingRequest): void {
    request.endTake()
    if (request.settled) return
    const actor = this.#groups.get(groupId)?.actor
    // Messages of this process come first, also when its time is over.
    const served = (): void => request.endHoldForTake()
    if (actor === undefined) served()
    else actor.tell({ type: 'serve', topic, served })
  }

  /** Answers a request with messages of another gateway. From then on the group begins at the end of no partition. */
  answer(groupId: string, topic: string, request: WaitingRequest, messages: ConsumedMessages): boolean {
    const group = this.#groups.get(groupId)
    // First: the group must not begin at an end after the answer.
    if (group?.consumer.noteBegun(topic)) group.actor.tell({ type: 'endWaitsForStart', topic })
    return request.answer({ type: 'messages', messages })
  }

  /** Clients of another gateway wait for messages of the topic. It is read, and kept, if this process has begun to read it. */
  wanted(groupId: string, topic: string): void {
    const group = this.#groups.get(groupId)
    if (group?.consumer.wanted(topic)) group.actor.tell({ type: 'serve', topic })
  }

  /** Bytes of the message that is lent next. `undefined`: none is at hand that no client of this process waits for. */
  bytesToLend(groupId: string, topic: string): number | undefined {
    return this.#groups.get(groupId)?.consumer.bytesToLend(topic)
  }

  /** Offers messages that no client of this process waits for. @returns `undefined`: there are none */
  async lend(groupId: string, topic: string, limits: LentLimits): Promise<ConsumedMessages | undefined> {
    const group = this.#groups.get(groupId)
    if (!group) return undefined
    let isLate = false
    const answer = new Promise<ConsumedMessages | undefined>(resolve => {
      const reply = (result: ConsumedMessages | Failure | undefined): void => {
        const lent = result !== undefined && 'messages' in result ? result : undefined
        if (isLate) lent?.release()
        else resolve(lent)
      }
      group.actor.tell({ type: 'lend', topic, limits, requester: { reply } })
    })
    return inTime(answer, ANSWER_MS, () => {
      isLate = true
      return undefined
    })
  }

  /** Leaves one group, as {@link stop} leaves all. A request that comes later joins it again. */
  async leave(groupId: string, graceMs: number): Promise<void> {
    const group = this.#groups.get(groupId)
    if (group !== undefined) await this.#leave(groupId, group, graceMs)
  }

  /**
   * Refuses further requests, waits at most `graceMs` for acknowledgements, commits, and leaves all groups. Idempotent.
   *
   * @param timeoutMs time limit, after which groups are abandoned. Coordinators then remove the members after the
   *   session time-out, and messages without a committed acknowledgement are offered again
   */
  async stop(graceMs = this.#deps.settings.ackTimeoutMs, timeoutMs = MAX_TIMER_MS): Promise<void> {
    this.#stopping.abort()
    const groups = Array.from(this.#groups, ([groupId, group]) => this.#leave(groupId, group, graceMs))
    await inTime(Promise.all(groups), timeoutMs, () => undefined)
    this.#abandonRest()
    this.#deadlines.stop()
  }

  /** Leaves a group. A second call, such as the stop of all groups, shares the result of the first. */
  #leave(groupId: string, group: Group, graceMs: number): Promise<void> {
    return (group.leaving ??= this.#leaveOnce(groupId, group, graceMs))
  }

  async #leaveOnce(groupId: string, { actor }: Group, graceMs: number): Promise<void> {
    await new Promise<void>(resolve => actor.tell({ type: 'stop', graceMs, onStopped: resolve }))
    refuseAll(actor.stop(), SHUTTING_DOWN)
    this.#forget(groupId)
  }

  #abandonRest(): void {
    if (this.#groups.size === 0) return
    this.#deps.log.warn(
      { groups: this.#groups.size },
      'consumer groups could not be left in time; other members wait until the session time-out'
    )
    for (const { actor, consumer } of this.#groups.values()) {
      consumer.abandon(SHUTTING_DOWN)
      refuseAll(actor.stop(), SHUTTING_DOWN)
    }
    for (const groupId of [...this.#groups.keys()]) this.#forget(groupId)
  }

  #tellGroup(groupId: string, message: GroupMessage & { type: 'consume' | 'ask' }, client?: string): void {
    const { settings, problemOfName = problemOfClientsGroup } = this.#deps
    const { maxGroups } = settings
    const longest = message.type === 'ask' ? message.request.longestTopic : message.topic
    const problem = problemOfName(groupId) ?? problemOfLength(longest)
    const group = this.stopped.aborted || problem ? undefined : this.#groupFor(groupId, client)
    if (group) group.actor.tell(message)
    else if (problem) message.request.answer(problem)
    else if (this.stopped.aborted) message.request.answer(SHUTTING_DOWN)
    else {
      const whose = this.#shares.problemOf(client) === 'greedy' ? ' of one client' : ''
      const text = `too many groups${whose} (limit ${maxGroups}; advanced.consumer.maxGroups)`
      message.request.answer(ownFailure('overloaded', text, true, 'advanced.consumer.maxGroups'))
    }
  }

  /** @returns the group; `undefined`: there are too many groups, or too many groups of this client */
  #groupFor(sent: string, client: string | undefined): Group | undefined {
    const known = this.#groups.get(sent)
    if (known) return known
    if (this.#shares.problemOf(client) !== undefined) return undefined
    const { metrics } = this.#deps
    const groupId = ownText(sent)
    const group = this.#start(groupId, client)
    this.#groups.set(groupId, group)
    metrics.gauge?.('groups', 'groups', {}, this.#groups.size)
    return group
  }

  #start(groupId: string, client: string | undefined): Group {
    const { settings, metrics } = this.#deps
    const actor = new GroupActor<GroupMessage>(`group-${groupId}`, groupId, this.#shared, {
      receive: message => consumer.receive(message),
      onCrash: (error, unhandled) => {
        metrics.count('groups', 'unexpected_failures')
        actor.log.error({ err: error }, 'a consumer group met a bug; the next request starts it anew')
        const failure = ownFailure('protocol', `the group has failed: ${error.message}`, true)
        consumer.abandon(failure)
        refuseAll(unhandled, failure)
        this.#ended(groupId)
      }
    })
    const consumer: GroupConsumer = new GroupConsumer({
      runtime: actor,
      settings,
      batches: this.#batches,
      lending: this.lending,
      tick: actor.tick,
      onMissing: topic => {
        const [named, ofGroup] = [shortened(topic), shortened(groupId)]
        const text = `group ${ofGroup} waits for topic ${named}, which does not exist; once it does, it is read from its beginning`
        actor.log.warn({ topic: named }, text)
        this.#deps.warn?.(text)
      },
      onEnded: () => {
        this.#ended(groupId)
        // Requests that were sent before go to the next group of the same name.
        actor.tick(() => {
          for (const late of actor.stop()) consumer.receive(late)
        })
      },
      onLate: message => this.#tellGroup(groupId, message, client)
    })
    return { actor, consumer, releaseShare: this.#shares.take(client), leaving: undefined }
  }

  #forget(groupId: string): void {
    this.#groups.get(groupId)?.releaseShare()
    this.#groups.delete(groupId)
  }

  #ended(groupId: string): void {
    this.#forget(groupId)
    this.#deps.metrics.gauge?.('groups', 'groups', {}, this.#groups.size)
  }
}

/** A member tells the others its topics. Of a name that is too long for this, the group would fail for all clients. */
const problemOfLength = (topic: string) =>
  topic.length > LONGEST_TOPIC ? invalid('invalidTopic', 'the topic name is too long') : undefined

/** The parts that the runtimes of all groups of a process share. */
export function sharedRuntime({ system, router, settings, clock, log, metrics }: GroupDeps): SharedRuntime {
  const topics = new WatchedTopics({
    checkMs: settings.partitionCheckMs,
    missingCheckMs: settings.missingTopicCheckMs,
    after: startTimer,
    lookUp: (names, onFound) => lookUpTopics({ ask: asking(router) }, names, onFound)
  })
  return { system, router, clock, log, metrics, topics, reads: new SharedReads(router) }
}

function startTimer(delayMs: number, run: () => void): Timer {
  const timer = setTimeout(run, delayMs)
  return { cancel: () => clearTimeout(timer) }
}

function refuseAll(messages: readonly GroupMessage[], failure: ReturnType<typeof ownFailure>): void {
  for (const message of messages) {
    if (message.type === 'consume' || message.type === 'ask') message.request.answer(failure)
    else if (message.type === 'stop') message.onStopped()
    else if ('requester' in message) message.requester.reply(failure)
  }
}
