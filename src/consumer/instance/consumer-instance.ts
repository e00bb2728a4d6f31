import { type LogPosition, type Offset, type TopicPartition, topicPartitionKey } from '../../core/model.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { AS_STORED, type Failure, type GroupMembership, type OffsetType } from '../../router/messages/operations.js'
import { kafkaFailure, ownFailure } from '../../router/requests/failures.js'
import { inPortions } from '../../router/routing/ask-router.js'
import { withoutMark } from '../group/ack-encoding.js'
import { type AssignedToMember, GroupMember, LOST } from '../group/group-member.js'
import type { GroupRuntime, Timer } from '../group/group-runtime.js'
import type { HeldBatches } from '../group/held-batches.js'
import { Revocations } from '../group/revocations.js'
import type { ConsumerSettings } from '../group/settings.js'
import { decisionOn, type GroupStarts } from '../group/start-messages.js'
import type { FindStart } from '../group/topic-start.js'
import { InstanceCommits, late, type StoredOffset, TIMEOUT_MS } from './instance-commits.js'
import { epochWithin, type Furthest, InstancePartition } from './instance-partition.js'
import { InstanceReads, type ReadBudget } from './instance-reads.js'
import type {
  InstanceName,
  InstanceOffset,
  InstancePosition,
  InstanceRead,
  InstanceReadLimits,
  InstanceResult,
  InstanceSettings
} from './instances.js'
import type { StoredInstance, StoredTopics } from './stored-instance.js'
import { type ChosenTopics, InstanceTopicsWatch, type PatternLookUps } from './topic-patterns.js'

/** Time limit for the commit before the instance leaves its group. */
const LAST_COMMIT_MS = 5_000
/** Limit of commits that wait until the instance has joined its group. */
const MAX_WAITING_COMMITS = 64
/** Limit of partitions that an instance had before, and whose furthest positions it keeps. */
const MAX_READ_BEFORE = 10_000

/** Answers a request; once. */
export type Reply<Value> = (result: InstanceResult<Value>) => void

export interface ConsumerInstanceOptions {
  readonly runtime: GroupRuntime
  /** Calls back in a later tick of the actor. */
  readonly tick: (run: () => void) => void
  readonly instance: InstanceName
  readonly settings: InstanceSettings
  readonly consumer: ConsumerSettings
  readonly batches: HeldBatches
  readonly budget: ReadBudget
  readonly patterns: Pick<PatternLookUps, 'find'>
  /** The id as a static member of the group; `null`: a restart makes it another member. */
  readonly staticId?: string | null | undefined
  /** Asked before a commit that Kafka cannot refuse: whether the instance is still of this process. */
  readonly confirm?: (() => Promise<Failure | undefined>) | undefined
  /** Called when another process has joined the group in place of this instance. */
  readonly onFenced?: (() => void) | undefined
  /** Called when the idle time begins anew. */
  readonly onUsed: () => void
  /** Called when it was not used for its idle time. */
  readonly onIdle: () => void
}

const DONE = { type: 'done', value: undefined } as const
const OVERTAKEN = ownFailure('clusterChanged', 'the position was set again before its offset was known', true)

interface WaitingCommit {
  readonly run: (member: GroupMembership | undefined) => void
  readonly refuse: (failure: Failure) => void
  readonly limit: Timer
}

/**
 * One consumer instance: a member of its group when it is subscribed, or a reader of assigned partitions. Its state changes
 * only in ticks of its actor.
 */
export class ConsumerInstance {
  readonly #options: ConsumerInstanceOptions
  readonly #partitions = new Map<string, InstancePartition>()
  readonly #reads: InstanceReads
  readonly #revocations: Revocations
  readonly #commits: InstanceCommits
  #member: GroupMember | undefined
  #topics: InstanceTopicsWatch | undefined
  #isAssigned = false
  #isEnded = false
  #refusal: Failure | undefined
  /** Called when the instance has left its group; `undefined`: it is not leaving. */
  #whenLeft: (() => void)[] | undefined
  #idle: Timer | undefined
  #usedAt: number
  #waitingCommits: WaitingCommit[] = []
  #autoCommit: Timer | undefined
  /** The accepted positions of partitions that this instance read last. Used when the group has committed none. */
  readonly #lastAccepted = new Map<string, LogPosition & { readonly topicId: string | undefined }>()
  /** What it has read of partitions that it does not have now. Their offsets may still be committed. */
  readonly #readBefore = new Map<string, Furthest>()
  /** Topics that the instance has read: partitions that are added begin at their earliest record. */
  readonly #begun = new Set<string>()
  #chosen: ChosenTopics | undefined
  /** True: the instance remains a member of its group, and another process continues it. */
  #isKept = false
  /** Commits and changes of positions, of which its stored state tells nothing. */
  changes = 0
  /** How many changes of positions were asked for, and which of them was carried out last. */
  #seeks = 0
  #sought = 0
  /** Number of memberships, part of the name of a connection. */
  #memberships = 0

  constructor(options: ConsumerInstanceOptions) {
    const { runtime, settings } = options
    this.#options = options
    this.#usedAt = runtime.clock()
    this.#reads = new InstanceReads({
      ...options,
      partitions: this.#partitions,
      refusal: () => this.#refusal,
      onSettled: () => {
        this.used()
        this.#revocations.check()
        this.#autoCommitSoon()
      }
    })
    this.#commits = new InstanceCommits({
      ...options,
      retryBackoffMs: options.consumer.retryBackoffMs,
      onStored: ({ topic, partition }, offset) => {
        const read = this.#partitions.get(topicPartitionKey(topic, partition))
        if (read) read.committed = offset
      },
      onFenced: (errorCode, member) => this.#member?.fenced(errorCode, member)
    })
    this.#revocations = new Revocations(runtime, LAST_COMMIT_MS, done => this.#commitBeforeLoss(done))
    this.#watchIdle(settings.idleMs ?? 0)
  }

  /** The idle time begins anew. */
  used(): void {
    this.#usedAt = this.#options.runtime.clock()
    this.#options.onUsed()
  }

  /** The topics of the subscription, once those of a pattern are known; none: it is not subscribed. */
  subscription(reply: Reply<readonly string[]>): void {
    if (!this.#topics) reply({ type: 'done', value: [] })
    else
      this.#topics.whenKnown(names =>
        reply(names ? { type: 'done', value: names } : late('the question for the topics of the pattern'))
      )
  }

  unsubscribe(reply: Reply<void>): void {
    this.#leave(() => reply(DONE))
  }

  get isAssigned(): boolean {
    return this.#isAssigned
  }

  get stored(): Pick<StoredInstance, 'topics' | 'assigned'> {
    const topics = this.#topics && storedTopics(this.#chosen!, this.#topics.names)
    return { topics, assigned: this.#isAssigned ? this.assignment : [] }
  }

  subscribe(topics: ChosenTopics): InstanceResult<void> {
    if (this.#isAssigned) return illegal('partitions were assigned to the instance; it cannot subscribe as well')
    const { runtime, consumer, patterns } = this.#options
    this.#topics?.stop()
    this.#chosen = topics
    this.#topics = new InstanceTopicsWatch({
      runtime,
      topics,
      patterns,
      checkMs: consumer.partitionCheckMs,
      missingCheckMs: consumer.missingTopicCheckMs,
      maxTopics: consumer.maxTopicsPerGroup,
      onChosen: names => this.#join(names)
    })
    return DONE
  }

  /** Joins the group to read these topics; without topics it leaves the group. */
  #join(names: readonly string[]): void {
    if (this.#whenLeft) return
    if (names.length > 0) {
      this.#member ??= this.#newMember()
      this.#member.subscribe(names)
    } else if (this.#member) this.#endMembership(() => undefined)
  }

  #newMember(): GroupMember {
    const { runtime, consumer, instance, settings } = this.#options
    return new GroupMember({
      ...consumer,
      runtime,
      instanceId: this.#options.staticId ?? null,
      onFenced: this.#options.onFenced,
      connection: `${instance.name} ${++this.#memberships} `,
      start: settings.start === 'earliest' ? 'earliest' : 'latest',
      begun: topic => this.#begun.has(topic),
      isWaiting: () => this.#reads.isBusy && this.#partitions.size === 0,
      onAssigned: assigned => this.#assigned(assigned),
      onRebalance: (_, ready) => this.#revoke(ready),
      onRefused: failure => {
        this.#refusal = failure
        this.#reads.proceed()
        for (const { refuse } of this.#waitingCommits.splice(0)) refuse(failure)
      }
    })
  }

  #assigned(assigned: AssignedToMember): void {
    if (this.#whenLeft) return
    this.#refusal = undefined
    const { followsDirectly, starts } = assigned
    const keys = new Set(assigned.partitions.map(({ topic, partition }) => topicPartitionKey(topic, partition)))
    this.#reads.restart()
    for (const [key, partition] of this.#partitions) if (!followsDirectly || !keys.has(key)) this.#drop(key, partition)
    for (const topicPartition of assigned.partitions) this.#add(topicPartition, starts)
    this.#reads.resume()
    const member = this.#member?.membership
    if (assigned === LOST || !member) return
    for (const { run, limit } of this.#waitingCommits.splice(0)) {
      limit.cancel()
      run(member)
    }
  }

  /** Stops taking records, waits for the answer that is being written, and commits. */
  #revoke(ready: () => void): void {
    this.#reads.pause()
    this.#revocations.begin({
      graceMs: this.#options.consumer.revocationMs,
      isSettled: () => !this.#reads.isUnsettled,
      ready
    })
  }

  /**
   * Commits before other members may get the partitions. Without automatic commits, commits only the offsets where the
   * instance began at the end of a log: another member would begin elsewhere.
   */
  #commitBeforeLoss(done: () => void): void {
    this.changes++
    this.#commits.store(this.#lastOffsets(), this.#member?.membership, done)
  }

  #lastOffsets(): readonly StoredOffset[] {
    const { autoCommitMs, start } = this.#options.settings
    if (autoCommitMs !== undefined) return this.#uncommitted()
    return [...this.#partitions.values()].flatMap(({ topicPartition, committed, beganAt }) =>
      committed === undefined && beganAt !== undefined && start === 'latest'
        ? [{ ...topicPartition, offset: beganAt, metadata: '' }]
        : []
    )
  }

  assign(wanted: readonly TopicPartition[]): InstanceResult<void> {
    if (this.#topics) return illegal('the instance is subscribed; partitions cannot be assigned to it as well')
    this.#reads.restart()
    this.#isAssigned = wanted.length > 0
    const keys = new Set(wanted.map(({ topic, partition }) => topicPartitionKey(topic, partition)))
    for (const [key, partition] of this.#partitions) if (!keys.has(key)) this.#drop(key, partition)
    this.#lastAccepted.clear()
    for (const topicPartition of wanted) this.#add(topicPartition, undefined)
    this.#reads.proceed()
    return DONE
  }

  #add({ topic, partition }: TopicPartition, starts: GroupStarts | undefined): void {
    const key = topicPartitionKey(topic, partition)
    if (this.#partitions.has(key)) return
    const { runtime, batches, consumer } = this.#options
    const added = new InstancePartition({
      topicPartition: { topic, partition },
      runtime,
      batches,
      retryBackoffMs: consumer.retryBackoffMs,
      start: this.#startOf(topic, partition, starts),
      readBefore: this.#readBefore.get(key),
      onChanged: () => {
        if (added.accepted !== undefined) this.#begun.add(topic)
        this.#reads.proceed(added)
        this.#autoCommitSoon()
      },
      onLogChanged: () => this.#reads.restart()
    })
    this.#partitions.set(key, added)
    added.begin()
  }

  #startOf(topic: string, partition: number, starts: GroupStarts | undefined): FindStart | 'none' {
    const { start } = this.#options.settings
    const key = topicPartitionKey(topic, partition)
    const last = this.#lastAccepted.get(key)
    if (last !== undefined) return onStart => onStart({ ...last, topicId: last.topicId })
    if (start !== 'latest') return start === 'none' ? 'none' : onStart => onStart('earliest')
    const byLeader = decisionOn(starts, topic)
    const hasBegun = this.#begun.has(topic)
    return onStart => {
      if (hasBegun || byLeader === 'earliest') onStart('earliest')
      else if (byLeader === undefined) onStart('latest')
      else {
        const end = byLeader.ends.get(partition)
        onStart(end === undefined ? 'earliest' : { ...end, topicId: byLeader.topicId })
      }
    }
  }

  #drop(key: string, partition: InstancePartition): void {
    const { accepted: offset, topicId, furthest } = partition
    if (furthest) this.#keepFurthest(key, furthest)
    if (offset !== undefined)
      this.#lastAccepted.set(key, { offset, leaderEpoch: partition.epochBefore(offset), topicId })
    partition.stop()
    this.#partitions.delete(key)
  }

  #keepFurthest(key: string, furthest: Furthest): void {
    this.#readBefore.delete(key)
    this.#readBefore.set(key, furthest)
    if (this.#readBefore.size <= MAX_READ_BEFORE) return
    const [oldest] = this.#readBefore.keys()
    this.#readBefore.delete(oldest!)
  }

  /** The partitions that it reads now, sorted. */
  get assignment(): readonly TopicPartition[] {
    return Array.from(this.#partitions.values(), ({ topicPartition }) => topicPartition).sort(
      (one, other) =>
        (one.topic < other.topic ? -1 : one.topic > other.topic ? 1 : 0) || one.partition - other.partition
    )
  }

  seek(positions: readonly InstancePosition[], reply: Reply<void>): void {
    const { runtime } = this.#options
    const keyOf = ({ topic, partition }: TopicPartition): string => topicPartitionKey(topic, partition)
    const missing = positions.find(position => !this.#partitions.has(keyOf(position)))
    if (missing) {
      reply(illegal(`${keyOf(missing)} is not assigned to the instance`))
      return
    }
    const found: [key: string, offset: Offset][] = []
    const turn = ++this.#seeks
    let failure: Failure | undefined
    inPortions(
      positions,
      ({ topic, partition, position }, answered) => {
        const key = topicPartitionKey(topic, partition)
        if (typeof position === 'number') {
          found.push([key, position])
          answered()
          return
        }
        const offsetType: OffsetType = position === 'beginning' ? 'earliest' : position === 'end' ? 'latest' : position
        const request = { topicPartition: { topic, partition }, offsetType, timeoutMs: TIMEOUT_MS }
        runtime.ask('fetchOffset', request, result => {
          if (result.type === 'success') found.push([key, result.offset])
          else if (result.type === 'failed') failure = result
          else if (result.type === 'timedOut') failure = late(`the offset of ${key}`)
          else failure = kafkaFailure(errorCodes.UNKNOWN_TOPIC_OR_PARTITION)
          answered(failure !== undefined)
        })
      },
      () => {
        if (failure) reply(failure)
        else if (turn < this.#sought) reply(OVERTAKEN)
        else {
          this.#sought = turn
          this.#reads.restart()
          for (const [key, offset] of found) this.#partitions.get(key)?.seek(offset)
          reply(DONE)
        }
      }
    )
  }

  read(limits: InstanceReadLimits, reply: Reply<InstanceRead>): void {
    const { settings } = this.#options
    const { format } = settings
    if (limits.formats?.includes(format) === false) {
      reply({ type: 'otherFormat', format })
      return
    }
    if (!this.#topics && !this.#isAssigned) {
      reply(illegal('the instance has neither a subscription nor assigned partitions'))
      return
    }
    this.#reads.add({
      maxWaitMs: Math.min(limits.timeoutMs ?? settings.maxWaitMs, settings.maxWaitMs),
      maxBytes: Math.min(limits.maxBytes ?? settings.maxBytes, settings.maxBytes),
      gone: limits.gone,
      reply
    })
  }

  commit(offsets: readonly InstanceOffset[] | 'accepted', reply: Reply<void>): void {
    const answer = (failure: Failure | undefined): void => reply(failure ?? DONE)
    if (offsets !== 'accepted') {
      const stored = offsets.map(offset => this.#withEpoch(offset))
      this.#whenMember(member => this.#commits.store(stored, member, answer), answer)
    } else if (this.#uncommitted().length === 0) answer(undefined)
    else this.#whenMember(() => this.#commitAccepted(answer), answer)
  }

  /** Waits until the instance is in its group, if it is subscribed. */
  #whenMember(run: WaitingCommit['run'], refuse: (failure: Failure) => void): void {
    const member = this.#member?.membership
    if (member || !this.#member) run(member)
    else if (this.#refusal) refuse(this.#refusal)
    else if (this.#waitingCommits.length >= MAX_WAITING_COMMITS)
      refuse(ownFailure('overloaded', `${MAX_WAITING_COMMITS} commits of this instance wait already`, true))
    else {
      const limit = this.#options.runtime.after(TIMEOUT_MS, () => {
        this.#waitingCommits = this.#waitingCommits.filter(one => one !== waiting)
        refuse(late('the wait for the group'))
      })
      const waiting = { run, refuse, limit }
      this.#waitingCommits.push(waiting)
    }
  }

  #uncommitted(): readonly StoredOffset[] {
    return [...this.#partitions.values()].flatMap(({ topicPartition, accepted, committed }) =>
      accepted === undefined || accepted === committed
        ? []
        : [this.#withEpoch({ ...topicPartition, offset: accepted, metadata: '' })]
    )
  }

  #withEpoch(stored: InstanceOffset): StoredOffset {
    const { topic, partition, offset } = stored
    const key = topicPartitionKey(topic, partition)
    const read = this.#partitions.get(key)
    return { ...stored, leaderEpoch: read ? read.epochBefore(offset) : epochWithin(this.#readBefore.get(key), offset) }
  }

  #commitAccepted(done: (failure: Failure | undefined) => void): void {
    this.changes++
    this.#commits.store(this.#uncommitted(), this.#member?.membership, done)
  }

  committed(partitions: readonly TopicPartition[], reply: Reply<readonly InstanceOffset[]>): void {
    const { runtime } = this.#options
    const found = new Map<number, InstanceOffset>()
    let failure: Failure | undefined
    inPortions(
      partitions.map((topicPartition, at) => ({ topicPartition, at })),
      ({ topicPartition, at }, answered) => {
        const request = { groupId: runtime.groupId, topicPartition, ...AS_STORED, timeoutMs: TIMEOUT_MS }
        runtime.ask('fetchConsumerOffset', request, result => {
          if (result.type === 'success') {
            const { offset, metadata = '' } = result.offsetAndMetadata
            found.set(at, { ...topicPartition, offset, metadata: withoutMark({ offset, metadata }).metadata })
          } else if (result.type === 'failed') failure ??= result
          else if (result.type === 'timedOut') failure ??= late('the committed offset')
          answered(failure !== undefined)
        })
      },
      () =>
        reply(
          failure ?? { type: 'done', value: partitions.flatMap((_, at) => (found.has(at) ? [found.get(at)!] : [])) }
        )
    )
  }

  #autoCommitSoon(): void {
    const { autoCommitMs } = this.#options.settings
    if (autoCommitMs === undefined || this.#autoCommit || this.#isEnded || this.#uncommitted().length === 0) return
    this.#autoCommit = this.#options.runtime.after(autoCommitMs, () => {
      const isReady = !this.#member || this.#member.membership !== undefined
      const over = (failure: Failure | undefined): void => {
        if (failure) this.#options.runtime.log.warn({ reason: failure.message }, 'an automatic commit failed')
        this.#autoCommit = undefined
        this.#autoCommitSoon()
      }
      if (isReady) this.#commitAccepted(over)
      else over(undefined)
    })
  }

  #leave(whenLeft: () => void): void {
    const topics = this.#topics
    this.#topics = undefined
    topics?.stop()
    this.#isAssigned = false
    this.#endMembership(whenLeft)
  }

  #endMembership(whenLeft: () => void): void {
    if (this.#whenLeft) {
      this.#whenLeft.push(whenLeft)
      return
    }
    const callbacks = [whenLeft]
    this.#whenLeft = callbacks
    const member = this.#member
    const membership = member?.membership
    const isWanted = this.#isKept || this.#options.settings.autoCommitMs !== undefined
    const offsets = isWanted && (!member || membership) ? this.#lastOffsets() : []
    this.#reads.pause()
    this.#dropAll()
    let isOver = false
    const leave = (): void => {
      if (isOver) return
      isOver = true
      limit.cancel()
      this.#whenLeft = undefined
      this.#member = undefined
      this.#refusal = undefined
      this.#reads.resume()
      const left = (): void => {
        for (const callback of callbacks) callback()
      }
      if (member && !this.#isKept) member.leave(left)
      else {
        member?.abandon()
        left()
      }
      // A new subscription may have come while offsets were committed.
      if (this.#topics) this.#join(this.#topics.names)
    }
    const limit = this.#options.runtime.after(LAST_COMMIT_MS, leave)
    // Commits that were asked for before come no later than those of the process that goes on.
    this.#commits.store(offsets, membership, () => this.#commits.whenIdle(leave))
  }

  #dropAll(): void {
    for (const [key, partition] of this.#partitions) this.#drop(key, partition)
    this.#lastAccepted.clear()
  }

  /**
   * Commits as automatic commits do, leaves the group, and ends. Who still waits for an answer gets none from here.
   *
   * @param isKept the instance remains a member of its group, because another process continues it
   */
  end(isKept: boolean, whenEnded: () => void): void {
    this.#isEnded = true
    this.#isKept = isKept
    this.#reads.stop()
    this.#leave(() => {
      this.abandon()
      whenEnded()
    })
  }

  /** Ends without a commit, and without leaving the group. Idempotent. */
  abandon(): void {
    this.#isEnded = true
    this.#member?.abandon()
    this.#reads.stop()
    this.#topics?.stop()
    this.#autoCommit?.cancel()
    this.#idle?.cancel()
    this.#revocations.cancel()
    this.#commits.stop()
    this.#dropAll()
    for (const { limit } of this.#waitingCommits.splice(0)) limit.cancel()
  }

  /** A read that waits counts as use. */
  #watchIdle(inMs: number): void {
    const { runtime, settings, instance, onIdle } = this.#options
    const { idleMs } = settings
    if (idleMs === undefined) return
    this.#idle = runtime.after(inMs, () => {
      if (this.#isEnded) return
      if (this.#reads.isBusy) this.used()
      const leftMs = this.#usedAt + idleMs - runtime.clock()
      if (leftMs > 0) this.#watchIdle(leftMs)
      else {
        runtime.log.info({ instance: instance.name, idleMs }, 'an instance was not used, and is removed')
        onIdle()
      }
    })
  }
}

const illegal = (message: string) => ({ type: 'illegalState', message }) as const

const storedTopics = (chosen: ChosenTopics, names: readonly string[]): StoredTopics => {
  if ('topics' in chosen) return chosen
  return { pattern: chosen.text, allowed: chosen.isLimited ? names : undefined }
}
