import type { Offset, TopicPartition } from '../model.js'
import type { FetchConsumerOffsetResult, OffsetType } from '../operations.js'
import type { GroupHands } from './hands.js'
import type { TrackedPosition } from './offset-tracker.js'

export interface PositionFinderOptions {
  readonly topicPartition: TopicPartition
  readonly hands: GroupHands
  /** Where to begin without a committed offset. */
  readonly start: 'latest' | 'earliest'
  readonly retryBackoffMs: number
}

/** What an offset that is outside of the log means. */
export type Recovery =
  /** Records up to `offset` were deleted. */
  | { readonly type: 'deleted'; readonly offset: Offset }
  /** The end of the log was lost, or the topic was created anew; it ends at `offset` now. */
  | { readonly type: 'lost'; readonly offset: Offset }
  /** The group has committed an offset beyond the end, which is at `offset`, and begins there. */
  | { readonly type: 'notYet'; readonly offset: Offset }
  /** It is inside again. */
  | { readonly type: 'inRange' }

/** As Kafka-Pixy stores it: begin at the oldest record. */
const STORED_EARLIEST = -2

/** Finds where in a partition a group reads: at the start, and when its position is not in the log any more. */
export class PositionFinder {
  readonly #options: PositionFinderOptions

  constructor(options: PositionFinderOptions) {
    this.#options = options
  }

  /** Tries until it is known. `isNew`: the position is not committed yet. */
  findStart(onFound: (position: TrackedPosition, isNew: boolean) => void): void {
    const { hands, topicPartition } = this.#options
    const request = { groupId: hands.groupId, topicPartition, rawMetadata: true, negativeOffset: true }
    hands.ask('fetchConsumerOffset', request, result => {
      const start = this.#startOf(result)
      if (start === undefined) this.#again(() => this.findStart(onFound))
      else if (typeof start === 'object') onFound(start, false)
      else this.#bound(start, offset => onFound({ offset, metadata: '' }, true))
    })
  }

  /** @param hasRead the group has read up to the position, so it was in the log */
  recover(position: Offset, hasRead: boolean, onFound: (recovery: Recovery) => void): void {
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
    const { offset, metadata = '' } = result.offsetAndMetadata
    if (offset >= 0) return { offset, metadata }
    return offset === STORED_EARLIEST ? 'earliest' : 'latest'
  }

  #bound(offsetType: OffsetType, onOffset: (offset: Offset) => void): void {
    const { hands, topicPartition } = this.#options
    hands.ask('fetchOffset', { topicPartition, offsetType }, result => {
      if (result.type === 'success') onOffset(result.offset)
      else this.#again(() => this.#bound(offsetType, onOffset))
    })
  }

  #again(attempt: () => void): void {
    this.#options.hands.after(this.#options.retryBackoffMs, attempt)
  }
}
