import { incarnationOfTopic, type LogPosition, type Offset, positionIn } from '../../core/model.js'
import { errorCodes, kafkaErrorOf } from '../../kafka/error-codes.js'
import { AS_STORED, type Failure, type OffsetType } from '../../router/messages/operations.js'
import type { PartitionLog } from '../partition/partition-log.js'
import { endSetIn, isOfAnother, markIn, STORED_LATEST } from './ack-encoding.js'
import type { GroupRuntime } from './group-runtime.js'
import type { TrackedPosition } from './offset-tracker.js'
import { isForbidden, isForbiddenRead, pausesOfUnknown } from './refusals.js'
import type { FindStart, Start } from './topic-start.js'

export interface PositionFinderOptions {
  readonly log: PartitionLog
  readonly runtime: GroupRuntime
  /** Finds the start if there is no committed offset. */
  readonly start: FindStart
  /** Called when the group begins at the earliest record. This start is final without a commit. */
  readonly onEarliest: () => void
  readonly retryBackoffMs: number
  /** Called when Kafka's ACLs do not allow the look-up. The look-up is repeated. */
  readonly onRefused: (failure: Failure) => void
}

const METADATA_TIMEOUT_MS = 10_000

const CREATED_ANEW =
  'an offset was committed in a former topic of this name; the group reads the new one from its beginning'

/** Finds where a group begins to read a partition. */
export class PositionFinder {
  readonly #options: PositionFinderOptions
  readonly #pauseMs: ReturnType<typeof pausesOfUnknown>

  constructor(options: PositionFinderOptions) {
    this.#options = options
    this.#pauseMs = pausesOfUnknown(options.retryBackoffMs)
  }

  /** Finds the first position. Look-ups are repeated until it is known. `isNew`: the position is not committed yet. */
  findStart(onFound: (position: TrackedPosition, isNew: boolean) => void): void {
    const missing = (): void => {
      this.#options.onEarliest()
      this.#afterPause('missing', () => this.findStart(onFound))
    }
    // The topic id is looked up first, so the position belongs to this incarnation or a later one.
    this.#idOfTopic((topicId, isThere) => {
      this.#options.log.topicId = topicId
      if (isThere) this.#findPosition(onFound, missing)
      else missing()
    })
  }

  #findPosition(onFound: (position: TrackedPosition, isNew: boolean) => void, onMissing: () => void): void {
    const { runtime, log } = this.#options
    const request = { groupId: runtime.groupId, topicPartition: log.topicPartition, ...AS_STORED, requireStable: true }
    const begin = (position: LogPosition): void => onFound({ ...position, metadata: '' }, true)
    runtime.ask('fetchConsumerOffset', request, result => {
      if (isForbidden(result)) this.#options.onRefused(result)
      if (result.type === 'notFound') this.#findNewStart(begin, onMissing)
      else if (result.type !== 'success') this.#again(() => this.#findPosition(onFound, onMissing))
      else {
        const { offset, metadata = '', leaderEpoch } = result.offsetAndMetadata
        const end = endSetIn({ offset, metadata })
        if (isOfAnother(markIn({ offset, metadata }), log.topicId))
          this.#confirm(
            () => this.#beginAnew(offset, begin, onMissing),
            () => this.findStart(onFound)
          )
        else if (end !== undefined) begin({ offset: end })
        else if (offset >= 0) onFound({ offset, metadata, leaderEpoch }, false)
        // Kafka-Pixy begins at the oldest record for every other offset below the log.
        else this.#bound(offset === STORED_LATEST ? 'latest' : 'earliest', begin, onMissing)
      }
    })
  }

  /**
   * Confirms a topic id by a second look-up. A broker whose metadata lags may report a former incarnation, so committed
   * offsets are void only after two look-ups.
   */
  #confirm(isSame: () => void, isAnother: () => void): void {
    this.#again(() => this.#idOfTopic(topicId => (topicId === this.#options.log.topicId ? isSame() : isAnother())))
  }

  /** Begins at the earliest record, because the committed offset belongs to a former incarnation of the topic. */
  #beginAnew(offset: Offset, begin: (position: LogPosition) => void, onMissing: () => void): void {
    const { runtime, log, onEarliest } = this.#options
    runtime.log.warn({ partition: log.name, committed: offset }, CREATED_ANEW)
    onEarliest()
    this.#bound('earliest', begin, onMissing)
  }

  /** Finds the start of a group that has no committed offset. */
  #findNewStart(begin: (position: LogPosition) => void, onMissing: () => void): void {
    this.#options.start(start => {
      if (start === 'latest') this.#bound('latest', end => this.#beginAtEnd(end, begin, onMissing), onMissing)
      else if (typeof start === 'object' && 'timestampMs' in start) this.#beginAtTime(start, begin, onMissing)
      else if (start === 'earliest' || this.#isInAnother(start)) {
        this.#options.onEarliest()
        this.#bound('earliest', begin, onMissing)
      } else begin(positionIn(start))
    })
  }

  /**
   * Begins at the end, unless requests were answered while the end was looked up. Then records before the end must be
   * offered.
   */
  #beginAtEnd(end: LogPosition, begin: (position: LogPosition) => void, onMissing: () => void): void {
    this.#options.start(start => (start === 'latest' ? begin(end) : this.#findNewStart(begin, onMissing)))
  }

  /**
   * Begins at the first record from a time on. The end is looked up before: the broker says that no record is so late, one is
   * written, then the broker tells the end, which is behind that record.
   */
  #beginAtTime(time: OffsetType, begin: (position: LogPosition) => void, onMissing: () => void): void {
    const nearer = (end: LogPosition): void =>
      this.#bound(time, found => begin(found.offset < end.offset ? found : end), onMissing)
    this.#bound('latest', nearer, onMissing)
  }

  #isInAnother(start: Start): boolean {
    return (
      typeof start === 'object' &&
      'topicId' in start &&
      incarnationOfTopic(start.topicId, this.#options.log.topicId) === 'another'
    )
  }

  /** Looks up the topic id until a broker tells it. A topic that does not exist, or may not be looked at, has no id. */
  #idOfTopic(onKnown: (topicId: string | undefined, isThere: boolean) => void): void {
    const { runtime, log } = this.#options
    const { topic } = log.topicPartition
    runtime.ask('fetchTopicMetadata', { topics: [topic], timeoutMs: METADATA_TIMEOUT_MS }, result => {
      if (result.type !== 'success') this.#again(() => this.#idOfTopic(onKnown))
      else {
        const { topicId, errorCode = errorCodes.NONE } = result.topics.get(topic) ?? {}
        const isThere = errorCode !== errorCodes.UNKNOWN_TOPIC_OR_PARTITION
        // Without its id the group would go on in another topic of this name.
        if (isThere && kafkaErrorOf(errorCode).retriable) this.#again(() => this.#idOfTopic(onKnown))
        else onKnown(topicId, isThere)
      }
    })
  }

  #bound(offsetType: OffsetType, onFound: (position: LogPosition) => void, onMissing: () => void): void {
    this.#options.log.bound(offsetType, found => {
      if (!('type' in found)) onFound(found)
      else {
        if (isForbiddenRead(found)) this.#options.onRefused(found.failure)
        if (found.type === 'missing') onMissing()
        else this.#afterPause(found.type, () => this.#bound(offsetType, onFound, onMissing))
      }
    })
  }

  #afterPause(type: string, attempt: () => void): void {
    this.#options.runtime.after(this.#pauseMs(type), attempt)
  }

  #again(attempt: () => void): void {
    this.#options.runtime.after(this.#options.retryBackoffMs, attempt)
  }
}
