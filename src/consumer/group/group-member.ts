import { type TopicPartition, topicPartitionKey } from '../../core/model.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { decodeAssignment, encodeSubscription, userDataOfAssignment } from '../../kafka/protocol/consumer-protocol.js'
import type { JoinGroupResult, SyncGroupResult } from '../../router/messages/membership.js'
import type { Failure, GroupMembership } from '../../router/messages/operations.js'
import { type Assignment, GroupLeader, type JoinedMember } from './group-leader.js'
import type { GroupRuntime, Timer } from './group-runtime.js'
import { Heartbeats } from './heartbeats.js'
import { lookUpPartitions } from './partition-counts.js'
import { checksumOf, decodeAssignedFrom, decodeStarts, encodeBegun, type GroupStarts } from './start-messages.js'

/** The only way of assigning that every client knows. */
const PROTOCOL = 'range'
/** Refused for a reason that a further attempt does not change soon, such as missing permission. */
const REFUSED_PAUSE_MS = 5_000
/** Attempts to join that follow the failure of one before at once; further ones follow after a pause. */
const HASTY_JOINS = 3
/** Most partitions that are read on the word of another leader alone; those that do not exist are asked for again and again. */
const MAX_BELIEVED = 100
/** The coordinator forgets the member by itself if this is not answered. */
const LEAVE_TIMEOUT_MS = 5_000

export interface GroupMemberOptions {
  readonly runtime: GroupRuntime
  readonly instanceId: string | null
  readonly sessionTimeoutMs: number
  readonly heartbeatIntervalMs: number
  readonly rebalanceTimeoutMs: number
  readonly retryBackoffMs: number
  /** Where this process begins without a committed offset. */
  readonly start: 'latest' | 'earliest'
  /** Whether the member has begun to read a topic, which it tells the leader. */
  readonly begun: (topic: string) => boolean
  /** Whether clients wait for messages of a topic of which the member has no partitions. */
  readonly isWaiting: () => boolean
  readonly onAssigned: (assigned: AssignedToMember) => void
  /** The member is not in the group any more, and others may read its partitions. */
  readonly onLost: () => void
  /** The member is about to join again: to be called back once it has committed what others will go on from. */
  readonly onRebalance: (cause: 'others' | 'ourselves', ready: () => void) => void
  /** The group cannot be joined, for the time being. */
  readonly onRefused: (failure: Failure) => void
}

/**
 *   out ──▶ joining ──▶ syncing ──▶ stable ──▶ handingOver ──▶ joining …
 *
 * `pausing`: after a failure, before the next attempt to join.
 */
type Phase = 'out' | 'joining' | 'syncing' | 'stable' | 'handingOver' | 'pausing'

/** What a member is told in a new generation. */
export interface AssignedToMember {
  readonly partitions: readonly TopicPartition[]
  /** It follows the last generation of the member immediately: no other member has read in between what the member keeps. */
  readonly isNext: boolean
  /** Topics for which the member has joined. */
  readonly topics: ReadonlySet<string>
  /** `undefined`: the leader is of another client. */
  readonly starts: GroupStarts | undefined
}

interface Generation {
  readonly id: number
  readonly memberId: string
}

/**
 * A member of a consumer group, by Kafka's classic protocol. All members join; the coordinator makes one of them the leader,
 * which assigns the partitions; each syncs to get its own. Whenever a member comes, goes or changes its topics, all join
 * again, which they learn from their heartbeats.
 */
export class GroupMember {
  readonly #options: GroupMemberOptions
  readonly #leader: GroupLeader
  readonly #heartbeats: Heartbeats
  /** Until it joins again. */
  #pause: Timer | undefined
  #phase: Phase = 'out'
  #memberId = ''
  #isLeader = false
  /** A static member has joined without an id: until it is assigned something, that may be the assignment of its former life. */
  #isUnknown = false
  /** How often it has joined again because that one was of other topics. */
  #renewals = 0
  /** No other member has partitions that this one may get. */
  #isAlone = false
  /** While partitions are left out that another leader has assigned. */
  #unknownWatch: Timer | undefined
  #generation: Generation | undefined
  /** The last generation in which it was told its partitions, while it has not lost them. */
  #lastStable: Generation | undefined
  /** Sorted. */
  #topics: readonly string[] = []
  #joinedTopics: readonly string[] = []
  /** Names the connection, so that a join of a former life that still waits does not hold up the next one. */
  #incarnation = 0
  /** Attempts in a row that were made without a pause. */
  #hastyJoins = 0
  #stableSince: number | undefined
  #refusal: Failure | undefined
  /** Numbers the attempts to join: an answer to an earlier one is ignored. */
  #attempt = 0

  constructor(options: GroupMemberOptions) {
    this.#options = options
    this.#leader = new GroupLeader(options.runtime, options.start)
    this.#heartbeats = new Heartbeats({
      ...options,
      isWaiting: () => !this.#isAlone && options.isWaiting(),
      onRebalance: () => this.#revoke('others'),
      onExcluded: errorCode => this.#excluded(errorCode),
      onSilence: () => {
        this.#lose()
        this.#join()
      }
    })
  }

  /** In whose name offsets are committed; `undefined` while it is not in the group. */
  get membership(): GroupMembership | undefined {
    const { instanceId } = this.#options
    const inGroup = this.#phase === 'stable' || this.#phase === 'handingOver'
    if (!inGroup || !this.#generation) return undefined
    return { memberId: this.#generation.memberId, generationId: this.#generation.id, instanceId }
  }

  get isStable(): boolean {
    return this.#phase === 'stable'
  }

  /** Clients wait for messages of a topic of which the member has no partitions: it looks sooner whether another has left. */
  hurry(): void {
    if (!this.#isAlone) this.#heartbeats.hurry()
  }

  /** Why the group cannot be joined; `undefined` while that is not known, and while the next attempt is under way. */
  get refusal(): Failure | undefined {
    return this.#refusal
  }

  /** Reads these topics from now on; joins, or joins again, for that. No topics: {@link leave} follows. */
  subscribe(topics: readonly string[]): void {
    this.#topics = [...topics].sort()
    if (this.#phase === 'out') this.#join()
    else if (this.#phase === 'stable') this.#joinAgainIfChanged()
  }

  /**
   * The coordinator has refused a commit in the name of the member. The commit may be of a generation before: that one is
   * over, which the member knows.
   */
  fenced(errorCode: number, { memberId, generationId }: GroupMembership): void {
    const { membership } = this
    if (membership?.memberId === memberId && membership.generationId === generationId) this.#excluded(errorCode)
  }

  /** Leaves the group, so that its partitions go to others at once. */
  leave(whenLeft: () => void): void {
    const identity = this.#identity()
    this.abandon()
    if (identity.memberId === '') {
      whenLeft()
      return
    }
    this.#memberId = ''
    this.#options.runtime.ask('leaveGroup', { ...identity, timeoutMs: LEAVE_TIMEOUT_MS }, whenLeft)
  }

  /** Stops without a word. A static member that comes back in time keeps its partitions. */
  abandon(): void {
    this.#attempt++
    this.#incarnation++
    this.#phase = 'out'
    this.#refusal = undefined
    this.#generation = this.#lastStable = undefined
    this.#stopTimers()
  }

  #join(): void {
    const { runtime, instanceId, sessionTimeoutMs, rebalanceTimeoutMs } = this.#options
    this.#phase = 'joining'
    this.#refusal = undefined
    this.#stopTimers()
    this.#joinedTopics = this.#topics
    if (this.#memberId === '') this.#isUnknown = instanceId !== null
    const attempt = ++this.#attempt
    const request = {
      ...this.#identity(),
      instanceId,
      sessionTimeoutMs,
      rebalanceTimeoutMs,
      protocols: [{ name: PROTOCOL, metadata: this.#subscription() }],
      timeoutMs: 2 * rebalanceTimeoutMs
    }
    runtime.ask('joinGroup', request, result => {
      if (attempt === this.#attempt) this.#joined(result)
    })
  }

  #subscription(): Buffer {
    const topics = this.#joinedTopics
    return encodeSubscription(topics, encodeBegun(topics, this.#options.begun, this.#renewals))
  }

  #identity() {
    const { runtime, instanceId } = this.#options
    return { groupId: runtime.groupId, connection: String(this.#incarnation), memberId: this.#memberId, instanceId }
  }

  #joined(result: JoinGroupResult): void {
    switch (result.type) {
      case 'memberIdRequired':
        this.#memberId = result.memberId
        this.#joinSoon()
        break
      case 'success':
        this.#memberId = result.memberId
        this.#generation = { id: result.generationId, memberId: result.memberId }
        this.#phase = 'syncing'
        this.#isLeader = result.leaderId === result.memberId
        this.#isAlone = this.#isLeader && result.members.length === 1
        if (this.#isLeader) this.#assign(result.members)
        else this.#sync([])
        break
      case 'timedOut':
        this.#joinAfter(this.#options.retryBackoffMs)
        break
      case 'failed':
        this.#joinFailed(result)
    }
  }

  #joinFailed(failure: Failure): void {
    const { retryBackoffMs, onRefused } = this.#options
    if (failure.errorCode === errorCodes.UNKNOWN_MEMBER_ID) {
      this.#memberId = ''
      this.#lose()
      this.#joinSoon()
    } else if (failure.retriable || failure.errorCode === errorCodes.REBALANCE_IN_PROGRESS)
      this.#joinAfter(retryBackoffMs)
    else {
      if (failure.errorCode === errorCodes.FENCED_INSTANCE_ID) this.#memberId = ''
      this.#lose()
      this.#refusal = failure
      onRefused(failure)
      this.#joinAfter(REFUSED_PAUSE_MS)
    }
  }

  #assign(members: readonly JoinedMember[]): void {
    const attempt = this.#attempt
    this.#leader.assign(members, this.#memberId, this.#options.begun, assignments => {
      if (attempt !== this.#attempt) return
      if (!assignments) this.#joinAfter(this.#options.retryBackoffMs)
      else {
        this.#sync(assignments)
        this.#leader.watch(() => this.#revoke('others'))
      }
    })
  }

  #sync(assignments: readonly Assignment[]): void {
    const { runtime, rebalanceTimeoutMs } = this.#options
    const attempt = this.#attempt
    const request = {
      ...this.#identity(),
      generationId: this.#generation!.id,
      rebalanceTimeoutMs,
      assignments,
      timeoutMs: 2 * rebalanceTimeoutMs
    }
    runtime.ask('syncGroup', request, result => {
      if (attempt === this.#attempt) this.#synced(result)
    })
  }

  #synced(result: SyncGroupResult): void {
    if (result.type === 'timedOut') this.#join()
    else if (result.type === 'failed') {
      if (result.errorCode === errorCodes.REBALANCE_IN_PROGRESS) this.#joinSoon()
      else this.#excluded(result.errorCode)
    } else {
      const [partitions, starts] = this.#assignmentOf(result.assignment)
      if (this.#isUnknown && !this.#isLeader && !this.#takesUp(result.assignment, partitions)) {
        this.#isUnknown = false
        this.#renewals++
        this.#join()
      } else if (this.#isLeader || partitions.length <= MAX_BELIEVED) this.#stable(partitions, starts)
      else this.#check(partitions, starts)
    }
  }

  /** The leader may be another client, with a mistake in it. Topics that the member did not join for do not count. */
  #assignmentOf(assignment: Buffer): [readonly TopicPartition[], GroupStarts | undefined] {
    try {
      return [possible(decodeAssignment(assignment), new Set(this.#joinedTopics)), readable(assignment, decodeStarts)]
    } catch (error) {
      this.#options.runtime.log.error({ err: error }, 'the assignment of the leader cannot be read')
      return [[], undefined]
    }
  }

  /**
   * Whether a static member can go on with this assignment. The coordinator lets one that has restarted into the generation
   * that it was in, with its former assignment, also when it asks for other topics now, and does not tell it that it leads.
   */
  #takesUp(assignment: Buffer, partitions: readonly TopicPartition[]): boolean {
    const topics = this.#joinedTopics
    const from = readable(assignment, decodeAssignedFrom)
    const assigned = new Set(partitions.map(({ topic }) => topic))
    // Another client does not say which topics the assignment was made from.
    const isOfThese = from ? from.topics === checksumOf(topics) : topics.every(topic => assigned.has(topic))
    if (isOfThese && from?.counts) this.#leader.resume(from.counts, () => this.#revoke('others'))
    return isOfThese
  }

  /** Partitions that do not exist cost as much as others, and another leader may assign any number of them. */
  #check(partitions: readonly TopicPartition[], starts: GroupStarts | undefined): void {
    const { runtime, retryBackoffMs } = this.#options
    const attempt = this.#attempt
    const topics = [...new Set(partitions.map(({ topic }) => topic))]
    lookUpPartitions(
      (...question) => runtime.ask('fetchTopicMetadata', ...question),
      topics,
      partitionsOf => {
        if (attempt !== this.#attempt) return
        if (partitionsOf === undefined) this.#joinAfter(retryBackoffMs)
        else
          this.#stableWithout(partitions, starts, new Map(topics.map(topic => [topic, new Set(partitionsOf(topic))])))
      }
    )
  }

  /** Joins again when there are more partitions: what is left out now may be among them. */
  #stableWithout(
    partitions: readonly TopicPartition[],
    starts: GroupStarts | undefined,
    existing: ReadonlyMap<string, ReadonlySet<number>>
  ): void {
    const { runtime } = this.#options
    const found = partitions.filter(({ topic, partition }) => existing.get(topic)!.has(partition))
    const unknown = partitions.length - found.length
    if (unknown > 0) {
      runtime.log.warn({ partitions: unknown }, 'the leader of the group has assigned partitions that do not exist')
      const counts = new Map(Array.from(existing, ([topic, ofTopic]) => [topic, ofTopic.size]))
      this.#unknownWatch = runtime.watchTopics(counts, () => this.#revoke('others'))
    }
    this.#stable(found, starts)
  }

  #stable(partitions: readonly TopicPartition[], starts: GroupStarts | undefined): void {
    const { onAssigned } = this.#options
    this.#isUnknown = false
    const isNext = this.#lastStable !== undefined && isSameOrNext(this.#generation!.id, this.#lastStable.id)
    this.#phase = 'stable'
    this.#stableSince = this.#options.runtime.clock()
    this.#lastStable = this.#generation
    this.#heartbeats.start({ ...this.#identity(), generationId: this.#generation!.id })
    onAssigned({ partitions, isNext, topics: new Set(this.#joinedTopics), starts })
    this.#joinAgainIfChanged()
  }

  #joinAgainIfChanged(): void {
    if (this.#topics.length === 0 || this.#topics.join() === this.#joinedTopics.join()) return
    this.#revoke('ourselves')
  }

  #revoke(cause: 'others' | 'ourselves'): void {
    if (this.#phase !== 'stable') return
    this.#phase = 'handingOver'
    const attempt = this.#attempt
    this.#options.onRebalance(cause, () => {
      if (this.#phase === 'handingOver' && attempt === this.#attempt) this.#join()
    })
  }

  /** The coordinator does not know the member, or its generation: others may have its partitions. */
  #excluded(errorCode: number | undefined): void {
    const { runtime, retryBackoffMs } = this.#options
    runtime.log.warn({ errorCode }, 'the group went on without this member, which joins again')
    runtime.metrics.count('groups', 'exclusions')
    if (errorCode !== errorCodes.ILLEGAL_GENERATION) this.#memberId = ''
    this.#lose()
    if (errorCode === errorCodes.FENCED_INSTANCE_ID) this.#joinAfter(REFUSED_PAUSE_MS)
    else if (errorCode === errorCodes.ILLEGAL_GENERATION || errorCode === errorCodes.UNKNOWN_MEMBER_ID) this.#joinSoon()
    else this.#joinAfter(retryBackoffMs)
  }

  #lose(): void {
    this.#stopTimers()
    this.#phase = 'pausing'
    this.#attempt++
    this.#generation = undefined
    if (this.#lastStable === undefined) return
    this.#lastStable = undefined
    this.#options.onLost()
  }

  /** At once, so that others need not wait; where that has failed several times, after a pause. */
  #joinSoon(): void {
    const { runtime, retryBackoffMs } = this.#options
    const wasStable = this.#stableSince !== undefined && runtime.clock() - this.#stableSince >= retryBackoffMs
    this.#stableSince = undefined
    if (wasStable) this.#hastyJoins = 0
    if (this.#hastyJoins >= HASTY_JOINS) this.#joinAfter(retryBackoffMs)
    else {
      this.#hastyJoins++
      this.#join()
    }
  }

  #joinAfter(delayMs: number): void {
    this.#phase = 'pausing'
    const attempt = ++this.#attempt
    this.#stopTimers()
    this.#pause = this.#options.runtime.after(delayMs, () => {
      if (attempt === this.#attempt) this.#join()
    })
  }

  #stopTimers(): void {
    this.#pause?.cancel()
    this.#pause = undefined
    this.#heartbeats.stop()
    this.#leader.stop()
    this.#unknownWatch?.cancel()
    this.#unknownWatch = undefined
  }
}

/** User data of other clients need not be readable. */
function readable<Told>(assignment: Buffer, decode: (userData: Buffer) => Told | undefined): Told | undefined {
  try {
    return decode(userDataOfAssignment(assignment))
  } catch {
    return undefined
  }
}

/** One that is lower is of a coordinator that has lost the group, which others may have read meanwhile. */
const isSameOrNext = (generation: number, last: number): boolean => generation === last || generation === last + 1

/** Those of the topics whose numbers a partition can have, each once. */
const possible = (partitions: readonly TopicPartition[], topics: ReadonlySet<string>): readonly TopicPartition[] => [
  ...new Map(
    partitions
      .filter(({ topic, partition }) => partition >= 0 && topics.has(topic))
      .map(one => [topicPartitionKey(one.topic, one.partition), one] as const)
  ).values()
]
