import type { TopicBeginning } from '../consumer/group/consumer-groups.js'
import { acksIn, isOfAnother, markIn, withoutMark } from '../consumer/group/incarnation-mark.js'
import type { ActorRef } from '../core/actor/actor.js'
import { CastellanError, KafkaError, TimedOutError } from '../core/errors.js'
import type { MonotonicClock, Offset, OffsetAndMetadata, TopicPartition } from '../core/model.js'
import type { TopicMetadata } from '../kafka/broker-client.js'
import { AS_STORED } from '../router/messages/as-stored.js'
import type { Failure, RouterMessage } from '../router/messages/operations.js'
import { mapInPortions } from '../router/requests/portions.js'
import { askRouter } from '../router/routing/ask-router.js'
import type { CommitOutcome, GroupOffset } from './gateway.js'
import { TimeLimit } from './time-limit.js'

/** Pauses between attempts to commit for a partition that a coordinator does not know although it exists. */
const FIRST_PAUSE_MS = 100
const MAX_PAUSE_MS = 1_000

/** `isVoid`: what is committed belongs to a former incarnation of the topic. */
interface FoundOffset extends GroupOffset {
  readonly isVoid: boolean
}

/** Reads and commits the offsets of groups by requests to the Router, all of them within one time limit. */
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
   * @param begins where the group begins in partitions without a committed offset, as far as this process knows
   * @returns `undefined`: the topic has been deleted meanwhile
   */
  async read(
    { topic, topicId, partitions }: Pick<TopicMetadata, 'topic' | 'topicId' | 'partitions'>,
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
    const { metadata } = withoutMark(position)
    const committed = metadata === '' ? { offset: stored.offset } : { ...stored, metadata }
    return { partition, earliest, latest, committed, acknowledged: acksIn(position) ?? [], isVoid: false }
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

  /** A coordinator whose metadata lags does not know a partition that exists: the commit is made again while there is time. */
  async #commitOne(topicPartition: TopicPartition, offsetAndMetadata: OffsetAndMetadata): Promise<CommitOutcome> {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)) {
      const outcome = await this.#tryToCommit(topicPartition, offsetAndMetadata)
      if (outcome !== 'unknownTopicOrPartition' || this.#limit.remainingMs <= pauseMs) return outcome
      if (!(await this.#exists(topicPartition))) return outcome
      await new Promise(resolve => setTimeout(resolve, pauseMs))
    }
  }

  async #exists({ topic, partition }: TopicPartition): Promise<boolean> {
    const request = { requestId: 0, topics: [topic], timeoutMs: this.#limit.remainingMs }
    const result = await askRouter(this.#router, { type: 'fetchTopicMetadata', ...request })
    const partitions = result.type === 'success' ? result.topics.get(topic)?.partitions : undefined
    return partitions?.some(one => one.partition === partition) === true
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
    return toError(result, `the offsets of group ${this.#groupId}`, this.#limit.timeoutMs)
  }
}

type Unanswered = Failure | { readonly type: 'timedOut'; readonly reason?: string }

/** The error for a result that is no answer. */
export function toError(result: Unanswered, what: string, timeoutMs: number): CastellanError {
  if (result.type === 'timedOut') return new TimedOutError(what, timeoutMs, result.reason)
  const { code, errorCode, message, retriable } = result
  return code === 'kafka' && errorCode !== undefined
    ? new KafkaError(errorCode, message, retriable)
    : new CastellanError(code, message, retriable)
}
