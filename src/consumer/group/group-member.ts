import type { TopicPartition } from '../../core/model.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { encodeSubscription } from '../../kafka/protocol/consumer-protocol.js'
import type { JoinedMember } from '../../kafka/protocol/groups.js'
import type { Failure, GroupMembership, OffsetType, ResultOf } from '../../router/messages/operations.js'
import { type AssignedMember, GroupLeader } from './group-leader.js'
import type { GroupRuntime, Timer } from './group-runtime.js'
import { Heartbeats } from './heartbeats.js'
import { encodeBegun, type GroupStarts, madeFrom, readAssignment } from './start-messages.js'
import { lookUpTopics } from './topic-look-ups.js'

/** The only assignment strategy that every client knows. */
export const PROTOCOL = 'range'
/** Pause after a refusal that may last, such as a missing permission. */
const REFUSED_PAUSE_MS = 5_000
/** The number of failed attempts to join that are repeated at once. Further attempts follow after a pause. */
const HASTY_JOINS = 3
/**
 * When another client than Castellan assigns more partitions than this, the member reads only those that brokers know,
 * because reading missing partitions costs calls forever.
 */
const MAX_BELIEVED = 100
/** Time limit for LeaveGroup. Without an answer, the coordinator removes the member after the session time-out. */
const LEAVE_TIMEOUT_MS = 5_000

export interface GroupMemberOptions {
  readonly runtime: GroupRuntime
  readonly instanceId: string | null
  /**
   * Distinguishes the connections of several members of one group in this process, because the answer to a join may
   * take long. Default: empty.
   */
  readonly connection?: string | undefined
  readonly sessionTimeoutMs: number
  readonly heartbeatIntervalMs: number
  readonly rebalanceTimeoutMs: number
  readonly retryBackoffMs: number
  /** Where this process begins to read if there is no committed offset, in topics of which `startOf` says nothing. */
  readonly start: 'latest' | 'earliest'
  /** Where this process begins to read a topic if there is no committed offset. Default: at `start`, everywhere. */
  readonly startOf?: ((topic: string) => OffsetType | undefined) | undefined
  /** True when the member has begun to read a topic. The member reports this to the leader. */
  readonly begun: (topic: string) => boolean
  /** True while clients wait for messages of a topic without partitions of this member. */
  readonly isWaiting: () => boolean
  /**
   * Called with each assignment, and with {@link NO_ASSIGNMENT} when the member is no longer in the group. Other members may
   * then read its partitions.
   */
  readonly onAssigned: (assigned: AssignedToMember) => void
  /**
   * Called before the member joins again. The receiver commits the offsets at which other members continue, and then
   * calls `ready`, so that the member joins.
   */
  readonly onRebalance: (cause: 'others' | 'ourselves', ready: () => void) => void
  /** Called when the group cannot be joined at the moment. */
  readonly onRefused: (failure: Failure) => void
  /**
   * Called when another process has joined under the id of this static member, which is then out of the group. Default:
   * the member joins again after a pause.
   */
  readonly onFenced?: (() => void) | undefined
}

/**
 *   out ──▶ joining ──▶ syncing ──▶ stable ──▶ revoking ──▶ joining …
 *
 * `pausing`: after a failure, before the next attempt to join.
 */
type Phase = 'out' | 'joining' | 'syncing' | 'stable' | 'revoking' | 'pausing'

export interface AssignedToMember {
  readonly partitions: readonly TopicPartition[]
  /**
   * True: this generation directly follows the member's last one, so no other member has read its partitions in
   * between.
   */
  readonly followsDirectly: boolean
  /** Topics for which the member has joined. */
  readonly topics: ReadonlySet<string>
  /** `undefined`: a client other than Castellan leads the group. */
  readonly starts: GroupStarts | undefined
}

/** The member has lost its partitions, and has no assignment. */
export const NO_ASSIGNMENT: AssignedToMember = {
  partitions: [],
  followsDirectly: false,
  topics: new Set(),
  starts: undefined
}

/**
 * A member of a consumer group, by Kafka's classic protocol. All members join, and the coordinator makes one of them
 * the leader. The leader assigns the partitions, and each member gets its own by SyncGroup. When a member comes, leaves
 * or changes its topics, all members must join again. They learn this from the answers to their heartbeats.
 */
export class GroupMember {
  readonly #options: GroupMemberOptions
  readonly #leader: GroupLeader
  readonly #heartbeats: Heartbeats
  #pause: Timer | undefined
  #phase: Phase = 'out'
  #memberId = ''
  #isLeader = false
  /**
   * True: a static member has joined without a member id, so its first assignment may be its assignment before a
   * restart.
   */
  #isUnknown = false
  /** How often the member has joined again because an old assignment was made for other topics. */
  #renewals = 0
  /** True: no other member has partitions that this member may get. */
  #isAlone = false
  #generation: GroupMembership | undefined
  /** The generation of the last assignment; `undefined` after the member has lost its partitions. */
  #lastStable: GroupMembership | undefined
  /** The topics that the member reads, sorted. */
  #topics: readonly string[] = []
  #joinedTopics: readonly string[] = []
  /**
   * A part of the name of the member's connection. It increases with each stop, so that a join that still waits on the
   * old connection does not delay the next join.
   */
  #incarnation = 0
  /** Number of attempts in a row without a pause. */
  #hastyJoins = 0
  #stableSince: number | undefined
  #refusal: Failure | undefined
  /** The number of the attempt to join. An answer to an earlier attempt is ignored. */
  #attempt = 0

  constructor(options: GroupMemberOptions) {
    this.#options = options
    this.#leader = new GroupLeader(options.runtime, topic => options.startOf?.(topic) ?? options.start)
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

  /** The member and generation for commits, one object per generation; `undefined` while it is not in the group. */
  get membership(): GroupMembership | undefined {
    return this.#phase === 'stable' || this.#phase === 'revoking' ? this.#generation : undefined
  }

  get isStable(): boolean {
    return this.#phase === 'stable'
  }

  /**
   * Called when clients wait for a topic without partitions of this member. Sends the next heartbeat earlier, so that
   * the member learns sooner that another member has left.
   */
  hurry(): void {
    if (!this.#isAlone) this.#heartbeats.hurry()
  }

  /**
   * The reason why the group cannot be joined; `undefined` while the reason is unknown, or the next attempt is in
   * progress.
   */
  get refusal(): Failure | undefined {
    return this.#refusal
  }

  /** Joins, or joins again, to read these topics, of which there is one at least. */
  subscribe(topics: readonly string[]): void {
    this.#topics = [...topics].sort()
    if (this.#phase === 'out') this.#join()
    else if (this.#phase === 'stable') this.#joinAgainIfChanged()
  }

  /**
   * Called when the coordinator has refused a commit of this member and generation. Refusals of an earlier generation
   * are ignored.
   */
  fenced(errorCode: number, { memberId, generationId }: GroupMembership): void {
    const { membership } = this
    if (membership?.memberId === memberId && membership.generationId === generationId) this.#excluded(errorCode)
  }

  /** Leaves the group, so that other members get the partitions at once. */
  leave(whenLeft: () => void): void {
    const identity = this.#identity()
    this.abandon()
    this.#memberId = ''
    if (identity.memberId === '') whenLeft()
    else this.#options.runtime.ask('leaveGroup', { ...identity, timeoutMs: LEAVE_TIMEOUT_MS }, whenLeft)
  }

  /** Stops without LeaveGroup. A static member that comes back in time keeps its partitions. */
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
    const { runtime, instanceId, connection = '' } = this.#options
    return {
      groupId: runtime.groupId,
      connection: `${connection}${this.#incarnation}`,
      memberId: this.#memberId,
      instanceId
    }
  }

  #joined(result: ResultOf<'joinGroup'>): void {
    switch (result.type) {
      case 'memberIdRequired':
        this.#memberId = result.memberId
        this.#joinSoon()
        break
      case 'success':
        this.#memberId = result.memberId
        this.#generation = {
          memberId: result.memberId,
          generationId: result.generationId,
          instanceId: this.#options.instanceId
        }
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
      const isFenced = failure.errorCode === errorCodes.FENCED_INSTANCE_ID
      if (isFenced) this.#memberId = ''
      this.#lose()
      if (isFenced && this.#options.onFenced) {
        this.abandon()
        this.#options.onFenced()
        return
      }
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

  #sync(assignments: readonly AssignedMember[]): void {
    const { runtime, rebalanceTimeoutMs } = this.#options
    const attempt = this.#attempt
    const request = {
      ...this.#identity(),
      generationId: this.#generation!.generationId,
      rebalanceTimeoutMs,
      assignments,
      timeoutMs: 2 * rebalanceTimeoutMs
    }
    runtime.ask('syncGroup', request, result => {
      if (attempt === this.#attempt) this.#synced(result)
    })
  }

  #synced(result: ResultOf<'syncGroup'>): void {
    if (result.type === 'timedOut') this.#join()
    else if (result.type === 'failed') {
      if (result.errorCode === errorCodes.REBALANCE_IN_PROGRESS) this.#joinSoon()
      else this.#excluded(result.errorCode)
    } else {
      const { log } = this.#options.runtime
      const [partitions, starts] = readAssignment(result.assignment, this.#joinedTopics, log)
      if (this.#isUnknown && !this.#isLeader && !this.#takesUp(result.assignment, partitions)) {
        this.#isUnknown = false
        this.#renewals++
        this.#join()
      } else if (this.#isLeader || partitions.length <= MAX_BELIEVED) this.#stable(partitions, starts)
      else this.#check(partitions, starts)
    }
  }

  /**
   * Decides whether a static member can keep this assignment. After a restart the coordinator gives the member its
   * former generation and assignment, even if the member asks for other topics now. It does not report that the member
   * is the leader.
   */
  #takesUp(assignment: Buffer, partitions: readonly TopicPartition[]): boolean {
    const from = madeFrom(assignment, partitions, this.#joinedTopics)
    if (from?.counts) this.#leader.resume(from.counts, () => this.#revoke('others'))
    return from !== undefined
  }

  #check(partitions: readonly TopicPartition[], starts: GroupStarts | undefined): void {
    const { runtime, retryBackoffMs } = this.#options
    const attempt = this.#attempt
    lookUpTopics(runtime, this.#joinedTopics, topics => {
      if (attempt !== this.#attempt) return
      if (topics === undefined) {
        this.#joinAfter(retryBackoffMs)
        return
      }
      const existing = new Map(this.#joinedTopics.map(topic => [topic, new Set(topics.partitionsOf(topic))]))
      const found = partitions.filter(({ topic, partition }) => existing.get(topic)!.has(partition))
      const unknown = partitions.length - found.length
      if (unknown > 0)
        runtime.log.warn({ partitions: unknown }, 'the leader of the group has assigned partitions that do not exist')
      this.#stable(found, starts)
    })
  }

  #stable(partitions: readonly TopicPartition[], starts: GroupStarts | undefined): void {
    const { onAssigned } = this.#options
    this.#isUnknown = false
    const before = this.#lastStable
    const followsDirectly = before !== undefined && isSameOrNext(this.#generation!.generationId, before.generationId)
    this.#phase = 'stable'
    this.#stableSince = this.#options.runtime.clock()
    this.#lastStable = this.#generation
    this.#heartbeats.start({ ...this.#identity(), generationId: this.#generation!.generationId }, before !== undefined)
    onAssigned({ partitions, followsDirectly, topics: new Set(this.#joinedTopics), starts })
    this.#joinAgainIfChanged()
  }

  #joinAgainIfChanged(): void {
    if (this.#topics.join() !== this.#joinedTopics.join()) this.#revoke('ourselves')
  }

  #revoke(cause: 'others' | 'ourselves'): void {
    if (this.#phase !== 'stable') return
    this.#phase = 'revoking'
    const attempt = this.#attempt
    this.#options.onRebalance(cause, () => {
      if (this.#phase === 'revoking' && attempt === this.#attempt) this.#join()
    })
  }

  /**
   * Called when the coordinator does not know the member or its generation. Other members may then have the partitions.
   */
  #excluded(errorCode: number | undefined): void {
    const { runtime, retryBackoffMs, onFenced } = this.#options
    runtime.log.warn({ errorCode }, 'the group has excluded this member, which joins again')
    runtime.metrics.count('groups', 'exclusions')
    if (errorCode !== errorCodes.ILLEGAL_GENERATION) this.#memberId = ''
    this.#lose()
    if (errorCode === errorCodes.FENCED_INSTANCE_ID && onFenced) {
      this.abandon()
      onFenced()
    } else if (errorCode === errorCodes.FENCED_INSTANCE_ID) this.#joinAfter(REFUSED_PAUSE_MS)
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
    this.#options.onAssigned(NO_ASSIGNMENT)
  }

  /** Joins at once, so that other members need not wait; after several failures, joins after a pause. */
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
  }
}

/**
 * False for a lower generation, which means that the coordinator has lost the group, so that other members may have
 * read meanwhile.
 */
const isSameOrNext = (generation: number, last: number): boolean => generation === last || generation === last + 1
