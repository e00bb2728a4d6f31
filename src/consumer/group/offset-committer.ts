import { type TopicPartition, topicPartitionKey } from '../../core/model.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { CommitConsumerOffsetResult, GroupMembership } from '../../router/messages/operations.js'
import { kafkaFailure } from '../../router/requests/failures.js'
import type { GroupRuntime, Timer } from './group-runtime.js'
import type { TrackedPosition } from './offset-tracker.js'
import { partitionNow } from './partition-now.js'
import { isForbidden, Refusals } from './refusals.js'

export interface OffsetCommitterOptions {
  readonly runtime: GroupRuntime
  readonly commitIntervalMs: number
  readonly retryBackoffMs: number
  /** The member in whose name is committed; `undefined`: it is not in the group at the moment. */
  readonly membership: () => GroupMembership | undefined
  /** The coordinator does not know this member, or its generation, any more. */
  readonly onFenced: (errorCode: number, member: GroupMembership) => void
}

/** Has a position that is to be committed, the newest one at each time. */
export interface PositionSource {
  readonly position: TrackedPosition
  /** The topic in whose log the position is; absent: not known. */
  readonly topicId?: string | undefined
  /** Kafka has taken a commit of the partition, or has refused it. */
  readonly answered?: () => void
}

interface Submitted {
  readonly topicPartition: TopicPartition
  readonly source: PositionSource
}

/** Long enough for a coordinator to move; after it the commit is made anew, with what has been submitted since. */
const COMMIT_TIMEOUT_MS = 10_000

/** A commit that is kept for a later attempt. */
interface Delayed {
  readonly submitted: Submitted
  readonly dueAt: number
  /** It is likely to be accepted soon: a flush waits for it. */
  readonly isHopeful: boolean
}

/** How often in a row, and since when, the coordinator has not known a partition. */
interface Denials {
  readonly times: number
  readonly since: number
}

/** How long a denied commit is likely to be accepted soon: a coordinator whose metadata merely lags catches up by then. */
const HOPE_MS = 2_000

/** A commit that was refused may be accepted later, after a change of permissions or settings. */
const REFUSED_PAUSE_MS = 5_000

const NOT_COMMITTED = 'an offset could not be committed'
const POSITION_IS_VOID =
  'an offset is not committed: the topic was created anew, and the offset belongs to its former log'
const NO_SUCH_PARTITION = kafkaFailure(errorCodes.UNKNOWN_TOPIC_OR_PARTITION)

const fencingCodes: ReadonlySet<number> = new Set([
  errorCodes.ILLEGAL_GENERATION,
  errorCodes.UNKNOWN_MEMBER_ID,
  errorCodes.FENCED_INSTANCE_ID
])

/** The metadata is larger than the broker, or the topic of committed offsets, takes. */
const tooLargeCodes: ReadonlySet<number> = new Set([
  errorCodes.OFFSET_METADATA_TOO_LARGE,
  errorCodes.INVALID_COMMIT_OFFSET_SIZE
])

/**
 * Commits the positions of a group: the newest of each partition, all of them together. The first commit after a pause is
 * sent at once, the next ones `commitIntervalMs` after the one before. A commit that fails is made again until it works,
 * until the partition is dropped, or until the topic was created anew: the position belongs to a log that is gone then. So
 * the last acknowledgement before a quiet time is committed, too. A flush does not wait for commits that were refused, or
 * whose topic is gone, or that have been denied for two seconds: one topic must not hold the others up.
 *
 * A coordinator whose metadata lags answers `UNKNOWN_TOPIC_OR_PARTITION` for a partition that exists, so brokers are asked
 * for the topic before the commit is made again.
 */
export class OffsetCommitter {
  readonly #options: OffsetCommitterOptions
  readonly #pending = new Map<string, Submitted>()
  /** Commits without an answer; `undefined` when the partition was dropped meanwhile. */
  readonly #inFlight = new Map<string, Submitted | undefined>()
  /** To be committed again after a pause, or with the next flush. */
  readonly #delayed = new Map<string, Delayed>()
  #delayedTimer: Timer | undefined
  #delayEndsAt = Number.POSITIVE_INFINITY
  /** The number of delayed commits that a flush waits for. */
  #hopeful = 0
  readonly #denials = new Map<string, Denials>()
  readonly #refusals: Refusals
  /** Length of metadata that was too large for brokers: without it, the offset at least is committed. */
  readonly #tooLong = new Map<string, number>()
  #nextAt = Number.NEGATIVE_INFINITY
  #timer: Timer | undefined
  #whenIdle: (() => void)[] = []

  constructor(options: OffsetCommitterOptions) {
    this.#options = options
    this.#refusals = new Refusals(options.runtime.log)
  }

  /** Nothing waits to be committed. */
  get isIdle(): boolean {
    return this.#pending.size === 0 && this.#inFlight.size === 0 && this.#hopeful === 0
  }

  submit(topicPartition: TopicPartition, source: PositionSource): void {
    const key = topicPartitionKey(topicPartition.topic, topicPartition.partition)
    // A partition that the coordinator does not know keeps its pause.
    const delayed = this.#delayed.get(key)
    if (delayed && this.#denials.has(key)) this.#delayed.set(key, { ...delayed, submitted: { topicPartition, source } })
    else {
      this.#undelay(key)
      this.#pending.set(key, { topicPartition, source })
      this.#schedule()
    }
  }

  /** The partition belongs to another member now, whose commits count. */
  drop({ topic, partition }: TopicPartition): void {
    const key = topicPartitionKey(topic, partition)
    for (const known of [this.#pending, this.#denials, this.#tooLong]) known.delete(key)
    this.#undelay(key)
    this.#forgetRefusal(key, { topic, partition })
    if (this.#inFlight.has(key)) this.#inFlight.set(key, undefined)
    this.#tellIfIdle()
  }

  /** The member is in the group again. */
  resume(): void {
    this.#schedule()
  }

  /** Commits without a pause, and calls back when all is committed or dropped. */
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
    const fields = { groupId: runtime.groupId, topicPartition, offsetAndMetadata, rawMetadata: true, member }
    runtime.ask('commitConsumerOffset', { ...fields, timeoutMs: COMMIT_TIMEOUT_MS }, result => {
      if (result.type === 'unknownTopicOrPartition' && this.#inFlight.get(key) !== undefined) {
        this.#lookUp(key, submitted, result)
      } else this.#over(key, () => this.#answered(key, submitted, member, result, isTooLong))
    })
  }

  /** The commit is not in flight any more. `settle` is called unless the partition was dropped meanwhile. */
  #over(key: string, settle: () => void): void {
    const isDropped = this.#inFlight.get(key) === undefined
    this.#inFlight.delete(key)
    if (!isDropped) settle()
    if (this.#inFlight.size > 0) return
    this.#schedule()
    this.#tellIfIdle()
  }

  /** The coordinator does not know the partition: whether it is there, and in the same topic, others tell. */
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
    // By a commit in no member's name, which a coordinator takes from a group without members only.
    else if (result.type === 'superseded') this.#delay(key, submitted, retryBackoffMs, true)
    else this.#wasRefused(key, submitted, result)
  }

  #forgetRefusal(key: string, { topic }: TopicPartition): void {
    this.#refusals.forget(key)
    this.#refusals.forget(topic)
  }

  /** To be committed again, unless something newer was submitted meanwhile. */
  #keep(key: string, submitted: Submitted): void {
    if (!this.#pending.has(key)) this.#pending.set(key, submitted)
  }

  /** The same after a pause. What is submitted meanwhile for a partition that the coordinator does not know waits as well. */
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
      // They have had their pause.
      this.#nextAt = Math.min(this.#nextAt, runtime.clock())
      this.#timer?.cancel()
      this.#timer = undefined
      this.#schedule()
    })
  }

  /** Commits are made again whose pause is over by this time. */
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

/** A rebalance is no failure: the commit is made once the member has joined again. */
const isPassing = ({ errorCode, retriable }: { readonly errorCode: number | undefined; readonly retriable: boolean }) =>
  retriable || errorCode === errorCodes.REBALANCE_IN_PROGRESS
