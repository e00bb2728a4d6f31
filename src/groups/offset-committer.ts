import { type TopicPartition, topicPartitionKey } from '../model.js'
import type { CommitConsumerOffsetResult, GroupMembership } from '../operations.js'
import { errorCodes } from '../wire/error-codes.js'
import type { GroupHands, Timer } from './hands.js'
import type { TrackedPosition } from './offset-tracker.js'
import { isForbidden, Refusals } from './refusals.js'

export interface OffsetCommitterOptions {
  readonly hands: GroupHands
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
}

interface Submitted {
  readonly topicPartition: TopicPartition
  readonly source: PositionSource
}

/** Long enough for a coordinator to move; after it the commit is made anew, with what has been submitted since. */
const COMMIT_TIMEOUT_MS = 10_000

/** A commit that was refused may be accepted later, after a change of permissions or settings. */
const REFUSED_PAUSE_MS = 5_000

const NOT_COMMITTED = 'an offset could not be committed'

const fencingCodes: ReadonlySet<number> = new Set([
  errorCodes.ILLEGAL_GENERATION,
  errorCodes.UNKNOWN_MEMBER_ID,
  errorCodes.FENCED_INSTANCE_ID
])

/**
 * Commits the positions of a group: the newest of each partition, all of them together. The first commit after a pause is
 * sent at once, the next ones `commitIntervalMs` after the one before. A commit that fails is made again until it works, or
 * until the partition is dropped. A flush does not wait for commits that were refused.
 */
export class OffsetCommitter {
  readonly #options: OffsetCommitterOptions
  readonly #pending = new Map<string, Submitted>()
  /** Commits without an answer; `undefined` when the partition was dropped meanwhile. */
  readonly #inFlight = new Map<string, Submitted | undefined>()
  /** To be committed again after a pause, or with the next flush. */
  readonly #refused = new Map<string, Submitted>()
  #refusedTimer: Timer | undefined
  readonly #refusals: Refusals
  /** Length of metadata that was too large for brokers: without it, the offset at least is committed. */
  readonly #tooLong = new Map<string, number>()
  #nextAt = Number.NEGATIVE_INFINITY
  #timer: Timer | undefined
  #whenIdle: (() => void)[] = []

  constructor(options: OffsetCommitterOptions) {
    this.#options = options
    this.#refusals = new Refusals(options.hands.log)
  }

  /** Nothing waits to be committed. */
  get isIdle(): boolean {
    return this.#pending.size === 0 && this.#inFlight.size === 0
  }

  submit(topicPartition: TopicPartition, source: PositionSource): void {
    const key = topicPartitionKey(topicPartition.topic, topicPartition.partition)
    this.#refused.delete(key)
    this.#pending.set(key, { topicPartition, source })
    this.#schedule()
  }

  /** The partition belongs to another member now, whose commits count. */
  drop({ topic, partition }: TopicPartition): void {
    const key = topicPartitionKey(topic, partition)
    for (const known of [this.#pending, this.#refused, this.#tooLong]) known.delete(key)
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
    this.#tryRefused()
    this.#timer?.cancel()
    this.#timer = undefined
    this.#schedule()
    this.#tellIfIdle()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#refusedTimer?.cancel()
    this.#pending.clear()
    this.#refused.clear()
    this.#whenIdle = []
  }

  #schedule(): void {
    if (this.#timer || this.#inFlight.size > 0 || this.#pending.size === 0) return
    const { clock, after } = this.#options.hands
    const delayMs = Math.max(0, this.#nextAt - clock())
    const send = (): void => {
      this.#timer = undefined
      this.#send()
    }
    this.#timer = after(delayMs, send)
  }

  #send(): void {
    const { hands, membership, commitIntervalMs } = this.#options
    const member = membership()
    if (!member || this.#inFlight.size > 0) return
    this.#nextAt = hands.clock() + commitIntervalMs
    const commits = [...this.#pending]
    this.#pending.clear()
    for (const [key, submitted] of commits) this.#inFlight.set(key, submitted)
    for (const [key, submitted] of commits) this.#commit(key, submitted, member)
  }

  #commit(key: string, submitted: Submitted, member: GroupMembership): void {
    const { hands } = this.#options
    const { topicPartition, source } = submitted
    const { position } = source
    const isTooLong = position.metadata.length >= (this.#tooLong.get(key) ?? Number.POSITIVE_INFINITY)
    const offsetAndMetadata = isTooLong ? { ...position, metadata: '' } : position
    const fields = { groupId: hands.groupId, topicPartition, offsetAndMetadata, rawMetadata: true, member }
    hands.ask('commitConsumerOffset', { ...fields, timeoutMs: COMMIT_TIMEOUT_MS }, result => {
      const isDropped = this.#inFlight.get(key) === undefined
      this.#inFlight.delete(key)
      if (!isDropped && result.type === 'failed' && isMetadataTooLarge(result) && !isTooLong) {
        this.#tooLong.set(key, offsetAndMetadata.metadata.length)
        this.#keep(key, submitted)
      } else if (!isDropped) this.#answered(key, submitted, member, result)
      if (this.#inFlight.size > 0) return
      this.#schedule()
      this.#tellIfIdle()
    })
  }

  #answered(key: string, submitted: Submitted, member: GroupMembership, result: CommitConsumerOffsetResult): void {
    if (result.type === 'failed' && fencingCodes.has(result.errorCode ?? errorCodes.NONE)) {
      this.#keep(key, submitted)
      this.#options.onFenced(result.errorCode!, member)
    } else if (result.type === 'timedOut' || (result.type === 'failed' && isPassing(result))) {
      this.#keep(key, submitted)
      this.#nextAt = this.#options.hands.clock() + this.#options.retryBackoffMs
    } else if (result.type === 'success') this.#forgetRefusal(key, submitted.topicPartition)
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

  #tryRefused(): void {
    this.#refusedTimer?.cancel()
    this.#refusedTimer = undefined
    for (const [key, submitted] of this.#refused) this.#keep(key, submitted)
    this.#refused.clear()
  }

  #wasRefused(key: string, submitted: Submitted, result: CommitConsumerOffsetResult): void {
    const { hands } = this.#options
    const { topicPartition, source } = submitted
    if (result.type === 'failed' && !this.#pending.has(key)) {
      this.#refused.set(key, submitted)
      this.#refusedTimer ??= hands.after(REFUSED_PAUSE_MS, () => {
        this.#tryRefused()
        this.#schedule()
      })
    }
    const at = topicPartitionKey(topicPartition.topic, topicPartition.partition)
    hands.metrics.count('groups', 'failed_commits')
    const what = isForbidden(result) ? topicPartition.topic : key
    const fields = { partition: at, offset: source.position.offset, result }
    if (result.type === 'failed') this.#refusals.say(what, fields, result, NOT_COMMITTED)
    else hands.log.error(fields, NOT_COMMITTED)
  }

  #tellIfIdle(): void {
    if (!this.isIdle) return
    const waiting = this.#whenIdle
    this.#whenIdle = []
    for (const tell of waiting) tell()
  }
}

const isMetadataTooLarge = ({ errorCode }: { readonly errorCode: number | undefined }): boolean =>
  errorCode === errorCodes.OFFSET_METADATA_TOO_LARGE

/** A rebalance is no failure: the commit is made once the member has joined again. */
const isPassing = ({ errorCode, retriable }: { readonly errorCode: number | undefined; readonly retriable: boolean }) =>
  retriable || errorCode === errorCodes.REBALANCE_IN_PROGRESS
