import type { Offset, TopicPartition } from '../../core/model.js'
import type { Failure } from '../../router/messages/operations.js'
import type { Deadlines } from '../../router/requests/deadlines.js'
import { ownFailure } from '../../router/requests/failures.js'
import { CommitLookUp } from './commit-look-up.js'
import type { Demand } from './demand.js'
import { type AssignedToMember, GroupMember } from './group-member.js'
import type { GroupRuntime, Timer } from './group-runtime.js'
import type { HeldBatches } from './held-batches.js'
import type { GroupMessage } from './messages.js'
import { changeOffsets } from './offset-change.js'
import { OffsetCommitter } from './offset-committer.js'
import { PartitionConsumer } from './partition-consumer.js'
import { lookUpPartitions } from './partition-counts.js'
import { lookForForbidden, Refusals } from './refusals.js'
import { Revocations } from './revocations.js'
import type { ConsumerSettings } from './settings.js'
import { decisionOn } from './start-messages.js'
import { LONGEST_HOLD_MS, TopicConsumer } from './topic-consumer.js'
import { TopicStart } from './topic-start.js'

/** How often a topic that is given up looks whether requests and messages without an acknowledgement are left. */
const SAFE_CHECK_MS = 100
/** What is left of a rebalance for joining, once a member has had its time for acknowledgements and commits. */
const COMMIT_SHARE_OF_REBALANCE = 0.5

/** When joining takes longer, it is looked up whether the group has begun to read before, so that clients need not wait. */
const SLOW_JOIN_MS = 2_000

/** What is refused when the group is; no topic has this name. */
const GROUP = ''

const SHUTTING_DOWN = ownFailure('shuttingDown', 'the consumer groups are shutting down', true)

export interface GroupConsumerOptions {
  readonly runtime: GroupRuntime
  readonly settings: ConsumerSettings
  readonly deadlines: Deadlines
  readonly batches: HeldBatches
  readonly tell: (message: GroupMessage) => void
  /** The group has no topics any more, and the member has left. */
  readonly onEnded: () => void
  /** A request that came after the end. */
  readonly onLate: (message: GroupMessage & { readonly type: 'consume' }) => void
}

interface Topic {
  readonly consumer: TopicConsumer
  readonly start: TopicStart
  /** Brokers do not show its partitions to this process. */
  refusal: Failure | undefined
  askedAt: number
  timer: Timer | undefined
  /** Until it begins: what is done when that takes long. */
  beginTimer: Timer | undefined
}

/**
 * A group, as this process takes part in it: one member for all topics that clients ask for, which joins with the first
 * request and leaves when no topic is asked for any more.
 */
export class GroupConsumer {
  readonly #options: GroupConsumerOptions
  readonly #topics = new Map<string, Topic>()
  readonly #member: GroupMember
  readonly #committer: OffsetCommitter
  readonly #refusals: Refusals
  #isEnded = false
  #stopping = false
  readonly #revocations = new Revocations()

  constructor(options: GroupConsumerOptions) {
    const { runtime, settings } = options
    this.#options = options
    this.#refusals = new Refusals(runtime.log)
    this.#member = new GroupMember({
      ...settings,
      runtime,
      instanceId: settings.instanceId ?? null,
      begun: topic => this.hasBegun(topic),
      isWaiting: () => this.#consumers.some(({ waitsInVain }) => waitsInVain),
      onAssigned: assigned => this.#assigned(assigned),
      onLost: () => this.#assigned({ partitions: [], isNext: false, topics: new Set(), starts: undefined }),
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

  get topicCount(): number {
    return this.#topics.size
  }

  /** Nothing begins at the end of the topic any more. */
  hasBegun(topic: string): boolean {
    return this.#topics.get(topic)?.start.excludesLatest === true
  }

  /** By partition that is read: everything before is acknowledged, or was there before the group. */
  positionsIn(topic: string, topicId: string | undefined): ReadonlyMap<number, Offset> {
    return this.#topics.get(topic)?.consumer.positionsIn(topicId) ?? new Map()
  }

  receive(message: GroupMessage): void {
    switch (message.type) {
      case 'happened':
        message.run()
        break
      case 'consume':
        if (this.#isEnded) this.#options.onLate(message)
        else if (this.#stopping) message.request.answer(SHUTTING_DOWN)
        else this.#consume(message)
        break
      case 'ack': {
        const consumer = this.#topics.get(message.topic)?.consumer
        const type = consumer?.ack(message.partition, message.offset) ?? 'notRead'
        message.requester?.reply({ type })
        break
      }
      case 'ackAll':
        this.#topics.get(message.topic)?.consumer.ackAll(message.offsets)
        break
      case 'releaseAll':
        this.#topics.get(message.topic)?.consumer.releaseAll(message.records)
        break
      case 'setOffsets':
        this.#setOffsets(message)
        break
      case 'stop':
        this.#stop(message)
    }
  }

  /** After a bug: answers all requests that wait, and leaves the group without committing. */
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

  #consume({ topic: name, request }: GroupMessage & { type: 'consume' }): void {
    const { maxTopicsPerGroup } = this.#options.settings
    let topic = this.#topics.get(name)
    if (!topic && this.#topics.size >= maxTopicsPerGroup) {
      const limit = `limit ${maxTopicsPerGroup}; consumer.maxTopicsPerGroup`
      request.answer(ownFailure('overloaded', `the group reads too many topics (${limit})`, true))
      return
    }
    topic ??= this.#add(name)
    topic.askedAt = this.#options.runtime.clock()
    const refusal = this.#member.refusal ?? topic.refusal
    if (refusal) request.answer(refusal)
    else {
      topic.consumer.enqueue(request)
      if (topic.consumer.waitsInVain) this.#member.hurry()
    }
  }

  #add(name: string): Topic {
    const { runtime, settings, deadlines, tell } = this.#options
    const start = new TopicStart(settings.start, new CommitLookUp(runtime, name, settings.retryBackoffMs))
    const consumer = new TopicConsumer({
      topic: name,
      groupId: runtime.groupId,
      metrics: runtime.metrics,
      deadlines,
      start,
      maxWaitingRequests: settings.maxWaitingRequests,
      createPartition: (partition, demand) => this.#createPartition({ topic: name, partition }, topic, demand),
      ack: (partition, offset) => tell({ type: 'ack', topic: name, partition, offset, requester: undefined }),
      ackAll: offsets => tell({ type: 'ackAll', topic: name, offsets }),
      releaseAll: records => tell({ type: 'releaseAll', topic: name, records })
    })
    const rest = { refusal: undefined, askedAt: runtime.clock(), timer: undefined, beginTimer: undefined }
    const topic: Topic = { consumer, start, ...rest }
    this.#topics.set(name, topic)
    if (settings.start === 'latest') {
      topic.beginTimer = runtime.after(SLOW_JOIN_MS, () => start.whenCommitted(() => consumer.releaseRequests()))
      // Joining may take seconds, in which the topic may be created.
      this.#noteMissing(name, start)
    }
    this.#watch(name, topic, settings.subscriptionTimeoutMs)
    this.#member.subscribe([...this.#topics.keys()])
    return topic
  }

  #noteMissing(name: string, start: TopicStart): void {
    lookUpPartitions(
      (...question) => this.#options.runtime.ask('fetchTopicMetadata', ...question),
      [name],
      (found, unclear, denied) => {
        if (found?.(name).length === 0 && unclear.length + denied.length === 0) start.missing()
      }
    )
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
      demand,
      onRefused: failure => this.#refuseTopic(topicPartition.topic, failure),
      onSettled: () => {
        this.#revocations.check()
        consumer.beginIfFixed()
      }
    })
  }

  #assigned({ partitions, isNext, topics, starts }: AssignedToMember): void {
    const byTopic = new Map([...this.#topics.keys()].map(name => [name, [] as number[]]))
    for (const { topic, partition } of partitions) byTopic.get(topic)?.push(partition)
    for (const [name, topic] of this.#topics) {
      const { consumer } = topic
      const assigned = byTopic.get(name)!
      topic.refusal = undefined
      const kept = new Set(isNext ? assigned : [])
      for (const partition of consumer.partitions) {
        if (!kept.has(partition)) this.#committer.drop({ topic: name, partition })
      }
      if (!isNext) consumer.assign([])
      topic.start.decided(decisionOn(starts, name))
      consumer.assign(assigned)
      if (this.#member.isStable && !this.#stopping) consumer.resume()
      else consumer.pause()
      if (topics.has(name)) this.#begin(topic, assigned.length > 0 || decisionOn(starts, name) !== undefined)
    }
    this.#committer.resume()
    if (!this.#member.isStable) return
    this.#refusals.forget(GROUP)
    // Brokers show no partition of a topic that may not be read.
    const without = [...byTopic].filter(([, assigned]) => assigned.length === 0).map(([name]) => name)
    lookForForbidden(this.#options.runtime, without, (name, failure) => {
      const topic = this.#topics.get(name)
      if (!topic || topic.consumer.partitions.length > 0) return
      topic.refusal = failure
      this.#refuseTopic(name, failure)
    })
  }

  /** @param isDecided not: brokers do not tell of the topic, or another client assigns, so that partitions may come yet */
  #begin(topic: Topic, isDecided: boolean): void {
    const { consumer, start } = topic
    if (isDecided) consumer.beginIfFixed()
    topic.beginTimer?.cancel()
    if (start.isBegun) return
    topic.beginTimer = this.#options.runtime.after(LONGEST_HOLD_MS, () => {
      // Whether a topic exists that brokers do not show is not known, and its requests are refused.
      if (this.#member.isStable && !this.#stopping && !topic.refusal) consumer.begin()
    })
  }

  #refuseTopic(name: string, failure: Failure): void {
    this.#refusals.say(name, { topic: name }, failure, 'the group may not read the topic; clients are answered so')
    this.#topics.get(name)?.consumer.refuseWaiting(failure)
  }

  /** Offers nothing more, waits for acknowledgements as long as it may, and commits. */
  #revoke(graceMs: number, ready: () => void): void {
    const { runtime } = this.#options
    const consumers = this.#consumers
    for (const consumer of consumers) consumer.pause()
    const waitMs = Math.max(0, ...consumers.map(consumer => consumer.waitMs()))
    this.#revocations.begin({
      runtime,
      graceMs: Math.min(graceMs, waitMs),
      commitLimitMs: this.#commitLimitMs,
      isSettled: () => consumers.every(consumer => consumer.pending === 0),
      commit: done => this.#committer.flush(done),
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

  /** Gives the topic up once it has not been asked for long enough, and no acknowledgement can be expected. */
  #watch(name: string, topic: Topic, inMs: number): void {
    topic.timer = this.#options.runtime.after(inMs, () => {
      const { runtime, settings } = this.#options
      const idleMs = runtime.clock() - topic.askedAt
      const leftMs = settings.subscriptionTimeoutMs - idleMs
      const mayBeAcked = topic.consumer.pending > 0 && idleMs < settings.ackTimeoutMs
      if (leftMs > 0) this.#watch(name, topic, leftMs)
      else if (topic.consumer.waiting > 0 || mayBeAcked) this.#watch(name, topic, SAFE_CHECK_MS)
      else this.#giveUp(name, topic)
    })
  }

  #giveUp(name: string, topic: Topic): void {
    const { runtime } = this.#options
    const { pending } = topic.consumer
    if (pending > 0) {
      runtime.log.warn(
        { topic: name, messages: pending },
        'a topic is given up while messages are not acknowledged, which will be offered again'
      )
    }
    if (this.#topics.size === 1) {
      this.#revoke(0, () => this.#leaveIfIdle(name, topic))
      return
    }
    this.#revocations.begin({
      runtime,
      graceMs: 0,
      commitLimitMs: this.#commitLimitMs,
      isSettled: () => true,
      commit: done => this.#committer.flush(done),
      ready: () => {
        if (this.#isAskedAgain(name, topic)) return
        this.#remove(name, topic)
        this.#member.subscribe([...this.#topics.keys()])
      }
    })
  }

  get #commitLimitMs(): number {
    return this.#options.settings.rebalanceTimeoutMs * COMMIT_SHARE_OF_REBALANCE
  }

  /** A request that came while offsets were committed keeps the topic. */
  #isAskedAgain(name: string, topic: Topic): boolean {
    const { runtime, settings } = this.#options
    const leftMs = settings.subscriptionTimeoutMs - (runtime.clock() - topic.askedAt)
    const isAsked = leftMs > 0 || topic.consumer.waiting > 0
    if (isAsked) this.#watch(name, topic, Math.max(leftMs, SAFE_CHECK_MS))
    return isAsked || this.#stopping
  }

  #leaveIfIdle(name: string, topic: Topic): void {
    if (this.#stopping) return
    if (this.#topics.size > 1 || this.#isAskedAgain(name, topic)) {
      for (const consumer of this.#consumers) consumer.resume()
      return
    }
    this.#remove(name, topic)
    this.#member.leave(() => {
      if (this.#topics.size > 0 || this.#stopping) return
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
    this.#topics.delete(name)
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

  /** A static member does not leave: when it comes back in time, it keeps its partitions. */
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
