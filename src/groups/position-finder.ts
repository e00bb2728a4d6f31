import { lifeOfTopic, type Offset, type TopicPartition } from '../model.js'
import { AS_STORED } from '../operations/as-stored.js'
import type { Failure, FetchConsumerOffsetResult, OffsetType } from '../operations.js'
import type { GroupHands } from './hands.js'
import type { TrackedPosition } from './offset-tracker.js'
import { isForbidden } from './refusals.js'
import { UnknownPartition } from './unknown-partition.js'

export interface PositionFinderOptions {
  readonly topicPartition: TopicPartition
  readonly hands: GroupHands
  /** Where to begin without a committed offset. */
  readonly start: 'latest' | 'earliest'
  readonly retryBackoffMs: number
  /** Kafka's ACLs do not allow it. It is tried again. */
  readonly onRefused: (failure: Failure) => void
}

/** What an offset that is outside of the log means. */
export type Recovery =
  /** Records up to `offset` were deleted. */
  | { readonly type: 'deleted'; readonly offset: Offset }
  /** The topic was created anew, and its log begins at `offset`. The group has read nothing of it. */
  | { readonly type: 'recreated'; readonly offset: Offset }
  /** The end of the log was lost; it ends at `offset` now. */
  | { readonly type: 'lost'; readonly offset: Offset }
  /** The group has committed an offset beyond the end, which is at `offset`, and begins there. */
  | { readonly type: 'notYet'; readonly offset: Offset }
  /** It is inside again. */
  | { readonly type: 'inRange' }

/** As Kafka-Pixy stores it: begin at the oldest record. */
const STORED_EARLIEST = -2
const METADATA_TIMEOUT_MS = 10_000

/** Finds where in a partition a group reads: at the start, and when its position is not in the log any more. */
export class PositionFinder {
  readonly #options: PositionFinderOptions
  readonly #unknown: UnknownPartition
  #topicId: string | undefined

  constructor(options: PositionFinderOptions) {
    this.#options = options
    this.#unknown = new UnknownPartition(options.retryBackoffMs)
  }

  /** The topic in whose log positions are; `undefined`: brokers do not tell, or have not yet. */
  get topicId(): string | undefined {
    return this.#topicId
  }

  /** Tries until it is known. `isNew`: the position is not committed yet. */
  findStart(onFound: (position: TrackedPosition, isNew: boolean) => void): void {
    // Nothing waits for the answer. Where it comes late, the topic that it tells of may be a later one than the position's.
    this.#idOfTopic(topicId => (this.#topicId ??= topicId))
    this.#findPosition(onFound)
  }

  #findPosition(onFound: (position: TrackedPosition, isNew: boolean) => void): void {
    const { hands, topicPartition } = this.#options
    const request = { groupId: hands.groupId, topicPartition, ...AS_STORED }
    hands.ask('fetchConsumerOffset', request, result => {
      const start = this.#startOf(result)
      if (isForbidden(result)) this.#options.onRefused(result)
      if (start === undefined) this.#again(() => this.#findPosition(onFound))
      else if (typeof start === 'object') onFound(start, false)
      else this.#bound(start, offset => onFound({ offset, metadata: '' }, true))
    })
  }

  /** @param hasRead the group has read up to the position, so it was in the log */
  recover(position: Offset, hasRead: boolean, onFound: (recovery: Recovery) => void): void {
    this.#idOfTopic(topicId => {
      const life = lifeOfTopic(this.#topicId, topicId)
      this.#topicId = topicId ?? this.#topicId
      if (life === 'same') this.#recoverInLog(position, hasRead, onFound)
      else if (life === 'unclear') this.#again(() => this.recover(position, hasRead, onFound))
      else this.#bound('earliest', offset => onFound({ type: 'recreated', offset }))
    })
  }

  #recoverInLog(position: Offset, hasRead: boolean, onFound: (recovery: Recovery) => void): void {
    this.#bound('earliest', earliest => {
      if (position < earliest) onFound({ type: 'deleted', offset: earliest })
      else {
        this.#bound('latest', latest => {
          if (position <= latest) onFound({ type: 'inRange' })
          else onFound({ type: hasRead ? 'lost' : 'notYet', offset: latest })
        })
      }
    })
  }

  /** `undefined`: not known yet. */
  #startOf(result: FetchConsumerOffsetResult): TrackedPosition | 'latest' | 'earliest' | undefined {
    if (result.type === 'notFound') return this.#options.start
    if (result.type !== 'success') return undefined
    const { offset, metadata = '', leaderEpoch } = result.offsetAndMetadata
    if (offset >= 0) return { offset, metadata, leaderEpoch }
    return offset === STORED_EARLIEST ? 'earliest' : 'latest'
  }

  /** Tries until a broker has answered. A topic that does not exist now has no id. */
  #idOfTopic(onKnown: (topicId: string | undefined) => void): void {
    const { hands, topicPartition } = this.#options
    const { topic } = topicPartition
    hands.ask('fetchTopicMetadata', { requestId: 0, topics: [topic], timeoutMs: METADATA_TIMEOUT_MS }, result => {
      if (result.type === 'success') onKnown(result.topics.get(topic)?.topicId)
      else this.#again(() => this.#idOfTopic(onKnown))
    })
  }

  #bound(offsetType: OffsetType, onOffset: (offset: Offset) => void): void {
    const { hands, topicPartition } = this.#options
    hands.ask('fetchOffset', { topicPartition, offsetType }, result => {
      if (result.type === 'success') onOffset(result.offset)
      else {
        if (isForbidden(result)) this.#options.onRefused(result)
        hands.after(this.#unknown.pauseMs(result.type), () => this.#bound(offsetType, onOffset))
      }
    })
  }

  #again(attempt: () => void): void {
    this.#options.hands.after(this.#options.retryBackoffMs, attempt)
  }
}
