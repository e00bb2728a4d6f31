import { errorCodes } from '../../kafka/error-codes.js'
import type { Failure, GroupMembership } from '../../router/messages/operations.js'
import { kafkaFailure, ownFailure } from '../../router/requests/failures.js'
import { type AssignedToMember, GroupMember, NO_ASSIGNMENT } from '../group/group-member.js'
import type { GroupRuntime, Timer } from '../group/group-runtime.js'
import { Revocations } from '../group/revocations.js'
import type { ConsumerSettings } from '../group/settings.js'
import { type ChosenTopics, ChosenTopicsWatch, type PatternFinder } from '../group/topic-patterns.js'
import { FirstRead } from './first-read.js'
import { type InstanceCommits, late, TIMEOUT_MS } from './instance-commits.js'
import type { InstancePartitions } from './instance-partitions.js'
import type { InstanceReads } from './instance-reads.js'
import type { InstanceName, InstanceSettings } from './instances.js'
import type { StoredTopics } from './stored-instance.js'

/** Time limit for the commit before the instance leaves its group. */
const LAST_COMMIT_MS = 5_000
/** Limit of commits that wait until the instance has joined its group. */
const MAX_WAITING_COMMITS = 64
/** Kafka's answer to a commit under a membership that has ended. */
const NOT_A_MEMBER = kafkaFailure(
  errorCodes.UNKNOWN_MEMBER_ID,
  'the instance leaves its group, and had not joined it yet; nothing was committed'
)

/** How an instance takes part in its group. */
export interface JoiningOptions {
  readonly runtime: GroupRuntime
  readonly instance: InstanceName
  readonly settings: InstanceSettings
  readonly consumer: ConsumerSettings
  readonly patterns: PatternFinder
  /** The id as a static member of the group; `null`: a restart makes it another member. */
  readonly staticId?: string | null | undefined
  /** Called when another process has joined the group in place of this instance. */
  readonly onFenced?: (() => void) | undefined
}

interface InstanceMembershipOptions extends JoiningOptions {
  readonly partitions: InstancePartitions
  readonly reads: InstanceReads
  readonly commits: InstanceCommits
  /** Called before a commit that the group asks for. */
  readonly onCommit: () => void
}

interface WaitingCommit {
  readonly run: (member: GroupMembership | undefined) => void
  readonly refuse: (failure: Failure) => void
  readonly limit: Timer
}

/**
 * The subscription of one instance: its topics, and its membership in the group, which says what partitions it reads. An instance
 * with assigned partitions has neither, and leaves them here as a member leaves its group.
 */
export class InstanceMembership {
  readonly #options: InstanceMembershipOptions
  readonly #revocations: Revocations
  #topics: ChosenTopicsWatch | undefined
  #chosen: ChosenTopics | undefined
  #firstRead: FirstRead | undefined
  #member: GroupMember | undefined
  /** Number of memberships, part of the name of a connection. */
  #memberships = 0
  #refusal: Failure | undefined
  #waitingCommits: WaitingCommit[] = []
  /** Called when the instance has left its group; `undefined`: it is not leaving. */
  #whenLeft: (() => void)[] | undefined
  /** True: the instance remains a member of its group, and another process continues it. */
  #isKept = false

  constructor(options: InstanceMembershipOptions) {
    this.#options = options
    this.#revocations = new Revocations(options.runtime, LAST_COMMIT_MS, done => this.#commitBeforeLoss(done))
  }

  get isSubscribed(): boolean {
    return this.#topics !== undefined
  }

  /** The part of the subscription that is stored. */
  get stored(): StoredTopics | undefined {
    if (!this.#topics || !this.#chosen) return undefined
    if ('topics' in this.#chosen) return this.#chosen
    return { pattern: this.#chosen.text, allowed: this.#chosen.isLimited ? this.#topics.names : undefined }
  }

  /** Why the group cannot be joined; `undefined`: it is joined, or this is not known. */
  get refusal(): Failure | undefined {
    return this.#refusal
  }

  /** `undefined`: the instance is not in its group now. */
  get current(): GroupMembership | undefined {
    return this.#member?.membership
  }

  /** Whether commits need not wait: the instance is in its group, or has none. */
  get isSettled(): boolean {
    return !this.#member || this.#member.membership !== undefined
  }

  /** Calls back once the topics of a pattern are known. `undefined`: Kafka has not told them. */
  whenTopicsKnown(run: (names: readonly string[] | undefined) => void): void {
    if (this.#topics) this.#topics.whenKnown(run)
    else run([])
  }

  subscribe(topics: ChosenTopics): void {
    const { runtime, consumer, patterns, settings, partitions } = this.#options
    this.#topics?.stop()
    this.#chosen = topics
    this.#firstRead = settings.start === 'latest' ? new FirstRead(runtime, topic => partitions.began(topic)) : undefined
    this.#topics = new ChosenTopicsWatch({
      runtime,
      topics,
      patterns,
      checkMs: consumer.partitionCheckMs,
      missingCheckMs: consumer.missingTopicCheckMs,
      maxTopics: consumer.maxTopicsPerGroup,
      onChosen: names => this.#join(names)
    })
  }

  readBegins(): void {
    this.#firstRead?.begins()
  }

  /** Joins the group to read these topics; without topics it leaves the group. */
  #join(names: readonly string[]): void {
    this.#firstRead?.chosen(names)
    if (this.#whenLeft) return
    if (names.length > 0) {
      this.#member ??= this.#newMember()
      this.#member.subscribe(names)
    } else if (this.#member) this.#endMembership(() => undefined)
  }

  #newMember(): GroupMember {
    const { runtime, consumer, instance, settings, partitions, reads } = this.#options
    return new GroupMember({
      ...consumer,
      runtime,
      instanceId: this.#options.staticId ?? null,
      onFenced: this.#options.onFenced,
      connection: `${instance.name} ${++this.#memberships} `,
      start: settings.start === 'earliest' ? 'earliest' : 'latest',
      begun: topic => partitions.hasBegun(topic),
      isWaiting: () => reads.isBusy && partitions.now.size === 0,
      onAssigned: assigned => this.#assigned(assigned),
      onRebalance: (_, ready) => this.#revoke(ready),
      onRefused: failure => this.#refused(failure)
    })
  }

  #assigned(assigned: AssignedToMember): void {
    if (this.#whenLeft) return
    this.#refusal = undefined
    const { partitions, reads } = this.#options
    const { followsDirectly, starts } = assigned
    reads.restart()
    partitions.keep(followsDirectly ? assigned.partitions : [])
    for (const topicPartition of assigned.partitions) partitions.add(topicPartition, starts)
    reads.resume()
    const member = this.current
    if (assigned === NO_ASSIGNMENT || !member) return
    for (const { run } of this.#takeWaitingCommits()) run(member)
  }

  /** Commits that waited for the group. Their time limits are over with that. */
  #takeWaitingCommits(): readonly WaitingCommit[] {
    const waiting = this.#waitingCommits.splice(0)
    for (const { limit } of waiting) limit.cancel()
    return waiting
  }

  #refused(failure: Failure): void {
    this.#refusal = failure
    this.#options.reads.proceed()
    for (const { refuse } of this.#takeWaitingCommits()) refuse(failure)
  }

  /** Stops taking records, waits for the answer that is being written, and commits. */
  #revoke(ready: () => void): void {
    const { reads, consumer } = this.#options
    reads.pause()
    this.#revocations.begin({ graceMs: consumer.revocationMs, isSettled: () => !reads.isUnsettled, ready })
  }

  #commitBeforeLoss(done: () => void): void {
    const { commits, partitions, onCommit } = this.#options
    onCommit()
    commits.store(partitions.lastOffsets, this.current, done)
  }

  /** Called when an answer was written: other members may wait for that. */
  readsSettled(): void {
    this.#revocations.check()
  }

  /** The coordinator excludes the member that has committed. */
  fenced(errorCode: number, member: GroupMembership): void {
    this.#member?.fenced(errorCode, member)
  }

  /** Waits until the instance is in its group, if it is subscribed. */
  whenJoined(run: WaitingCommit['run'], refuse: WaitingCommit['refuse']): void {
    if (this.isSettled) run(this.current)
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

  /** Ends the subscription, or gives up the assigned partitions. */
  leave(whenLeft: () => void): void {
    const topics = this.#topics
    this.#topics = undefined
    topics?.stop()
    this.#endMembership(whenLeft)
  }

  /** Like {@link leave}, for good. `isKept`: the instance remains a member of its group. */
  end(isKept: boolean, whenLeft: () => void): void {
    this.#isKept = isKept
    this.leave(whenLeft)
  }

  #endMembership(whenLeft: () => void): void {
    for (const { refuse } of this.#takeWaitingCommits()) refuse(NOT_A_MEMBER)
    if (this.#whenLeft) {
      this.#whenLeft.push(whenLeft)
      return
    }
    this.#whenLeft = [whenLeft]
    const { runtime, settings, partitions, reads, commits } = this.#options
    const isWanted = this.#isKept || settings.autoCommitMs !== undefined
    const offsets = isWanted && this.isSettled ? partitions.lastOffsets : []
    reads.pause()
    this.#dropPartitions()
    let isOver = false
    const leave = (): void => {
      if (isOver) return
      isOver = true
      limit.cancel()
      this.#left()
    }
    const limit = runtime.after(LAST_COMMIT_MS, leave)
    // Commits that were asked for before come no later than those of the process that goes on.
    commits.store(offsets, this.current, () => commits.whenIdle(leave))
  }

  #left(): void {
    const member = this.#member
    const callbacks = this.#whenLeft ?? []
    this.#whenLeft = undefined
    this.#member = undefined
    this.#refusal = undefined
    this.#options.reads.resume()
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
    if (this.isSettled) for (const { run } of this.#takeWaitingCommits()) run(undefined)
  }

  #dropPartitions(): void {
    this.#options.partitions.keep([])
    this.#options.partitions.forgetAccepted()
  }

  /** Ends without a commit, and without leaving the group. Idempotent. */
  abandon(): void {
    this.#member?.abandon()
    this.#topics?.stop()
    this.#revocations.cancel()
    this.#dropPartitions()
    this.#takeWaitingCommits()
  }
}
