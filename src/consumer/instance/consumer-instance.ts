import { type Offset, type TopicPartition, topicPartitionKey } from '../../core/model.js'
import type { RecordBudget } from '../../core/record-budget.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { AS_STORED, type Failure, type OffsetType } from '../../router/messages/operations.js'
import { kafkaFailure, ownFailure } from '../../router/requests/failures.js'
import { askForEach } from '../../router/routing/ask-router.js'
import { withoutMark } from '../group/ack-encoding.js'
import type { Timer } from '../group/group-runtime.js'
import type { HeldBatches } from '../group/held-batches.js'
import type { ChosenTopics } from '../group/topic-patterns.js'
import { InstanceCommits, keyOf, late, TIMEOUT_MS } from './instance-commits.js'
import { InstanceMembership, type JoiningOptions } from './instance-membership.js'
import { InstancePartitions } from './instance-partitions.js'
import { InstanceReads } from './instance-reads.js'
import type { InstanceOffset, InstancePosition, InstanceRead, InstanceReadLimits, InstanceResult } from './instances.js'
import type { StoredInstance } from './stored-instance.js'

/** Answers a request; once. */
export type InstanceReply<Value> = (result: InstanceResult<Value>) => void

export interface ConsumerInstanceOptions extends JoiningOptions {
  /** Calls back in a later tick of the actor. */
  readonly tick: (run: () => void) => void
  readonly batches: HeldBatches
  readonly records: RecordBudget
  /** The client to whose share the records count. `undefined`: it came by a unix socket. */
  readonly client: string | undefined
  /** Asked before a commit that Kafka cannot refuse: whether the instance is still of this process. */
  readonly confirm?: (() => Promise<Failure | undefined>) | undefined
  /** Called when the idle time begins again. */
  readonly onUsed: () => void
  /** Called when it was not used for its idle time. */
  readonly onIdle: () => void
}

const DONE = { type: 'done', value: undefined } as const
const OVERTAKEN = ownFailure('clusterChanged', 'the position was set again before its offset was known', true)

/**
 * One consumer instance: a member of its group when it is subscribed, or a reader of assigned partitions. Its state changes
 * only in ticks of its actor.
 */
export class ConsumerInstance {
  readonly #options: ConsumerInstanceOptions
  readonly #partitions: InstancePartitions
  readonly #reads: InstanceReads
  readonly #commits: InstanceCommits
  readonly #membership: InstanceMembership
  #isAssigned = false
  #isEnded = false
  #idle: Timer | undefined
  #usedAt: number
  #autoCommit: Timer | undefined
  /** Commits and changes of positions, of which its stored state tells nothing. */
  changes = 0
  /**
   * How many changes of positions were asked for, and which of them was carried out last. One to the end is asked for, which Kafka
   * has to tell, then one to offset 7, which is carried out at once; then the answer about the end comes, and is too late.
   */
  #seeks = 0
  #sought = 0

  constructor(options: ConsumerInstanceOptions) {
    const { runtime, settings, consumer } = options
    this.#options = options
    this.#usedAt = runtime.clock()
    this.#partitions = new InstancePartitions({
      ...options,
      onChanged: partition => {
        this.#reads.proceed(partition)
        this.#autoCommitSoon()
      },
      onLogChanged: () => this.#reads.restart()
    })
    this.#reads = new InstanceReads({
      ...options,
      partitions: this.#partitions.now,
      refusal: () => this.#membership.refusal,
      onSettled: () => {
        this.used()
        this.#membership.readsSettled()
        this.#autoCommitSoon()
      }
    })
    this.#commits = new InstanceCommits({
      ...options,
      retryBackoffMs: consumer.retryBackoffMs,
      onStored: (topicPartition, offset) => this.#partitions.committed(topicPartition, offset),
      onFenced: (errorCode, member) => this.#membership.fenced(errorCode, member)
    })
    this.#membership = new InstanceMembership({
      ...options,
      partitions: this.#partitions,
      reads: this.#reads,
      commits: this.#commits,
      onCommit: () => void this.changes++
    })
    this.#watchIdle(settings.idleMs ?? 0)
  }

  /** Why its group cannot be joined; `undefined`: it can, as far as is known. */
  get refusal(): Failure | undefined {
    return this.#membership.refusal
  }

  /** The idle time begins again. */
  used(): void {
    this.#usedAt = this.#options.runtime.clock()
    this.#options.onUsed()
  }

  /** Topics of the subscription, once those that match its pattern are known; none: the instance is not subscribed. */
  subscription(reply: InstanceReply<readonly string[]>): void {
    this.#membership.whenTopicsKnown(names =>
      reply(names ? { type: 'done', value: names } : late('the question for the topics of the pattern'))
    )
  }

  unsubscribe(reply: InstanceReply<void>): void {
    this.#isAssigned = false
    this.#membership.leave(() => reply(DONE))
  }

  get isAssigned(): boolean {
    return this.#isAssigned
  }

  get stored(): Pick<StoredInstance, 'topics' | 'assigned'> {
    return { topics: this.#membership.stored, assigned: this.#isAssigned ? this.assignment : [] }
  }

  subscribe(topics: ChosenTopics): InstanceResult<void> {
    if (this.#isAssigned) return illegal('partitions were assigned to the instance; it cannot subscribe as well')
    this.#membership.subscribe(topics)
    return DONE
  }

  assign(wanted: readonly TopicPartition[]): InstanceResult<void> {
    if (this.#membership.isSubscribed)
      return illegal('the instance is subscribed; partitions cannot be assigned to it as well')
    this.#reads.restart()
    this.#isAssigned = wanted.length > 0
    this.#partitions.keep(wanted)
    this.#partitions.forgetAccepted()
    for (const topicPartition of wanted) this.#partitions.add(topicPartition)
    this.#reads.proceed()
    return DONE
  }

  /** The partitions that it reads now, sorted. */
  get assignment(): readonly TopicPartition[] {
    return this.#partitions.assignment
  }

  seek(positions: readonly InstancePosition[], reply: InstanceReply<void>): void {
    const missing = positions.find(position => !this.#partitions.now.has(keyOf(position)))
    if (missing) {
      reply(illegal(`${keyOf(missing)} is not assigned to the instance`))
      return
    }
    const found: [key: string, offset: Offset][] = []
    const turn = ++this.#seeks
    let failure: Failure | undefined
    askForEach(
      positions,
      (position, answered) =>
        this.#findOffset(position, offset => {
          if (typeof offset === 'number') found.push([keyOf(position), offset])
          else failure = offset
          answered(failure !== undefined)
        }),
      () => {
        if (failure) reply(failure)
        else if (turn < this.#sought) reply(OVERTAKEN)
        else {
          this.#sought = turn
          this.#reads.restart()
          for (const [key, offset] of found) this.#partitions.now.get(key)?.seek(offset)
          reply(DONE)
        }
      }
    )
  }

  #findOffset({ topic, partition, position }: InstancePosition, onFound: (found: Offset | Failure) => void): void {
    if (typeof position === 'number') {
      onFound(position)
      return
    }
    const offsetType: OffsetType = position === 'beginning' ? 'earliest' : position === 'end' ? 'latest' : position
    const request = { topicPartition: { topic, partition }, offsetType, timeoutMs: TIMEOUT_MS }
    this.#options.runtime.ask('fetchOffset', request, result => {
      if (result.type === 'success') onFound(result.offset)
      else if (result.type === 'failed') onFound(result)
      else if (result.type === 'timedOut') onFound(late(`the offset of ${topicPartitionKey(topic, partition)}`))
      else onFound(kafkaFailure(errorCodes.UNKNOWN_TOPIC_OR_PARTITION))
    })
  }

  read(limits: InstanceReadLimits, reply: InstanceReply<InstanceRead>): void {
    const { settings } = this.#options
    const { format } = settings
    if (limits.formats?.includes(format) === false) {
      reply({ type: 'otherFormat', format })
      return
    }
    if (!this.#membership.isSubscribed && !this.#isAssigned) {
      reply(illegal('the instance has neither a subscription nor assigned partitions'))
      return
    }
    this.#membership.readBegins()
    this.#reads.add({
      maxWaitMs: Math.min(limits.timeoutMs ?? settings.maxWaitMs, settings.maxWaitMs),
      maxBytes: Math.min(limits.maxBytes ?? settings.maxBytes, settings.maxBytes),
      gone: limits.gone,
      reply
    })
  }

  commit(offsets: readonly InstanceOffset[] | 'accepted', reply: InstanceReply<void>): void {
    const answer = (failure: Failure | undefined): void => reply(failure ?? DONE)
    if (offsets !== 'accepted') {
      const stored = offsets.map(offset => this.#partitions.withEpoch(offset))
      this.#membership.whenJoined(member => this.#commits.store(stored, member, answer), answer)
    } else if (this.#partitions.uncommitted.length === 0) answer(undefined)
    else this.#membership.whenJoined(() => this.#commitAccepted(answer), answer)
  }

  #commitAccepted(done: (failure: Failure | undefined) => void): void {
    this.changes++
    this.#commits.store(this.#partitions.uncommitted, this.#membership.current, done)
  }

  committed(partitions: readonly TopicPartition[], reply: InstanceReply<readonly InstanceOffset[]>): void {
    const { runtime } = this.#options
    const found = new Map<number, InstanceOffset>()
    let failure: Failure | undefined
    askForEach(
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
    if (autoCommitMs === undefined || this.#autoCommit || this.#isEnded || this.#partitions.uncommitted.length === 0)
      return
    this.#autoCommit = this.#options.runtime.after(autoCommitMs, () => {
      const over = (failure: Failure | undefined): void => {
        if (failure) this.#options.runtime.log.warn({ reason: failure.message }, 'an automatic commit failed')
        this.#autoCommit = undefined
        this.#autoCommitSoon()
      }
      if (this.#membership.isSettled) this.#commitAccepted(over)
      else over(undefined)
    })
  }

  /**
   * Commits as automatic commits do, leaves the group, and ends. Who still waits for an answer gets none from here.
   *
   * @param isKept the instance remains a member of its group, because another process continues it
   */
  end(isKept: boolean, whenEnded: () => void): void {
    this.#isEnded = true
    this.#isAssigned = false
    this.#reads.stop()
    this.#membership.end(isKept, () => {
      this.abandon()
      whenEnded()
    })
  }

  /** Ends without a commit, and without leaving the group. Idempotent. */
  abandon(): void {
    this.#isEnded = true
    this.#reads.stop()
    this.#membership.abandon()
    this.#autoCommit?.cancel()
    this.#idle?.cancel()
    this.#commits.stop()
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
