import type { Offset, TopicPartition } from '../../core/model.js'
import type { FetchDataResult } from '../../router/messages/operations.js'
import type { GroupRuntime } from './group-runtime.js'
import { checkLog } from './log-check.js'
import type { OffsetTracker } from './offset-tracker.js'
import type { PositionFinder } from './position-finder.js'
import { UnknownPartition } from './unknown-partition.js'

export interface TruncationCheckOptions {
  readonly topicPartition: TopicPartition
  readonly runtime: GroupRuntime
  /** Knows the topic in whose log the positions are. */
  readonly finder: PositionFinder
  readonly retryBackoffMs: number
  /** The next offset to read. */
  readonly position: () => Offset
  /** The log was cut at the offset. `epochs`: which ones parted, for the log. */
  readonly onCut: (offset: Offset, epochs: object) => void
}

/**
 * Notices that the end of a log was lost (KIP-320): by an unclean election, or a broker that was restored from a copy. The
 * log may have grown beyond the position since, so that no offset is out of range. Therefore the leader is asked where the
 * epoch ends in which the last record was written that the group has read or acknowledged: before the first read, and
 * whenever another leader epoch answers than at the last check. No record is offered that was read in an epoch that is not
 * checked. Without a known epoch, and where brokers cannot tell, nothing is checked.
 */
export class TruncationCheck {
  readonly #options: TruncationCheckOptions
  readonly #unknown: UnknownPartition
  /** The leader epoch in which all was in the log at the last check; `undefined`: not checked. */
  #checkedIn: number | undefined
  /** Numbers the beginnings: a check of an earlier one says nothing. */
  #beginnings = 0
  /** Brokers cannot tell. */
  #isImpossible = false

  constructor(options: TruncationCheckOptions) {
    this.#options = options
    this.#unknown = new UnknownPartition(options.retryBackoffMs)
  }

  /** A new position: it is not checked. */
  begin(): void {
    this.#checkedIn = undefined
    this.#beginnings++
  }

  beforeRead(tracker: OffsetTracker, onDone: () => void): void {
    if (this.#checkedIn === undefined) this.#check(tracker, onDone)
    else onDone()
  }

  /**
   * @param onDone `isSure`: the result is of the log in which the position is, or no epoch tells; otherwise it has to be read
   *   once more
   */
  afterRead(tracker: OffsetTracker, result: FetchDataResult, onDone: (isSure: boolean) => void): void {
    if (result.type === 'offsetOutOfRange') {
      this.#check(tracker, wasCut => onDone(!wasCut))
      return
    }
    const leaderEpoch = result.type === 'success' || result.type === 'noMessages' ? result.leaderEpoch : undefined
    if (leaderEpoch === undefined || leaderEpoch === this.#checkedIn) onDone(true)
    else if (this.#isImpossible || tracker.epochs.before(this.#topOf(tracker)) === undefined) {
      this.#checkedIn = leaderEpoch
      onDone(true)
    } else this.#check(tracker, () => onDone(false))
  }

  /** @param onDone `wasCut`: everything else that was read before is not to be used */
  #check(tracker: OffsetTracker, onDone: (wasCut: boolean) => void): void {
    const { runtime, topicPartition, finder, retryBackoffMs, onCut } = this.#options
    const beginning = this.#beginnings
    if (this.#isImpossible) {
      onDone(false)
      return
    }
    const read = { topicPartition, topicId: finder.topicId, epochs: tracker.epochs, end: this.#topOf(tracker) }
    checkLog(runtime, read, now => {
      if (beginning !== this.#beginnings) {
        onDone(true)
        return
      }
      switch (now.type) {
        case 'kept':
          this.#checkedIn = now.currentLeaderEpoch
          onDone(false)
          break
        case 'cut': {
          const { offset, leaderEpoch, currentLeaderEpoch } = now
          this.#checkedIn = currentLeaderEpoch
          onCut(offset, { leaderEpoch, currentLeaderEpoch })
          onDone(true)
          break
        }
        case 'unclear': {
          const pauseMs = now.cause === 'failed' ? retryBackoffMs : this.#unknown.pauseMs(now.cause)
          runtime.after(pauseMs, () => this.#check(tracker, onDone))
          break
        }
        case 'impossible':
          this.#isImpossible = read.epochs.before(read.end) !== undefined
          onDone(false)
          break
        case 'another':
          onDone(false)
      }
    })
  }

  /**
   * Behind the last record that is known: what is acknowledged may lie behind the next one to read. Where it begins behind it,
   * the offset was set beyond the end of the log, and says nothing.
   */
  #topOf(tracker: OffsetTracker): Offset {
    const position = this.#options.position()
    return tracker.offset > position ? position : Math.max(position, tracker.ackedEnd)
  }
}
