import { addCount } from '../../core/counts.js'
import { getOrAdd } from '../../core/maps.js'
import { type TopicPartition, topicPartitionKey } from '../../core/model.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { CommitConsumerOffsetResult, GroupMembership } from '../../router/messages/operations.js'
import { kafkaFailure } from '../../router/requests/failures.js'
import { partitionNow } from '../partition/partition-now.js'
import type { GroupRuntime, Timer } from './group-runtime.js'
import type { TrackedPosition } from './offset-tracker.js'
import { isForbidden, RefusalLog } from './refusals.js'

export interface OffsetCommitterOptions {
  readonly runtime: GroupRuntime
  readonly commitIntervalMs: number
  readonly retryBackoffMs: number
  /** Returns the member that commits; `undefined`: it is not in the group at the moment. */
  readonly membership: () => GroupMembership | undefined
  /** Called when the coordinator no longer knows this member or its generation. */
  readonly onFenced: (errorCode: number, member: GroupMembership) => void
}

/**
 * Holds back the commits of a partition, so that nothing is committed between the position of a transaction and its end: of
 * two commits Kafka keeps the one that stands later in its log.
 */
export interface CommitLock {
  /** True when it is this lock's turn and all commits of the partition are answered. */
  readonly isHeld: boolean
  /** Commits go on, or the next lock has its turn. A second call does nothing. */
  release(): void
}

export interface PositionSource {
  readonly position: TrackedPosition
  /** For brokers that refuse the metadata of {@link position}. Absent: the position without metadata. */
  readonly shortPosition?: TrackedPosition
  /** The id of the topic to which the position belongs; absent: unknown. */
  readonly topicId?: string | undefined
  /** Called when Kafka has accepted or refused a commit of the partition. */
  readonly answered?: () => void
}

/**
 * Time limit of a commit, long enough for a coordinator to move. After it, a new attempt commits the newest position.
 */
const COMMIT_TIMEOUT_MS = 10_000

/** A partition, and the commits of its positions. */
interface Partition {
  readonly key: string
  readonly topicPartition: TopicPartition
  /** The newest position that waits for a commit. `undefined`: none waits. */
  waiting: PositionSource | undefined
  /** When it is committed. {@link WITH_NEXT}: with the next commit of the group. */
  dueAt: number
  /** True: the commit will probably be accepted soon, so a flush waits for it. */
  isHopeful: boolean
  /** How often in a row the coordinator has answered that it does not know the partition, and since when. */
  denials: number
  deniedSince: number
  /** The length of metadata that was too large for brokers. The offset is then committed with as little as may be. */
  tooLong: number
  /** True: the last commit got no answer, so it may come late. The next one is answered after it. */
  isUnsure: boolean
  /** The source that was submitted last. `undefined`: none was. */
  latest: PositionSource | undefined
  /** When the position of then is committed again, because a commit of this member got no answer. `undefined`: all got one. */
  again: { readonly at: number; readonly member: GroupMembership } | undefined
  /** Locks of the partition in the order of their turns. */
  readonly locks: (CommitLock & { isHeld: boolean; readonly onHeld: () => void })[]
}

const mayCommit = ({ locks, isUnsure }: Partition): boolean => locks.length === 0 || isUnsure

/**
 * A commit without an answer may arrive later and set the group back, because the protocol gives a coordinator no way to
 * recognise it. So long after it, the position of then is committed once more.
 */
const AGAIN_AFTER_MS = 60_000

const WITH_NEXT = Number.NEGATIVE_INFINITY
const AT_ONCE = { dueAt: WITH_NEXT, isHopeful: true }

/**
 * A coordinator whose metadata lags catches up within this time. Until then, a denied commit will probably be accepted
 * soon.
 */
const HOPE_MS = 2_000

/** Pause after a refused commit. It may be accepted later, after a change of permissions or settings. */
const REFUSED_PAUSE_MS = 5_000

const NOT_COMMITTED = 'an offset could not be committed'
const POSITION_IS_VOID =
  'an offset is not committed: the topic was created anew, and the offset belongs to its former log'
const NO_SUCH_PARTITION = kafkaFailure(errorCodes.UNKNOWN_TOPIC_OR_PARTITION)

/** Error codes with which a coordinator excludes a member. */
export const fencingCodes: ReadonlySet<number | undefined> = new Set([
  errorCodes.ILLEGAL_GENERATION,
  errorCodes.UNKNOWN_MEMBER_ID,
  errorCodes.FENCED_INSTANCE_ID
])

/** Error codes for metadata that is larger than the broker or the topic of committed offsets allows. */
const tooLargeCodes: ReadonlySet<number> = new Set([
  errorCodes.OFFSET_METADATA_TOO_LARGE,
  errorCodes.INVALID_COMMIT_OFFSET_SIZE
])

/**
 * Commits the newest positions of all partitions of a group together. The first commit after a pause is sent at once,
 * and each further commit `commitIntervalMs` after the previous one. So the last acknowledgement before a quiet time is
 * also committed. A failed commit is repeated until it succeeds, the partition is dropped, or the topic is created
 * again, because the position then belongs to a deleted log. One topic must not delay the others, so a flush does not
 * wait for commits that were refused, whose topic is gone, or that the coordinator has denied for two seconds.
 *
 * A coordinator whose metadata lags answers `UNKNOWN_TOPIC_OR_PARTITION` for a partition that exists. So other brokers
 * are asked for the topic before the commit is repeated.
 */
export class OffsetCommitter {
  readonly #options: OffsetCommitterOptions
  readonly #partitions = new Map<string, Partition>()
  /** Number of unanswered commits, including those of partitions that were dropped meanwhile. */
  #inFlight = 0
  /** The same, by partition. A partition may come back in the same generation while the Router repeats its former commit. */
  readonly #inFlightOf = new Map<string, number>()
  readonly #refusals: RefusalLog
  /** When the next commit of the group may be sent. */
  #nextAt = Number.NEGATIVE_INFINITY
  #timer: Timer | undefined
  #timerAt = Number.POSITIVE_INFINITY
  #whenIdle: (() => void)[] = []

  constructor(options: OffsetCommitterOptions) {
    this.#options = options
    this.#refusals = new RefusalLog(options.runtime.log)
  }

  /** True when no commit is open, except those that will not be accepted soon, and no partition is locked. */
  get isIdle(): boolean {
    const isOpen = ({ waiting, isHopeful, locks }: Partition) => (waiting && isHopeful) || locks.length > 0
    return this.#inFlight === 0 && ![...this.#partitions.values()].some(isOpen)
  }

  submit(topicPartition: TopicPartition, source: PositionSource): void {
    const partition = this.#partition(topicPartition)
    // A commit for a partition that the coordinator does not know keeps its pause.
    const keepsPause = partition.waiting !== undefined && partition.denials > 0
    partition.waiting = source
    partition.latest = source
    if (keepsPause) return
    Object.assign(partition, AT_ONCE)
    if (mayCommit(partition)) this.#wakeAt(this.#nextAt)
  }

  /** @param onHeld called when the lock is held, maybe at once; the lock is not held at the end of a dropped partition */
  lock(topicPartition: TopicPartition, onHeld: () => void): CommitLock {
    const partition = this.#partition(topicPartition)
    const lock = { isHeld: false, onHeld, release: () => this.#unlock(partition, lock) }
    partition.locks.push(lock)
    this.#giveTurn(partition)
    return lock
  }

  /** Length of the metadata that brokers have refused; infinite: they have refused none. */
  refusedLengthOf(topicPartition: TopicPartition): number {
    return this.#partition(topicPartition).tooLong
  }

  noteRefusedLength(topicPartition: TopicPartition, length: number): void {
    this.#partition(topicPartition).tooLong = length
  }

  /** Drops the commits of a partition that another member has now. */
  drop({ topic, partition }: TopicPartition): void {
    const key = topicPartitionKey(topic, partition)
    this.#partitions.delete(key)
    this.#forgetRefusal(key, topic)
    this.#tellIfIdle()
  }

  /** Continues to commit, because the member is in the group again. */
  resume(): void {
    this.#schedule()
  }

  /** Commits without a pause, and calls back when all positions are committed or dropped. */
  flush(whenIdle: () => void): void {
    this.#nextAt = Number.NEGATIVE_INFINITY
    this.#whenIdle.push(whenIdle)
    for (const partition of this.#partitions.values()) Object.assign(partition, AT_ONCE)
    this.#schedule()
    this.#tellIfIdle()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#partitions.clear()
    this.#whenIdle = []
  }

  #partition(topicPartition: TopicPartition): Partition {
    const key = topicPartitionKey(topicPartition.topic, topicPartition.partition)
    return getOrAdd(this.#partitions, key, (): Partition => {
      const never = { denials: 0, deniedSince: 0, tooLong: Number.POSITIVE_INFINITY }
      const idle = { waiting: undefined, isUnsure: false, latest: undefined, again: undefined, locks: [] }
      return { key, topicPartition, ...idle, ...AT_ONCE, ...never }
    })
  }

  #giveTurn({ key, locks, isUnsure }: Partition): void {
    const next = locks[0]
    if (next === undefined || next.isHeld || isUnsure || this.#inFlightOf.has(key)) return
    next.isHeld = true
    next.onHeld()
  }

  #unlock(partition: Partition, lock: CommitLock): void {
    const at = partition.locks.findIndex(one => one === lock)
    if (at < 0) return
    partition.locks.splice(at, 1)
    this.#giveTurn(partition)
    this.#schedule()
    this.#tellIfIdle()
  }

  /** Plans the next commit of the group, if a position waits. */
  #schedule(): void {
    for (const partition of this.#partitions.values()) {
      const { waiting, dueAt, again } = partition
      if (again !== undefined) this.#wakeAt(again.at)
      // A commit after a pause of its own does not wait for `commitIntervalMs` as well.
      if (waiting && mayCommit(partition)) this.#wakeAt(dueAt === WITH_NEXT ? this.#nextAt : dueAt)
    }
  }

  #wakeAt(at: number): void {
    if (this.#inFlight > 0 || this.#timerAt <= at) return
    const { clock, after } = this.#options.runtime
    this.#timer?.cancel()
    this.#timerAt = at
    this.#timer = after(Math.max(0, at - clock()), () => {
      this.#timerAt = Number.POSITIVE_INFINITY
      this.#send()
    })
  }

  #send(): void {
    const { runtime, membership, commitIntervalMs } = this.#options
    const member = membership()
    if (!member) return
    const now = runtime.clock()
    this.#nextAt = now + commitIntervalMs
    for (const partition of this.#partitions.values()) submitAgain(partition, member, now)
    const due = [...this.#partitions.values()].filter(
      partition => partition.waiting && partition.dueAt <= now && mayCommit(partition)
    )
    this.#inFlight = due.length
    for (const partition of due) this.#commit(partition, member)
    this.#schedule()
  }

  #commit(partition: Partition, member: GroupMembership): void {
    const { runtime } = this.#options
    const { topicPartition, tooLong } = partition
    const source = partition.waiting!
    Object.assign(partition, { waiting: undefined, ...AT_ONCE })
    addCount(this.#inFlightOf, partition.key, 1)
    const { position } = source
    const isTooLong = position.metadata.length >= tooLong
    const offsetAndMetadata = isTooLong ? (source.shortPosition ?? { ...position, metadata: '' }) : position
    const request = { groupId: runtime.groupId, topicPartition, offsetAndMetadata, rawMetadata: true, member }
    const onUnanswered = (): void => void (partition.again = { at: runtime.clock() + AGAIN_AFTER_MS, member })
    runtime.ask('commitConsumerOffset', { timeoutMs: COMMIT_TIMEOUT_MS, ...request, onUnanswered }, result => {
      partition.isUnsure = result.type === 'timedOut' || (result.type === 'failed' && result.errorCode === undefined)
      if (partition.isUnsure) onUnanswered()
      if (result.type === 'unknownTopicOrPartition' && this.#isKnown(partition)) this.#lookUp(partition, source, result)
      else
        this.#over(partition, () =>
          this.#answered(partition, source, member, result, isTooLong ? undefined : position.metadata.length)
        )
    })
  }

  /** False when the partition was dropped. */
  #isKnown(partition: Partition): boolean {
    return this.#partitions.get(partition.key) === partition
  }

  /** Called when a commit is no longer in flight. Calls `settle` unless the partition was dropped meanwhile. */
  #over(partition: Partition, settle: () => void): void {
    this.#inFlight--
    addCount(this.#inFlightOf, partition.key, -1)
    if (this.#isKnown(partition)) settle()
    const now = this.#partitions.get(partition.key)
    if (now !== undefined) this.#giveTurn(now)
    if (this.#inFlight > 0) return
    this.#schedule()
    this.#tellIfIdle()
  }

  /**
   * Called when the coordinator does not know the partition. Asks other brokers whether it exists, and in which
   * incarnation of the topic.
   */
  #lookUp(partition: Partition, source: PositionSource, result: CommitConsumerOffsetResult): void {
    const { runtime, retryBackoffMs } = this.#options
    partitionNow(runtime, partition.topicPartition, source.topicId, now => {
      this.#over(partition, () => {
        if (now === 'another') {
          partition.denials = 0
          runtime.log.warn({ partition: partition.key, offset: source.position.offset }, POSITION_IS_VOID)
          return
        }
        if (partition.denials++ === 0) partition.deniedSince = runtime.clock()
        if (now === 'gone') {
          this.#wasRefused(partition, source, result)
          return
        }
        const pauseMs = Math.min(REFUSED_PAUSE_MS, retryBackoffMs * 2 ** (partition.denials - 1))
        const isHopeful = partition.denials === 1 || runtime.clock() + pauseMs <= partition.deniedSince + HOPE_MS
        this.#delay(partition, source, pauseMs, isHopeful)
      })
    })
  }

  /** @param wholeLength that of the metadata; `undefined`: it was shortened */
  #answered(
    partition: Partition,
    source: PositionSource,
    member: GroupMembership,
    result: CommitConsumerOffsetResult,
    wholeLength: number | undefined
  ): void {
    const { runtime, retryBackoffMs, onFenced } = this.#options
    const errorCode = result.type === 'failed' ? (result.errorCode ?? errorCodes.NONE) : errorCodes.NONE
    partition.denials = 0
    // Commits again, unless a newer position was submitted meanwhile.
    const keep = (): void => void (partition.waiting ??= source)
    if (tooLargeCodes.has(errorCode) && wholeLength !== undefined) {
      partition.tooLong = wholeLength
      keep()
    } else if (fencingCodes.has(errorCode)) {
      keep()
      onFenced(errorCode, member)
    } else if (result.type === 'timedOut' || (result.type === 'failed' && isPassing(result))) {
      keep()
      this.#nextAt = runtime.clock() + retryBackoffMs
    } else if (result.type === 'success') {
      this.#forgetRefusal(partition.key, partition.topicPartition.topic)
      source.answered?.()
    }
    // A newer commit, which names no member, has replaced this commit. A coordinator accepts such commits only while the
    // group has no members, so this commit is repeated.
    else if (result.type === 'superseded') this.#delay(partition, source, retryBackoffMs, true)
    else this.#wasRefused(partition, source, result)
  }

  #forgetRefusal(key: string, topic: string): void {
    this.#refusals.forget(key)
    this.#refusals.forget(topic)
  }

  /**
   * Commits again after a pause. If the coordinator does not know the partition, newer positions wait for the end of
   * this pause as well.
   */
  #delay(partition: Partition, source: PositionSource, pauseMs: number, isHopeful: boolean): void {
    if (partition.waiting && partition.denials === 0) return
    partition.waiting ??= source
    partition.dueAt = this.#options.runtime.clock() + pauseMs
    partition.isHopeful = isHopeful
  }

  #wasRefused(partition: Partition, source: PositionSource, result: CommitConsumerOffsetResult): void {
    const { runtime } = this.#options
    const { key, topicPartition } = partition
    this.#delay(partition, source, REFUSED_PAUSE_MS, false)
    runtime.metrics.count('groups', 'failed_commits')
    const fields = { partition: key, offset: source.position.offset }
    if (result.type === 'failed') {
      this.#refusals.say(isForbidden(result) ? topicPartition.topic : key, fields, result, NOT_COMMITTED)
    } else this.#refusals.say(key, fields, NO_SUCH_PARTITION, NOT_COMMITTED)
  }

  #tellIfIdle(): void {
    if (this.#whenIdle.length > 0 && this.isIdle) for (const tell of this.#whenIdle.splice(0)) tell()
  }
}

/** A late commit of another generation is refused, so nothing has to be committed after it. */
function submitAgain(partition: Partition, { memberId, generationId }: GroupMembership, now: number): void {
  const { again, latest } = partition
  if (again === undefined || again.at > now) return
  partition.again = undefined
  if (again.member.memberId !== memberId || again.member.generationId !== generationId) return
  if (partition.waiting === undefined) Object.assign(partition, { waiting: latest, ...AT_ONCE })
}

/** True for an error that passes. After a rebalance, the commit is repeated when the member has joined again. */
const isPassing = ({ errorCode, retriable }: { readonly errorCode: number | undefined; readonly retriable: boolean }) =>
  retriable || errorCode === errorCodes.REBALANCE_IN_PROGRESS
