import {
  incarnationOfTopic,
  type LogPosition,
  type Offset,
  positionIn,
  type TopicPartition,
  topicPartitionKey
} from '../../core/model.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { AS_STORED } from '../../router/messages/as-stored.js'
import type { Failure, OffsetType } from '../../router/messages/operations.js'
import type { GroupRuntime } from './group-runtime.js'
import { isOfAnother, markIn } from './incarnation-mark.js'
import type { TrackedPosition } from './offset-tracker.js'
import { isForbidden } from './refusals.js'
import type { FindStart, Start } from './topic-start.js'
import { UnknownPartition } from './unknown-partition.js'

export interface PositionFinderOptions {
  readonly topicPartition: TopicPartition
  readonly runtime: GroupRuntime
  /** Where to begin without a committed offset. */
  readonly start: FindStart
  /** The group begins at the earliest record, whenever that can be asked for: nothing has to be committed first. */
  readonly onEarliest: () => void
  readonly retryBackoffMs: number
  /** Kafka's ACLs do not allow it. It is tried again. */
  readonly onRefused: (failure: Failure) => void
}

/** What an offset that is outside of the log means. */
export type Recovery =
  /** Records up to `offset` were deleted. */
  | { readonly type: 'deleted'; readonly offset: Offset }
  /** The topic was created anew, and its log begins at `offset`. The group has read nothing of it. */
  | ({ readonly type: 'recreated' } & LogPosition)
  /** The end of the log was lost; it ends at `offset` now. */
  | ({ readonly type: 'lost' } & LogPosition)
  /** The group has committed an offset beyond the end, which is at `offset`, and begins there. */
  | { readonly type: 'notYet'; readonly offset: Offset }
  /** It is inside again. */
  | { readonly type: 'inRange' }

/** As Kafka-Pixy stores it: begin at the oldest record. */
const STORED_EARLIEST = -2
const METADATA_TIMEOUT_MS = 10_000

const CREATED_ANEW =
  'an offset was committed in a former topic of this name; the group reads the new one from its beginning'

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
    const missing = (): void => {
      this.#options.onEarliest()
      this.#afterPause('unknownTopicOrPartition', () => this.findStart(onFound))
    }
    // The incarnation is known before the position, which is in its log or in that of a later one.
    this.#idOfTopic((topicId, isThere) => {
      this.#topicId = topicId
      if (isThere) this.#findPosition(onFound, missing)
      else missing()
    })
  }

  #findPosition(onFound: (position: TrackedPosition, isNew: boolean) => void, onMissing: () => void): void {
    const { runtime, topicPartition } = this.#options
    const request = { groupId: runtime.groupId, topicPartition, ...AS_STORED }
    const begin = (position: LogPosition): void => onFound({ ...position, metadata: '' }, true)
    runtime.ask('fetchConsumerOffset', request, result => {
      if (isForbidden(result)) this.#options.onRefused(result)
      if (result.type === 'notFound') this.#findNewStart(begin, onMissing)
      else if (result.type !== 'success') this.#again(() => this.#findPosition(onFound, onMissing))
      else {
        const { offset, metadata = '', leaderEpoch } = result.offsetAndMetadata
        if (offset < 0) this.#bound(offset === STORED_EARLIEST ? 'earliest' : 'latest', begin, onMissing)
        else if (!isOfAnother(markIn({ offset, metadata }), this.#topicId))
          onFound({ offset, metadata, leaderEpoch }, false)
        else
          this.#confirm(
            () => this.#beginAnew(offset, begin, onMissing),
            () => this.findStart(onFound)
          )
      }
    })
  }

  /** A broker whose metadata lags names the former incarnation: what is committed is believed to be void when it is told twice. */
  #confirm(isSame: () => void, isAnother: () => void): void {
    this.#again(() => this.#idOfTopic(topicId => (topicId === this.#topicId ? isSame() : isAnother())))
  }

  /** The committed offset belongs to a former incarnation of the topic. */
  #beginAnew(offset: Offset, begin: (position: LogPosition) => void, onMissing: () => void): void {
    const { runtime, topicPartition, onEarliest } = this.#options
    const partition = topicPartitionKey(topicPartition.topic, topicPartition.partition)
    runtime.log.warn({ partition, committed: offset }, CREATED_ANEW)
    onEarliest()
    this.#bound('earliest', begin, onMissing)
  }

  /** Where the group has no committed offset. */
  #findNewStart(begin: (position: LogPosition) => void, onMissing: () => void): void {
    this.#options.start(start => {
      if (start === 'latest') this.#bound('latest', end => this.#beginAtEnd(end, begin, onMissing), onMissing)
      else if (start === 'earliest' || this.#isInAnother(start)) {
        this.#options.onEarliest()
        this.#bound('earliest', begin, onMissing)
      } else begin(positionIn(start))
    })
  }

  /** While the end was asked for, requests may have been answered, and records written that the group is to be offered. */
  #beginAtEnd(end: LogPosition, begin: (position: LogPosition) => void, onMissing: () => void): void {
    this.#options.start(start => (start === 'latest' ? begin(end) : this.#findNewStart(begin, onMissing)))
  }

  #isInAnother(start: Start): boolean {
    return typeof start === 'object' && incarnationOfTopic(start.topicId, this.#topicId) === 'another'
  }

  /** @param hasRead the group has read up to the position, so it was in the log */
  recover(position: Offset, hasRead: boolean, onFound: (recovery: Recovery) => void): void {
    this.#idOfTopic(topicId => {
      const incarnation = incarnationOfTopic(this.#topicId, topicId)
      this.#topicId = topicId ?? this.#topicId
      if (incarnation === 'same') this.#recoverInLog(position, hasRead, onFound)
      else if (incarnation === 'unclear') this.#again(() => this.recover(position, hasRead, onFound))
      else this.#bound('earliest', earliest => onFound({ type: 'recreated', ...earliest }))
    })
  }

  #recoverInLog(position: Offset, hasRead: boolean, onFound: (recovery: Recovery) => void): void {
    this.#bound('earliest', earliest => {
      if (position < earliest.offset) onFound({ type: 'deleted', offset: earliest.offset })
      else {
        this.#bound('latest', latest => {
          if (position <= latest.offset) onFound({ type: 'inRange' })
          else if (hasRead) onFound({ type: 'lost', ...latest })
          else onFound({ type: 'notYet', offset: latest.offset })
        })
      }
    })
  }

  /** Tries until a broker has answered. A topic that does not exist now has no id. */
  #idOfTopic(onKnown: (topicId: string | undefined, isThere: boolean) => void): void {
    const { runtime, topicPartition } = this.#options
    const { topic } = topicPartition
    runtime.ask('fetchTopicMetadata', { requestId: 0, topics: [topic], timeoutMs: METADATA_TIMEOUT_MS }, result => {
      if (result.type !== 'success') this.#again(() => this.#idOfTopic(onKnown))
      else {
        const { topicId, errorCode } = result.topics.get(topic) ?? {}
        onKnown(topicId, errorCode !== errorCodes.UNKNOWN_TOPIC_OR_PARTITION)
      }
    })
  }

  /** @param onMissing called when the partition does not exist; without it, the partition is looked for again */
  #bound(offsetType: OffsetType, onFound: (position: LogPosition) => void, onMissing?: () => void): void {
    const { runtime, topicPartition } = this.#options
    runtime.ask('fetchOffset', { topicPartition, offsetType }, result => {
      if (result.type === 'success') onFound(positionIn(result))
      else {
        if (isForbidden(result)) this.#options.onRefused(result)
        if (result.type === 'unknownTopicOrPartition' && onMissing) onMissing()
        else this.#afterPause(result.type, () => this.#bound(offsetType, onFound, onMissing))
      }
    })
  }

  #afterPause(type: string, attempt: () => void): void {
    this.#options.runtime.after(this.#unknown.pauseMs(type), attempt)
  }

  #again(attempt: () => void): void {
    this.#options.runtime.after(this.#options.retryBackoffMs, attempt)
  }
}
