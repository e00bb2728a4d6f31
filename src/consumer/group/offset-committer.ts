import { type TopicPartition, topicPartitionKey } from '../../core/model.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { CommitConsumerOffsetResult, GroupMembership } from '../../router/messages/operations.js'
import { kafkaFailure } from '../../router/requests/failures.js'
import type { GroupRuntime, Timer } from './group-runtime.js'
import type { TrackedPosition } from './offset-tracker.js'
import { isForbidden, Refusals } from './refusals.js'
import { partitionNow } from './topic-look-ups.js'

export interface OffsetCommitterOptions {
  readonly runtime: GroupRuntime
  readonly commitIntervalMs: number
  readonly retryBackoffMs: number
  /** Returns the member that commits; `undefined`: it is not in the group at the moment. */
  readonly membership: () => GroupMembership | undefined
  /** Called when the coordinator no longer knows this member or its generation. */
  readonly onFenced: (errorCode: number, member: GroupMembership) => void
}

export interface PositionSource {
  readonly position: TrackedPosition
  /** The id of the topic to which the position belongs; absent: unknown. */
  readonly topicId?: string | undefined
  /** Called when Kafka has accepted or refused a commit of the partition. */
  readonly answered?: () => void
}

interface Submitted {
  readonly topicPartition: TopicPartition
  readonly source: PositionSource
}

/**
 * Time limit of a commit, long enough for a coordinator to move. After it, a new attempt commits the newest position.
 */
const COMMIT_TIMEOUT_MS = 10_000

/** A commit that is kept for a later attempt. */
interface Delayed {
  readonly submitted: Submitted
  readonly dueAt: number
  /** True: the commit will probably be accepted soon, so a flush waits for it. */
  readonly isHopeful: boolean
}

/** How often in a row the coordinator has answered that it does not know a partition, and since when. */
interface Denials {
  readonly times: number
  readonly since: number
}

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
  readonly #pending = new Map<string, Submitted>()
  /** Commits in flight, by partition. The value is `undefined` when the partition was dropped meanwhile. */
  readonly #inFlight = new Map<string, Submitted | undefined>()
  /** Positions that are committed again after a pause, or with the next flush. */
  readonly #delayed = new Map<string, Delayed>()
  #delayedTimer: Timer | undefined
  #delayEndsAt = Number.POSITIVE_INFINITY
  /** The number of delayed commits that a flush waits for. */
  #hopeful = 0
  readonly #denials = new Map<string, Denials>()
  readonly #refusals: Refusals
  /**
   * The length of metadata that was too large for brokers. The offset is then committed without metadata of this
   * length.
   */
  readonly #tooLong = new Map<string, number>()
  #nextAt = Number.NEGATIVE_INFINITY
  #timer: Timer | undefined
  #whenIdle: (() => void)[] = []

  constructor(options: OffsetCommitterOptions) {
    this.#options = options
    this.#refusals = new Refusals(options.runtime.log)
  }

  /** True when no position waits to be committed. */
  get isIdle(): boolean {
    return this.#pending.size === 0 && this.#inFlight.size === 0 && this.#hopeful === 0
  }

  submit(topicPartition: TopicPartition, source: PositionSource): void {
    const key = topicPartitionKey(topicPartition.topic, topicPartition.partition)
    // A commit for a partition that the coordinator does not know keeps its pause.
    const delayed = this.#delayed.get(key)
    if (delayed && this.#denials.has(key)) this.#delayed.set(key, { ...delayed, submitted: { topicPartition, source } })
    else {
      this.#undelay(key)
      this.#pending.set(key, { topicPartition, source })
      this.#schedule()
    }
  }

  /** Drops the commits of a partition that another member has now. */
  drop({ topic, partition }: TopicPartition): void {
    const key = topicPartitionKey(topic, partition)
    for (const known of [this.#pending, this.#denials, this.#tooLong]) known.delete(key)
    this.#undelay(key)
    this.#forgetRefusal(key, { topic, partition })
    if (this.#inFlight.has(key)) this.#inFlight.set(key, undefined)
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
    this.#endDelays(Number.POSITIVE_INFINITY)
    this.#timer?.cancel()
    this.#timer = undefined
    this.#schedule()
    this.#tellIfIdle()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#delayedTimer?.cancel()
    this.#pending.clear()
    this.#delayed.clear()
    this.#hopeful = 0
    this.#whenIdle = []
  }

  #schedule(): void {
    if (this.#timer || this.#inFlight.size > 0 || this.#pending.size === 0) return
    const { clock, after } = this.#options.runtime
    const delayMs = Math.max(0, this.#nextAt - clock())
    const send = (): void => {
      this.#timer = undefined
      this.#send()
    }
    this.#timer = after(delayMs, send)
  }

  #send(): void {
    const { runtime, membership, commitIntervalMs } = this.#options
    const member = membership()
    if (!member || this.#inFlight.size > 0) return
    this.#nextAt = runtime.clock() + commitIntervalMs
    const commits = [...this.#pending]
    this.#pending.clear()
    for (const [key, submitted] of commits) this.#inFlight.set(key, submitted)
    for (const [key, submitted] of commits) this.#commit(key, submitted, member)
  }

  #commit(key: string, submitted: Submitted, member: GroupMembership): void {
    const { runtime } = this.#options
    const { topicPartition, source } = submitted
    const { position } = source
    const isTooLong = position.metadata.length >= (this.#tooLong.get(key) ?? Number.POSITIVE_INFINITY)
    const offsetAndMetadata = isTooLong ? { ...position, metadata: '' } : position
    const request = { groupId: runtime.groupId, topicPartition, offsetAndMetadata, rawMetadata: true, member }
    runtime.ask('commitConsumerOffset', { timeoutMs: COMMIT_TIMEOUT_MS, ...request }, result => {
      if (result.type === 'unknownTopicOrPartition' && this.#inFlight.get(key) !== undefined) {
        this.#lookUp(key, submitted, result)
      } else this.#over(key, () => this.#answered(key, submitted, member, result, isTooLong))
    })
  }

  /** Called when a commit is no longer in flight. Calls `settle` unless the partition was dropped meanwhile. */
  #over(key: string, settle: () => void): void {
    const isDropped = this.#inFlight.get(key) === undefined
    this.#inFlight.delete(key)
    if (!isDropped) settle()
    if (this.#inFlight.size > 0) return
    this.#schedule()
    this.#tellIfIdle()
  }

  /**
   * Called when the coordinator does not know the partition. Asks other brokers whether it exists, and in which
   * incarnation of the topic.
   */
  #lookUp(key: string, submitted: Submitted, result: CommitConsumerOffsetResult): void {
    const { topicPartition, source } = submitted
    const { runtime } = this.#options
    partitionNow(runtime, topicPartition, source.topicId, now => {
      this.#over(key, () => {
        if (now === 'another') {
          this.#denials.delete(key)
          runtime.log.warn({ partition: key, offset: source.position.offset }, POSITION_IS_VOID)
          return
        }
        const { times, since } = this.#countDenial(key)
        if (now === 'gone') {
          this.#wasRefused(key, submitted, result)
          return
        }
        const pauseMs = Math.min(REFUSED_PAUSE_MS, this.#options.retryBackoffMs * 2 ** (times - 1))
        const isHopeful = times === 1 || runtime.clock() + pauseMs <= since + HOPE_MS
        this.#delay(key, submitted, pauseMs, isHopeful)
      })
    })
  }

  #countDenial(key: string): Denials {
    const { times, since } = this.#denials.get(key) ?? { times: 0, since: this.#options.runtime.clock() }
    const denials = { times: times + 1, since }
    this.#denials.set(key, denials)
    return denials
  }

  #answered(
    key: string,
    submitted: Submitted,
    member: GroupMembership,
    result: CommitConsumerOffsetResult,
    isTooLong: boolean
  ): void {
    const { runtime, retryBackoffMs, onFenced } = this.#options
    const errorCode = result.type === 'failed' ? (result.errorCode ?? errorCodes.NONE) : errorCodes.NONE
    this.#denials.delete(key)
    if (tooLargeCodes.has(errorCode) && !isTooLong) {
      this.#tooLong.set(key, submitted.source.position.metadata.length)
      this.#keep(key, submitted)
    } else if (fencingCodes.has(errorCode)) {
      this.#keep(key, submitted)
      onFenced(errorCode, member)
    } else if (result.type === 'timedOut' || (result.type === 'failed' && isPassing(result))) {
      this.#keep(key, submitted)
      this.#nextAt = runtime.clock() + retryBackoffMs
    } else if (result.type === 'success') {
      this.#forgetRefusal(key, submitted.topicPartition)
      submitted.source.answered?.()
    }
    // A newer commit, which names no member, has replaced this commit. A coordinator accepts such commits only while the
    // group has no members, so this commit is repeated.
    else if (result.type === 'superseded') this.#delay(key, submitted, retryBackoffMs, true)
    else this.#wasRefused(key, submitted, result)
  }

  #forgetRefusal(key: string, { topic }: TopicPartition): void {
    this.#refusals.forget(key)
    this.#refusals.forget(topic)
  }

  /** Commits again, unless a newer position was submitted meanwhile. */
  #keep(key: string, submitted: Submitted): void {
    if (!this.#pending.has(key)) this.#pending.set(key, submitted)
  }

  /**
   * Commits again after a pause. If the coordinator does not know the partition, newer positions wait for the end of
   * this pause as well.
   */
  #delay(key: string, submitted: Submitted, pauseMs: number, isHopeful: boolean): void {
    const newer = this.#pending.get(key)
    if (newer && !this.#denials.has(key)) return
    this.#pending.delete(key)
    this.#undelay(key)
    const dueAt = this.#options.runtime.clock() + pauseMs
    this.#delayed.set(key, { submitted: newer ?? submitted, dueAt, isHopeful })
    if (isHopeful) this.#hopeful++
    this.#wakeAt(dueAt)
  }

  #undelay(key: string): void {
    if (this.#delayed.get(key)?.isHopeful) this.#hopeful--
    this.#delayed.delete(key)
  }

  #wakeAt(dueAt: number): void {
    if (dueAt >= this.#delayEndsAt) return
    const { runtime } = this.#options
    this.#delayEndsAt = dueAt
    this.#delayedTimer?.cancel()
    this.#delayedTimer = runtime.after(Math.max(0, dueAt - runtime.clock()), () => {
      this.#endDelays(runtime.clock())
      // These commits have waited long enough, so the next commit need not wait for `commitIntervalMs`.
      this.#nextAt = Math.min(this.#nextAt, runtime.clock())
      this.#timer?.cancel()
      this.#timer = undefined
      this.#schedule()
    })
  }

  /** Makes commits due again when their pause is over by this time. */
  #endDelays(time: number): void {
    this.#delayedTimer?.cancel()
    this.#delayEndsAt = Number.POSITIVE_INFINITY
    let nextAt = Number.POSITIVE_INFINITY
    for (const [key, { submitted, dueAt }] of this.#delayed) {
      if (dueAt > time) nextAt = Math.min(nextAt, dueAt)
      else {
        this.#undelay(key)
        this.#keep(key, submitted)
      }
    }
    if (nextAt !== Number.POSITIVE_INFINITY) this.#wakeAt(nextAt)
  }

  #wasRefused(key: string, submitted: Submitted, result: CommitConsumerOffsetResult): void {
    const { runtime } = this.#options
    const { topicPartition, source } = submitted
    this.#delay(key, submitted, REFUSED_PAUSE_MS, false)
    runtime.metrics.count('groups', 'failed_commits')
    const fields = { partition: key, offset: source.position.offset }
    if (result.type === 'failed') {
      this.#refusals.say(isForbidden(result) ? topicPartition.topic : key, fields, result, NOT_COMMITTED)
    } else this.#refusals.say(key, fields, NO_SUCH_PARTITION, NOT_COMMITTED)
  }

  #tellIfIdle(): void {
    if (!this.isIdle) return
    const waiting = this.#whenIdle
    this.#whenIdle = []
    for (const tell of waiting) tell()
  }
}

/** True for an error that passes. After a rebalance, the commit is repeated when the member has joined again. */
const isPassing = ({ errorCode, retriable }: { readonly errorCode: number | undefined; readonly retriable: boolean }) =>
  retriable || errorCode === errorCodes.REBALANCE_IN_PROGRESS
