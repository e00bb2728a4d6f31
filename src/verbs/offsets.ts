import { acksIn, isOfAnother, markIn, STORED_LATEST, setToEnd, withoutMark } from '../consumer/group/ack-encoding.js'
import type { TopicBeginning } from '../consumer/group/consumer-groups.js'
import { FIRST_COMMIT_PAUSE_MS, MAX_COMMIT_PAUSE_MS } from '../consumer/group/offset-change.js'
import type { ActorRef } from '../core/actor/actor.js'
import { pause } from '../core/ending.js'
import { errorOfFailure } from '../core/error-of-failure.js'
import { type CastellanError, TimedOutError } from '../core/errors.js'
import {
  type LogPosition,
  type MonotonicClock,
  type Offset,
  type OffsetAndMetadata,
  positionIn,
  type TopicPartition
} from '../core/model.js'
import type { TopicMetadata } from '../kafka/broker-client.js'
import { AS_STORED, type Failure, type RouterMessage } from '../router/messages/operations.js'
import { askRouter, mapInPortions } from '../router/routing/ask-router.js'
import type { CommitOutcome, CommittedOffset, FollowOptions, GroupOffset } from './verbs.js'

/** `isVoid`: the committed offset belongs to an earlier topic of the same name. */
interface FoundOffset extends GroupOffset {
  readonly isVoid: boolean
}

/**
 * Reads and commits the offsets of a group by requests to the Router. One time limit applies to all requests together.
 */
export class GroupOffsets {
  readonly #router: ActorRef<RouterMessage>
  readonly #groupId: string
  readonly #limit: TimeLimit

  constructor(router: ActorRef<RouterMessage>, groupId: string, timeoutMs: number, clock: MonotonicClock) {
    this.#router = router
    this.#groupId = groupId
    this.#limit = new TimeLimit(timeoutMs, clock)
  }

  /**
   * @param begins where the group begins in partitions without a committed offset, if this process knows it
   * @returns `undefined`: the topic was deleted in the meantime
   */
  async read(
    { topic, topicId, partitions }: TopicMetadata,
    begins: TopicBeginning
  ): Promise<readonly GroupOffset[] | undefined> {
    const numbers = partitions.map(({ partition }) => partition)
    const offsets = await mapInPortions(numbers, partition => this.#readOne({ topic, partition }, topicId))
    const found = offsets.filter(offset => offset !== undefined)
    if (found.length < offsets.length) return undefined
    const atEarliest = begins.atEarliest || found.some(({ committed, isVoid }) => committed !== undefined || isVoid)
    return found.map(({ isVoid: _, ...offset }) => {
      if (offset.committed !== undefined) return offset
      const beginsAt = begins.positions.get(offset.partition) ?? (atEarliest ? offset.earliest : undefined)
      return beginsAt === undefined ? offset : { ...offset, beginsAt }
    })
  }

  /**
   * Turns -1, by which a client sets the group to the end, into the end of this moment. -1 with metadata of the client's
   * own stays: its end is that of the moment at which the group begins.
   */
  async withEnds(
    topic: string,
    offsets: ReadonlyMap<number, OffsetAndMetadata>
  ): Promise<ReadonlyMap<number, OffsetAndMetadata>> {
    const isEnd = ({ offset, metadata = '' }: OffsetAndMetadata): boolean => offset === STORED_LATEST && metadata === ''
    if (![...offsets.values()].some(isEnd)) return offsets
    const topicId = (await this.#metadataOf(topic))?.topicId
    return new Map(
      await mapInPortions([...offsets], async ([partition, asked]) => {
        const end = isEnd(asked) ? await this.#limitOf({ topic, partition }, 'latest') : undefined
        return [partition, end === undefined ? asked : setToEnd(end, topicId)] as const
      })
    )
  }

  async commit(
    topic: string,
    offsets: ReadonlyMap<number, OffsetAndMetadata>
  ): Promise<ReadonlyMap<number, CommitOutcome>> {
    const outcomes = await mapInPortions([...offsets], async ([partition, offsetAndMetadata]) => {
      const outcome = await this.#commitOne({ topic, partition }, offsetAndMetadata)
      return [partition, outcome] as const
    })
    return new Map(outcomes)
  }

  async #readOne(topicPartition: TopicPartition, topicId: string | undefined): Promise<FoundOffset | undefined> {
    const [earliest, latest, stored] = await Promise.all([
      this.#limitOf(topicPartition, 'earliest'),
      this.#limitOf(topicPartition, 'latest'),
      this.#committedOf(topicPartition)
    ])
    if (earliest === undefined || latest === undefined) return undefined
    const { partition } = topicPartition
    if (stored?.metadata === undefined) {
      return { partition, earliest, latest, committed: stored, acknowledged: [], isVoid: false }
    }
    const position = { offset: stored.offset, metadata: stored.metadata }
    if (isOfAnother(markIn(position), topicId)) {
      return { partition, earliest, latest, committed: undefined, acknowledged: [], isVoid: true }
    }
    const shown = withoutMark(position)
    const committed = shown.metadata === '' ? { offset: stored.offset } : { ...stored, metadata: shown.metadata }
    return { partition, earliest, latest, committed, acknowledged: acksIn(shown) ?? [], isVoid: false }
  }

  async #limitOf(topicPartition: TopicPartition, offsetType: 'earliest' | 'latest'): Promise<Offset | undefined> {
    const timeoutMs = this.#limit.remainingMs
    const result = await askRouter(this.#router, { type: 'fetchOffset', topicPartition, offsetType, timeoutMs })
    if (result.type === 'success') return result.offset
    if (result.type === 'unknownTopicOrPartition') return undefined
    throw this.#errorOf(result)
  }

  async #committedOf(topicPartition: TopicPartition): Promise<OffsetAndMetadata | undefined> {
    const request = { ...AS_STORED, groupId: this.#groupId, topicPartition, timeoutMs: this.#limit.remainingMs }
    const result = await askRouter(this.#router, { type: 'fetchConsumerOffset', ...request })
    if (result.type === 'success') return result.offsetAndMetadata
    if (result.type === 'notFound') return undefined
    throw this.#errorOf(result)
  }

  /**
   * Commits one offset. A coordinator with outdated metadata may not know a new partition, so the commit is repeated
   * within the time limit.
   */
  async #commitOne(topicPartition: TopicPartition, offsetAndMetadata: OffsetAndMetadata): Promise<CommitOutcome> {
    for (let pauseMs = FIRST_COMMIT_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, MAX_COMMIT_PAUSE_MS)) {
      const outcome = await this.#tryToCommit(topicPartition, offsetAndMetadata)
      if (outcome !== 'unknownTopicOrPartition' || this.#limit.remainingMs <= pauseMs) return outcome
      if (!(await this.#exists(topicPartition))) return outcome
      await pause(pauseMs)
    }
  }

  async #exists({ topic, partition }: TopicPartition): Promise<boolean> {
    const { partitions = [] } = (await this.#metadataOf(topic)) ?? {}
    return partitions.some(one => one.partition === partition)
  }

  async #metadataOf(topic: string): Promise<TopicMetadata | undefined> {
    const request = { topics: [topic], timeoutMs: this.#limit.remainingMs }
    const result = await askRouter(this.#router, { type: 'fetchTopicMetadata', ...request })
    return result.type === 'success' ? result.topics.get(topic) : undefined
  }

  async #tryToCommit(topicPartition: TopicPartition, offsetAndMetadata: OffsetAndMetadata): Promise<CommitOutcome> {
    const request = { ...AS_STORED, groupId: this.#groupId, topicPartition, offsetAndMetadata, replacesWaiting: true }
    const timeoutMs = this.#limit.remainingMs
    const result = await askRouter(this.#router, { type: 'commitConsumerOffset', ...request, timeoutMs })
    if (result.type === 'success') return 'committed'
    if (result.type === 'superseded' || result.type === 'unknownTopicOrPartition') return result.type
    throw this.#errorOf(result)
  }

  #errorOf(result: Unanswered): CastellanError {
    return toError(result, `the request for the offsets of group ${this.#groupId}`, this.#limit.timeoutMs)
  }
}

/** All offsets of a group, by topic and partition, with the metadata of their clients. */
export const committedOffsets = (offsets: readonly CommittedOffset[]): CommittedOffset[] =>
  offsets
    .map(one => ({ ...one, metadata: withoutMark(one).metadata }))
    .sort((one, other) => compare(one.topic, other.topic) || one.partition - other.partition)

const compare = (one: string, other: string): number => (one === other ? 0 : one < other ? -1 : 1)

export type Unanswered = Failure | { readonly type: 'timedOut'; readonly reason?: string }

export function toError(result: Unanswered, what: string, timeoutMs: number): CastellanError {
  if (result.type === 'timedOut') return new TimedOutError(what, timeoutMs, result.reason)
  return errorOfFailure(result)
}

/** A time limit for several requests to the Router together. It starts when the object is created. */
export class TimeLimit {
  readonly timeoutMs: number
  #endsAt: number
  readonly #clock: MonotonicClock

  constructor(timeoutMs: number, clock: MonotonicClock) {
    this.timeoutMs = timeoutMs
    this.#endsAt = clock() + timeoutMs
    this.#clock = clock
  }

  /** A limit that begins now, and ends with this one at the latest. */
  within(timeoutMs: number): TimeLimit {
    return new TimeLimit(Math.min(this.remainingMs, timeoutMs), this.#clock)
  }

  /** Never below 1: when no time is left, the Router still gets the request and answers it with a time-out. */
  get remainingMs(): number {
    return Math.max(1, Math.ceil(this.#endsAt - this.#clock()))
  }

  /** Ends where the Router is shutting down: nothing that is asked again has an answer. @returns what it was given */
  heard<Result extends { readonly type: string; readonly code?: unknown }>(result: Result): Result {
    if (result.code === 'shuttingDown') this.#endsAt = Number.NEGATIVE_INFINITY
    return result
  }
}

/**
 * Finds the offsets at which reading of partitions begins.
 *
 * @returns by partition, in the order of `partitions`
 * @throws CastellanError when an offset cannot be found in time
 */
export async function findStarts(
  router: ActorRef<RouterMessage>,
  limit: TimeLimit,
  topic: string,
  partitions: readonly number[],
  { from, positions }: FollowOptions
): Promise<ReadonlyMap<number, LogPosition>> {
  const startOf = async (partition: number): Promise<LogPosition> => {
    const offset = positions.get(partition)
    if (offset !== undefined) return { offset }
    const topicPartition = { topic, partition }
    const timeoutMs = limit.remainingMs
    const result = await askRouter(router, { type: 'fetchOffset', topicPartition, offsetType: from, timeoutMs })
    if (result.type === 'success') return positionIn(result)
    const answer = result.type === 'unknownTopicOrPartition' ? ({ type: 'timedOut' } as const) : result
    throw toError(answer, `the request for the offsets of ${topic}/${partition}`, limit.timeoutMs)
  }
  return new Map(await mapInPortions(partitions, async partition => [partition, await startOf(partition)] as const))
}

/**
 * The acknowledged records above a committed offset. A range is written relative to the offset, and its end is
 * excluded.
 *
 *   offset 301, [302..305) and [307..309) acknowledged   =>   1-4,6-8
 * Returns the empty string when there are none, or when the metadata has another format.
 */
export function sparseAcksOf({ offset, metadata = '' }: OffsetAndMetadata): string {
  const ranges = metadata === '' ? [] : (acksIn({ offset, metadata }) ?? [])
  return ranges.map(({ from, to }) => `${from - offset}-${to - offset}`).join()
}
