import type { MonotonicClock } from '../../core/model.js'
import type { TopicMetadata } from '../../kafka/calls.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { Failure, ResultOf } from '../../router/messages/operations.js'
import { kafkaFailure, ownFailure } from '../../router/requests/failures.js'
import type { AskRouter } from '../partition/ask.js'

const LOOK_UP_TIMEOUT_MS = 5_000
/** Time between two look-ups when nothing is known to have changed. */
const CHECK_MS = 10_000
/** Least time between two look-ups. */
const MIN_GAP_MS = 250
/** A broker lags behind by one topic or two, and a topic may be created again without end. */
const MAX_FORMER_IDS = 10
const NO_LEADER = -1
const NOBODY_LEADS = ownFailure('noLeader', 'no partition of the topic has a leader', true)

export interface QueuePartitionsOptions {
  readonly topic: string
  readonly ask: AskRouter
  readonly now: MonotonicClock
  /** Called after each look-up that has found the topic. `failure`: it has no leader at all. */
  readonly onFound: (failure: Failure | undefined) => void
  readonly onFailed: (failure: Failure) => void
}

/** The partitions of the topic of a queue, and the brokers that lead them. */
export class QueuePartitions {
  readonly #options: QueuePartitionsOptions
  #topicId: string | undefined
  /** The last ids that the topic had before, the oldest first. A broker that lags behind may still tell them. */
  readonly #formerIds: string[] = []
  #places: ReadonlyMap<number, { readonly leaderId: number; readonly leaderEpoch: number }> = new Map()
  #isAsking = false
  #askedAt = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined
  #isOver = false

  constructor(options: QueuePartitionsOptions) {
    this.#options = options
  }

  /** `undefined`: the topic was not found yet. */
  get topicId(): string | undefined {
    return this.#topicId
  }

  get numbers(): Iterable<number> {
    return this.#places.keys()
  }

  /** `undefined`: there is no such partition, or it has no leader. */
  leaderOf(topicId: string, partition: number): number | undefined {
    const leaderId = topicId === this.#topicId ? this.#places.get(partition)?.leaderId : undefined
    return leaderId === NO_LEADER ? undefined : leaderId
  }

  /** Asks the brokers soon. Calls while a look-up waits count once. */
  lookUp(): void {
    if (!this.#isAsking && !this.#isOver) this.#lookUpAfter(this.#askedAt + MIN_GAP_MS - this.#options.now())
  }

  stop(): void {
    this.#isOver = true
    clearTimeout(this.#timer)
  }

  #lookUpAfter(delayMs: number): void {
    clearTimeout(this.#timer)
    if (delayMs > 0) this.#timer = setTimeout(() => this.#ask(), delayMs)
    else this.#ask()
  }

  #ask(): void {
    const { ask, topic, now } = this.#options
    this.#isAsking = true
    this.#askedAt = now()
    ask('fetchTopicMetadata', { topics: [topic], timeoutMs: LOOK_UP_TIMEOUT_MS }, result => {
      if (this.#isOver) return
      this.#isAsking = false
      const isComplete = this.#found(result)
      if (!this.#isAsking) this.#lookUpAfter(isComplete ? CHECK_MS : MIN_GAP_MS)
    })
  }

  /** @returns false when the topic has to be looked up again soon */
  #found(result: ResultOf<'fetchTopicMetadata'>): boolean {
    const { topic, onFound, onFailed } = this.#options
    const metadata = result.type === 'success' ? result.topics.get(topic) : undefined
    if (metadata?.errorCode === errorCodes.NONE && metadata.topicId !== undefined) {
      const isComplete = this.#take(metadata, metadata.topicId)
      onFound(this.#hasLeader ? undefined : NOBODY_LEADS)
      return isComplete
    }
    if (result.type === 'failed') onFailed(result)
    else if (metadata === undefined)
      onFailed(ownFailure('brokerUnreachable', 'no broker has told about the topic', true))
    else if (metadata.errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION)
      onFailed(ownFailure('unknownTopic', 'the topic does not exist', true))
    else onFailed(kafkaFailure(metadata.errorCode || errorCodes.UNSUPPORTED_VERSION))
    return false
  }

  get #hasLeader(): boolean {
    return [...this.#places.values()].some(({ leaderId }) => leaderId !== NO_LEADER)
  }

  /** @returns whether each partition has a leader */
  #take({ partitions }: TopicMetadata, topicId: string): boolean {
    if (this.#formerIds.includes(topicId)) return false
    if (this.#topicId !== undefined && topicId !== this.#topicId) {
      this.#formerIds.push(this.#topicId)
      if (this.#formerIds.length > MAX_FORMER_IDS) this.#formerIds.shift()
      this.#places = new Map()
    }
    this.#topicId = topicId
    const places = new Map(this.#places)
    for (const { partition, leaderId, leaderEpoch } of partitions) {
      // A broker that lags behind tells a former leader.
      const known = places.get(partition)
      if (known === undefined || leaderEpoch >= known.leaderEpoch) places.set(partition, { leaderId, leaderEpoch })
    }
    this.#places = places
    return [...places.values()].every(({ leaderId }) => leaderId !== NO_LEADER)
  }
}
