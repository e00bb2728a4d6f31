import type { Requester } from '../../core/actor/actor.js'
import { incarnationOfTopic, type Offset, type OffsetAndMetadata, type TopicPartition } from '../../core/model.js'
import { ownText } from '../../core/own-text.js'
import { shortened } from '../../core/printable.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { Failure, OffsetType } from '../../router/messages/operations.js'
import { invalid, kafkaFailure, ownFailure } from '../../router/requests/failures.js'
import type { AckResult, ConsumedMessages, MessageId, SetOffsetsResult } from './consume-result.js'
import { DeferredOffers } from './deferred-offers.js'
import { type AssignedToMember, GroupMember } from './group-member.js'
import type { GroupRuntime, Timer } from './group-runtime.js'
import type { HeldBatches } from './held-batches.js'
import type { GroupLending, LentLimits } from './lending.js'
import type { LoopDemand, LoopGroup } from './loop-demand.js'
import { changeOffsets } from './offset-change.js'
import { OffsetCommitter } from './offset-committer.js'
import { PartitionConsumer } from './partition-consumer.js'
import { RefusalLog } from './refusals.js'
import { Revocations } from './revocations.js'
import type { ConsumerSettings } from './settings.js'
import { decisionOn } from './start-messages.js'
import { TopicConsumer } from './topic-consumer.js'
import { lookUpTopics } from './topic-look-ups.js'
import { TopicStart } from './topic-start.js'
import type { PartitionCommits } from './transaction-messages.js'
import type { Demand } from './turn-order.js'
import { MAX_HOLD_FOR_START_MS, type WaitingRequest } from './waiting-request.js'

/** Interval of the checks of a topic that will be given up: open requests and unacknowledged messages delay this. */
const SAFE_CHECK_MS = 100
/** Share of the rebalance time-out for commits. The rest is for joining again. */
const COMMIT_SHARE_OF_REBALANCE = 0.5

/**
 * When joining takes longer, the group checks whether it has read the topic before. If it has, requests may be
 * answered.
 */
const SLOW_JOIN_MS = 2_000

/** The key of refusals that concern the whole group; no topic has this name. */
const GROUP = ''

const DENIED = kafkaFailure(errorCodes.TOPIC_AUTHORIZATION_FAILED)

export const SHUTTING_DOWN = ownFailure('shuttingDown', 'the consumer groups are shutting down', true)

export type GroupMessage =
  | {
      readonly type: 'consume'
      readonly topic: string
      readonly request: WaitingRequest
      /** The topics that the client asks for with the same request. Absent: this one. */
      readonly together?: readonly string[] | undefined
      /** Where the group begins if it has committed nothing. Absent: where `consumer.start` says. */
      readonly start?: OffsetType | undefined
      /** True: the group is offered every record of the topic, so `latest` is not for it. */
      readonly isLater?: boolean | undefined
    }
  /** A loop asks for messages of its topics. */
  | { readonly type: 'ask'; readonly request: LoopDemand }
  | { readonly type: 'ack'; readonly message: MessageId; readonly requester: Requester<AckResult> }
  /** The group must continue at other offsets, given by partition. Their metadata is stored unchanged. */
  | {
      readonly type: 'setOffsets'
      readonly topic: string
      readonly offsets: ReadonlyMap<number, OffsetAndMetadata>
      readonly timeoutMs: number
      readonly requester: Requester<SetOffsetsResult>
    }
  /** Offers messages that no client of this process waits for. `undefined`: there are none. */
  | {
      readonly type: 'lend'
      readonly topic: string
      readonly limits: LentLimits
      readonly requester: Requester<ConsumedMessages | Failure | undefined>
    }
  /** Serves the requests for the topic again: those of other gateways have changed, or messages may answer one again. */
  | { readonly type: 'serve'; readonly topic: string; readonly served?: () => void }
  /** The start of the topic is fixed: requests may be answered that there is no message. */
  | { readonly type: 'endWaitsForStart'; readonly topic: string }
  /** Tells the group to wait `graceMs` for acknowledgements, to commit, and to leave the group. */
  | { readonly type: 'stop'; readonly graceMs: number; readonly onStopped: () => void }

export interface GroupConsumerOptions {
  readonly runtime: GroupRuntime
  readonly settings: ConsumerSettings
  readonly batches: HeldBatches
  /** Absent: no messages are lent or borrowed. */
  readonly lending?: GroupLending | undefined
  /** Calls back in a later tick of the actor. */
  readonly tick: (run: () => void) => void
  /** Called once for a topic that does not exist and of which a loop waits for messages. */
  readonly onMissing: (topic: string) => void
  /** Called when the group has no more topics and the member has left. */
  readonly onEnded: () => void
  /** Called with a request that came after the group had ended. */
  readonly onLate: (message: GroupMessage & { readonly type: 'consume' | 'ask' }) => void
}

interface Topic {
  readonly consumer: TopicConsumer
  readonly start: TopicStart
  /** The failure when brokers do not show the partitions to this process. */
  refusal: Failure | undefined
  /** When the last request came, or ended. */
  askedAt: number
  /** The topics of the last request for several topics, this one among them. None is given up before the others. */
  together: readonly string[]
  isToldMissing: boolean
  timer: Timer | undefined
  /** Runs until reading of the topic begins. */
  beginTimer: Timer | undefined
}

export interface GroupWork {
  readonly topics: readonly string[]
  readonly partitions: number
  /** Requests that wait for messages, and messages that are offered and not acknowledged. */
  readonly waiting: number
  readonly pending: number
  /** Why the group cannot be joined, or a topic of it cannot be read. */
  readonly refusal: { readonly topic: string | undefined; readonly message: string } | undefined
}

/**
 * The membership of this process in a group. One member reads all topics that clients ask for. The member joins at the
 * first request, and leaves when clients no longer ask for any topic.
 */
export class GroupConsumer implements LoopGroup {
  readonly #options: GroupConsumerOptions
  readonly #topics = new Map<string, Topic>()
  /** Topics of which the member has no partition. */
  readonly #bare = new Set<string>()
  /** Topics that brokers do not show to this process. */
  readonly #denied = new Set<string>()
  #partitionCount = 0
  readonly #member: GroupMember
  readonly #committer: OffsetCommitter
  readonly #refusals: RefusalLog
  /** The last request that has named a start, and why it may not be answered. */
  #checked: { readonly request: WaitingRequest; readonly problem: Failure | undefined } | undefined
  #isEnded = false
  #stopping = false
  readonly #revocations: Revocations

  constructor(options: GroupConsumerOptions) {
    const { runtime, settings } = options
    this.#options = options
    this.#refusals = new RefusalLog(runtime.log)
    const commitLimitMs = settings.rebalanceTimeoutMs * COMMIT_SHARE_OF_REBALANCE
    this.#revocations = new Revocations(runtime, commitLimitMs, done => this.#committer.flush(done))
    this.#member = new GroupMember({
      ...settings,
      runtime,
      instanceId: settings.instanceId ?? null,
      begun: topic => this.hasBegun(topic),
      startOf: topic => this.#topics.get(topic)?.start.setting,
      isWaiting: () => this.#consumers.some(({ waitsInVain }) => waitsInVain),
      onAssigned: assigned => this.#assigned(assigned),
      onRebalance: (cause, ready) => this.#revoke(cause === 'others' ? settings.revocationMs : 0, ready),
      onRefused: failure => this.#refuseWaiting(failure)
    })
    this.#committer = new OffsetCommitter({
      ...settings,
      runtime,
      membership: () => this.#member.membership,
      onFenced: (errorCode, member) => this.#member.fenced(errorCode, member)
    })
  }

  view(): GroupWork {
    const work = { topics: [...this.#topics.keys()], partitions: 0, waiting: 0, pending: 0 }
    const { refusal: ofMember } = this.#member
    let refusal: GroupWork['refusal'] = ofMember && { topic: undefined, message: ofMember.message }
    for (const [topic, { consumer, refusal: ofTopic }] of this.#topics) {
      work.partitions += consumer.partitions.length
      work.waiting += consumer.waiting
      work.pending += consumer.pending
      refusal ??= ofTopic && { topic, message: ofTopic.message }
    }
    return { ...work, refusal }
  }

  get topicCount(): number {
    return this.#topics.size
  }

  /** True: from now on, the group begins at the end of no partition of the topic. */
  hasBegun(topic: string): boolean {
    return this.#topics.get(topic)?.start.excludesLatest === true
  }

  /**
   * The position of each partition that is read: all records before it are acknowledged, or are older than the group.
   */
  positionsIn(topic: string, topicId: string | undefined): ReadonlyMap<number, Offset> {
    return this.#topics.get(topic)?.consumer.positionsIn(topicId) ?? new Map()
  }

  receive(message: GroupMessage): void {
    switch (message.type) {
      case 'consume':
        if (this.#isEnded) this.#options.onLate(message)
        else if (this.#stopping) message.request.answer(SHUTTING_DOWN)
        else this.#consume(message)
        break
      case 'ask':
        if (this.#isEnded) this.#options.onLate(message)
        else if (this.#stopping) message.request.answer(SHUTTING_DOWN)
        else if (message.request.isAsking) this.#ask(message.request)
        break
      case 'ack': {
        const { topic, partition, offset, topicId } = message.message
        const consumer = this.#topics.get(topic)?.consumer.partition(partition)
        const now = consumer?.topicId
        if (incarnationOfTopic(topicId, now) === 'another') message.requester.reply({ type: 'notRead', topicId: now })
        else message.requester.reply({ type: consumer?.ack(offset) ?? 'notRead' })
        break
      }
      case 'setOffsets':
        this.#setOffsets(message)
        break
      case 'lend':
        message.requester.reply(this.#topics.get(message.topic)?.consumer.lend(message.limits))
        break
      case 'serve':
        this.#topics.get(message.topic)?.consumer.serve()
        message.served?.()
        break
      case 'endWaitsForStart':
        this.#topics.get(message.topic)?.consumer.endWaitsForStart()
        break
      case 'stop':
        this.#stop(message)
    }
  }

  /** The requests for a topic that have no answer yet, oldest first. */
  requestsFor(topic: string): readonly WaitingRequest[] {
    return this.#topics.get(topic)?.consumer.requests ?? []
  }

  bytesToLend(topic: string): number | undefined {
    return this.#topics.get(topic)?.consumer.bytesToLend
  }

  /**
   * Clients of another gateway wait for messages of the topic, so it is not given up if it is read.
   *
   * @returns whether there is a topic that is read
   */
  wanted(topic: string): boolean {
    const isBegun = this.#topics.get(topic)?.start.isBegun === true
    if (isBegun) this.#noteAsked(topic)
    return isBegun
  }

  /**
   * A client of this process gets a message that another gateway has lent.
   *
   * @returns true: before, it was not fixed where the group begins in the topic
   */
  noteBegun(topic: string): boolean {
    const start = this.#topics.get(topic)?.start
    if (start === undefined || start.isFixed) return false
    start.begunElsewhere()
    return true
  }

  /** Called after a bug. Answers all waiting requests, and leaves the group without a commit. */
  abandon(failure: Failure): void {
    for (const { consumer, start, timer, beginTimer } of this.#topics.values()) {
      timer?.cancel()
      beginTimer?.cancel()
      start.stop()
      consumer.stop(failure)
    }
    this.#topics.clear()
    this.#revocations.cancel()
    this.#committer.stop()
    this.#member.leave(() => {})
  }

  #setOffsets({ topic, offsets, timeoutMs, requester }: GroupMessage & { type: 'setOffsets' }): void {
    const consumer = this.#topics.get(topic)?.consumer
    const member = this.#member.isStable && !this.#stopping ? this.#member.membership : undefined
    if (!member || !consumer?.readsAll(offsets.keys())) {
      requester.reply({ type: 'notRead' })
      return
    }
    const { runtime } = this.#options
    const change = { runtime, member, topic, consumer, committer: this.#committer, offsets, timeoutMs }
    changeOffsets(change, result => requester.reply(result))
  }

  #consume({ topic: name, request, together, start, isLater = false }: GroupMessage & { type: 'consume' }): void {
    const { maxTopicsPerGroup } = this.#options.settings
    let topic = this.#topics.get(name)
    if (!topic && this.#topics.size >= maxTopicsPerGroup) {
      request.answer(this.#tooManyTopics())
      return
    }
    const problem = start === undefined ? undefined : this.#problemOf(request, start, together ?? [name])
    if (problem !== undefined) {
      request.answer(problem)
      return
    }
    if (topic === undefined) {
      topic = this.#add(ownText(name), start, isLater)
      this.#member.subscribe([...this.#topics.keys()])
    }
    topic.askedAt = this.#options.runtime.clock()
    if (together !== undefined) topic.together = together
    // Another topic of the same request has answered it.
    if (request.settled) return
    // A client that has waited for long, and was told that there is no message, is about to ask again.
    request.onSettled ??= together === undefined ? () => this.#noteAsked(name) : () => together.forEach(this.#noteAsked)
    const { refusal } = this.#member
    if (refusal) request.answer(refusal)
    else {
      topic.consumer.addRequest(request)
      if (topic.refusal) topic.consumer.forbid(topic.refusal)
      else if (topic.consumer.waitsInVain) this.#member.hurry()
    }
  }

  get partitionCount(): number {
    return this.#partitionCount
  }
  get clock(): LoopGroup['clock'] {
    return this.#options.runtime.clock
  }
  tick(run: () => void): void {
    this.#options.tick(run)
  }
  left(topic: string): void {
    this.#noteAsked(topic)
  }

  /** Registers a loop, unless it is registered, and answers its request if there is a message. */
  #ask(loop: LoopDemand): void {
    const problem = this.#register(loop) ?? this.#member.refusal ?? this.#refusalOf(loop)
    loop.serve()
    if (!loop.isAsking) return
    if (problem !== undefined) {
      loop.answer(problem)
      return
    }
    for (const name of loop.isPatient ? [] : this.#bare) {
      if (!loop.topics.has(name)) continue
      this.#member.hurry()
      break
    }
  }

  /** @returns why it may not read its topics, or not all of them */
  #register(loop: LoopDemand): Failure | undefined {
    const { maxTopicsPerGroup } = this.#options.settings
    const missing = loop.missingAt(this)
    if (missing.length === 0) return undefined
    let problem = loop.start === undefined ? undefined : this.#problemOfStart(loop.start, missing)
    if (problem !== undefined) return problem
    const before = this.#topics.size
    for (const name of missing) {
      if (!this.#topics.has(name) && this.#topics.size >= maxTopicsPerGroup) problem ??= this.#tooManyTopics()
      else {
        const topic = this.#topics.get(name) ?? this.#add(ownText(name), loop.start, loop.later?.has(name) === true)
        loop.register(name, topic.consumer)
      }
    }
    if (this.#topics.size > before) this.#member.subscribe([...this.#topics.keys()])
    return problem
  }

  #tooManyTopics(): Failure {
    const limit = `limit ${this.#options.settings.maxTopicsPerGroup}`
    return ownFailure('overloaded', `the group reads too many topics (${limit})`, true)
  }

  /** Why a topic of the loop may not be read. */
  #refusalOf(loop: LoopDemand): Failure | undefined {
    if (loop.isOfPattern) return undefined
    for (const name of this.#denied) if (loop.topics.has(name)) return DENIED
    return undefined
  }

  readonly #noteAsked = (name: string): void => {
    const topic = this.#topics.get(name)
    if (topic !== undefined) topic.askedAt = this.#options.runtime.clock()
  }

  /** The messages of a request for several topics follow each other: the first one tells for all. */
  #problemOf(request: WaitingRequest, start: OffsetType, names: readonly string[]): Failure | undefined {
    if (this.#checked?.request !== request) this.#checked = { request, problem: this.#problemOfStart(start, names) }
    return this.#checked.problem
  }

  /** The failure where any of the topics is read from another place already. */
  #problemOfStart(start: OffsetType, names: readonly string[]): Failure | undefined {
    const wanted = textOf(start)
    for (const name of names) {
      const topic = this.#topics.get(name)
      const begun = topic === undefined ? wanted : textOf(topic.start.setting)
      if (begun === wanted) continue
      const seconds = this.#options.settings.subscriptionTimeoutMs / 1_000
      const text = `this process reads ${shortened(name)} from ${begun} on for the group: name that start or none; another one may be named ${seconds} s after the last loop or request for the topic has ended (consumer.subscriptionTimeoutMs)`
      return invalid('invalidRequest', text)
    }
    return undefined
  }

  /** The member has to subscribe next. */
  #add(name: string, wanted: OffsetType | undefined, isLater: boolean): Topic {
    const { runtime, settings } = this.#options
    const startAt = wanted ?? settings.start
    const start = new TopicStart(startAt, runtime, name, settings.retryBackoffMs)
    if (isLater) start.missing()
    const consumer = new TopicConsumer({
      topic: name,
      groupId: runtime.groupId,
      metrics: runtime.metrics,
      start,
      maxWaitingRequests: settings.maxWaitingRequests,
      membership: () => this.#member.membership,
      createPartition: (partition, demand) => this.#createPartition({ topic: name, partition }, topic, demand),
      offers: new DeferredOffers(() => this.#topics.get(name)?.consumer, this.#options.tick),
      lending: this.#options.lending?.of(runtime.groupId, name)
    })
    const timers = { isToldMissing: false, timer: undefined, beginTimer: undefined }
    const topic: Topic = { consumer, start, refusal: undefined, askedAt: runtime.clock(), together: [name], ...timers }
    this.#topics.set(name, topic)
    this.#bare.add(name)
    if (startAt === 'latest') {
      topic.beginTimer = runtime.after(SLOW_JOIN_MS, () => start.whenCommitted(() => consumer.endWaitsForStart()))
      // Joining may take seconds, and the topic may be created meanwhile.
      this.#noteMissing(name, start)
    }
    this.#watch(name, topic, settings.subscriptionTimeoutMs)
    return topic
  }

  #noteMissing(name: string, start: TopicStart): void {
    lookUpTopics(this.#options.runtime, [name], found => {
      if (found?.partitionsOf(name).length === 0 && found.unclear.length + found.denied.length === 0) start.missing()
    })
  }

  #createPartition(topicPartition: TopicPartition, { start, consumer }: Topic, demand: Demand): PartitionConsumer {
    const { runtime, settings, batches } = this.#options
    return new PartitionConsumer({
      ...settings,
      topicPartition,
      runtime,
      batches,
      start: onStart => start.find(topicPartition.partition, onStart),
      tracker: settings,
      submit: source => this.#committer.submit(topicPartition, source),
      commits: this.#commitsOf(topicPartition, consumer),
      demand,
      onRefused: failure => this.#refuseTopic(topicPartition.topic, failure),
      onSettled: () => {
        this.#revocations.check()
        consumer.beginIfFixed()
      }
    })
  }

  /** The commits of a partition, for transactions. */
  #commitsOf(topicPartition: TopicPartition, consumer: TopicConsumer): PartitionCommits {
    const committer = this.#committer
    return {
      lock: onHeld => committer.lock(topicPartition, onHeld),
      refusedLength: () => committer.refusedLengthOf(topicPartition),
      noteRefusedLength: length => committer.noteRefusedLength(topicPartition, length),
      readAnew: () => {
        consumer.setAside([topicPartition.partition])
        committer.drop(topicPartition)
        consumer.readAnew([topicPartition.partition])
        this.#revocations.check()
      },
      tick: this.#options.tick
    }
  }

  #assigned({ partitions, followsDirectly, topics, starts }: AssignedToMember): void {
    const byTopic = new Map<string, number[]>([...this.#topics.keys()].map(name => [name, []]))
    for (const { topic, partition } of partitions) byTopic.get(topic)?.push(partition)
    this.#partitionCount = partitions.length
    this.#denied.clear()
    for (const [name, topic] of this.#topics) {
      const { consumer } = topic
      const assigned = byTopic.get(name)!
      if (assigned.length > 0) this.#bare.delete(name)
      else this.#bare.add(name)
      topic.refusal = undefined
      const kept = new Set(followsDirectly ? assigned : [])
      for (const partition of consumer.partitions) {
        if (!kept.has(partition)) this.#committer.drop({ topic: name, partition })
      }
      if (!followsDirectly) consumer.assign([])
      topic.start.decided(decisionOn(starts, name))
      consumer.assign(assigned)
      if (this.#member.isStable && !this.#stopping) consumer.resume()
      else consumer.pause()
      if (topics.has(name)) this.#begin(topic, assigned.length > 0 || decisionOn(starts, name) !== undefined)
    }
    this.#committer.resume()
    if (!this.#member.isStable) return
    this.#refusals.forget(GROUP)
    // A topic without read permission looks like a topic without partitions.
    const without = [...byTopic].filter(([, assigned]) => assigned.length === 0).map(([name]) => name)
    if (without.length > 0)
      lookUpTopics(this.#options.runtime, without, found => {
        this.#refuseDenied(found?.denied ?? [])
        for (const name of found?.missing ?? []) this.#tellMissing(name)
      })
  }

  /** Programs are told once of a topic of a loop: its name may be a mistake. A loop over a pattern has none. */
  #tellMissing(name: string): void {
    const topic = this.#topics.get(name)
    if (topic === undefined || topic.isToldMissing || [...topic.consumer.loops].every(loop => loop.isOfPattern)) return
    topic.isToldMissing = true
    this.#options.onMissing(name)
  }

  #refuseDenied(names: readonly string[]): void {
    for (const name of names) {
      const topic = this.#topics.get(name)
      if (!topic || topic.consumer.partitions.length > 0) continue
      topic.refusal = DENIED
      this.#denied.add(name)
      this.#refuseTopic(name, DENIED)
    }
  }

  /**
   * @param isDecided false: brokers do not know the topic, or a client of another kind leads the group; partitions may
   *   be assigned later
   */
  #begin(topic: Topic, isDecided: boolean): void {
    const { consumer, start } = topic
    if (isDecided) consumer.beginIfFixed()
    topic.beginTimer?.cancel()
    if (start.isBegun) return
    topic.beginTimer = this.#options.runtime.after(MAX_HOLD_FOR_START_MS, () => {
      // Requests for a topic that brokers do not show are refused, because it may exist or not.
      if (this.#member.isStable && !this.#stopping && !topic.refusal) consumer.begin()
    })
  }

  #refuseTopic(name: string, failure: Failure): void {
    const text = 'the group may not read the topic; requests for it are refused, and those for a pattern pass over it'
    this.#refusals.say(name, { topic: name }, failure, text)
    const consumer = this.#topics.get(name)?.consumer
    if (failure.errorCode === errorCodes.TOPIC_AUTHORIZATION_FAILED) consumer?.forbid(failure)
    else consumer?.refuseWaiting(failure)
  }

  /** Stops offering messages, waits for acknowledgements for a limited time, and commits. */
  #revoke(graceMs: number, ready: () => void): void {
    const consumers = this.#consumers
    for (const consumer of consumers) consumer.pause()
    const waitMs = Math.max(0, ...consumers.map(consumer => consumer.waitMs()))
    this.#revocations.begin({
      graceMs: Math.min(graceMs, waitMs),
      isSettled: () => consumers.every(consumer => consumer.pending === 0),
      ready
    })
  }

  get #consumers(): readonly TopicConsumer[] {
    return Array.from(this.#topics.values(), ({ consumer }) => consumer)
  }

  #refuseWaiting(failure: Failure): void {
    this.#refusals.say(GROUP, {}, failure, 'the group cannot be joined')
    for (const consumer of this.#consumers) consumer.refuseWaiting(failure)
  }

  /** When a request for the topic was open, or a loop began a message, last. */
  #askedAt(topic: Topic): number {
    const now = this.#options.runtime.clock()
    let askedAt = topic.askedAt
    for (const loop of topic.consumer.loops) askedAt = Math.max(askedAt, loop.askedAt(now))
    return askedAt
  }

  /** Whether this holds for a topic that is asked for together with this one. */
  #isOfTogether(topic: Topic, holds: (consumer: TopicConsumer) => boolean): boolean {
    const isSo = (name: string): boolean => {
      const consumer = this.#topics.get(name)?.consumer
      return consumer !== undefined && holds(consumer)
    }
    if (topic.together.some(isSo)) return true
    for (const { topics } of topic.consumer.loops) for (const name of topics) if (isSo(name)) return true
    return false
  }

  /**
   * Gives up the topic when no request of a client was open during the subscription time-out and all offered messages are
   * acknowledged.
   */
  #watch(name: string, topic: Topic, inMs: number): void {
    // Groups of webhooks are kept however long they read nothing.
    if (inMs === Number.POSITIVE_INFINITY) return
    const dueAt = this.#options.runtime.clock() + inMs
    topic.timer = this.#options.runtime.after(inMs, () => {
      const { runtime } = this.#options
      // The process stood still: timers come before the requests that have arrived meanwhile.
      const stoodStill = runtime.clock() - dueAt >= SAFE_CHECK_MS
      const keptMs = this.#keptMs(topic)
      if (keptMs > 0 || stoodStill) this.#watch(name, topic, keptMs || SAFE_CHECK_MS)
      else this.#giveUp(name, topic)
    })
  }

  /** When the topic is to be looked at again. 0: it is given up. */
  #keptMs(topic: Topic): number {
    const { runtime, settings } = this.#options
    const idleMs = runtime.clock() - this.#askedAt(topic)
    const leftMs = settings.subscriptionTimeoutMs - idleMs
    if (leftMs > 0) return leftMs
    const isPending = this.#isOfTogether(topic, ({ pending }) => pending > 0)
    const isHeld = this.#isOfTogether(topic, ({ inTransactions }) => inTransactions > 0)
    const mayBeAcked = isHeld || (isPending && idleMs < settings.ackTimeoutMs)
    return topic.consumer.waiting > 0 || mayBeAcked ? SAFE_CHECK_MS : 0
  }

  #giveUp(name: string, topic: Topic): void {
    const { runtime } = this.#options
    const { pending } = topic.consumer
    const startedAt = runtime.clock()
    if (pending > 0) {
      runtime.log.warn(
        { topic: name, messages: pending },
        'a topic is given up; its messages without acknowledgement will be offered again'
      )
    }
    this.#revocations.begin({
      graceMs: 0,
      isSettled: () => true,
      ready: () => this.#whenRead(topic, startedAt, () => this.#removeIfIdle(name, topic))
    })
  }

  /** Decides at once, or, if the process may have stood still, when the requests are read that have arrived meanwhile. */
  #whenRead(topic: Topic, since: number, decide: () => void): void {
    const { runtime } = this.#options
    if (this.#stopping || runtime.clock() - since < SAFE_CHECK_MS) decide()
    else topic.timer = runtime.after(SAFE_CHECK_MS, decide)
  }

  /**
   * True when a request came while offsets were committed, or has messages since: the topic is then kept. True, too, while
   * the group stops.
   */
  #isAskedAgain(name: string, topic: Topic): boolean {
    const keptMs = this.#keptMs(topic)
    if (keptMs > 0) this.#watch(name, topic, keptMs)
    return keptMs > 0 || this.#stopping
  }

  /** Which of the topics is the last one is known only now: others were given up, or asked for, meanwhile. */
  #removeIfIdle(name: string, topic: Topic): void {
    if (this.#isAskedAgain(name, topic)) return
    this.#remove(name, topic)
    if (this.#topics.size > 0) {
      this.#member.subscribe([...this.#topics.keys()])
      return
    }
    this.#member.leave(() => {
      // It may have joined and left once more, with a request that came before Kafka had answered.
      if (this.#topics.size > 0 || this.#stopping || this.#isEnded) return
      this.#isEnded = true
      this.#revocations.cancel()
      this.#options.onEnded()
    })
  }

  #remove(name: string, topic: Topic): void {
    for (const partition of topic.consumer.partitions) this.#committer.drop({ topic: name, partition })
    topic.timer?.cancel()
    topic.beginTimer?.cancel()
    topic.start.stop()
    topic.consumer.stop(SHUTTING_DOWN)
    for (const loop of [...topic.consumer.loops]) loop.unregister(name)
    this.#topics.delete(name)
    this.#bare.delete(name)
    this.#denied.delete(name)
    this.#refusals.forget(name)
  }

  #stop({ graceMs, onStopped }: GroupMessage & { type: 'stop' }): void {
    if (this.#isEnded || this.#stopping) {
      onStopped()
      return
    }
    this.#stopping = true
    for (const { consumer, timer, beginTimer } of this.#topics.values()) {
      timer?.cancel()
      beginTimer?.cancel()
      consumer.refuseWaiting(SHUTTING_DOWN)
    }
    this.#revoke(graceMs, () => this.#leaveForGood(onStopped))
  }

  /** Ends the membership. A static member does not leave, because it keeps its partitions if it comes back in time. */
  #leaveForGood(onStopped: () => void): void {
    for (const [name, topic] of [...this.#topics]) this.#remove(name, topic)
    this.#revocations.cancel()
    this.#committer.stop()
    if (this.#options.settings.instanceId === undefined) this.#member.leave(onStopped)
    else {
      this.#member.abandon()
      onStopped()
    }
  }
}

const textOf = (start: OffsetType): string => (typeof start === 'string' ? start : `time ${start.timestampMs}`)
