import type { Offset, TopicPartition } from '../../core/model.js'
import type { FetchDataResult } from '../../router/messages/operations.js'
import type { GroupRuntime } from './group-runtime.js'
import { checkLog } from './log-check.js'
import type { OffsetTracker } from './offset-tracker.js'
import type { PositionFinder } from './position-finder.js'
import { UnknownPartition } from './refusals.js'

export interface TruncationCheckOptions {
  readonly topicPartition: TopicPartition
  readonly runtime: GroupRuntime
  /** Has the id of the topic to which the positions belong. */
  readonly finder: PositionFinder
  readonly retryBackoffMs: number
  /** The next offset to offer. */
  readonly position: () => Offset
  /** The offset after the last record that was read. Records from the position on are in memory. */
  readonly readEnd: () => Offset
  /** Called when the log was cut at the offset. `epochs`: the leader epochs, as fields of a log line. */
  readonly onCut: (offset: Offset, epochs: object) => void
}

/**
 * Detects that a log has lost its end (KIP-320), after an unclean election or after a broker was restored from a copy.
 * The log may have grown beyond the position since, so there may be no out-of-range error. Therefore the leader is
 * asked where the epoch of the last known record ends. This happens before the first read, and whenever the leader
 * epoch has changed since the last check. Records are offered only after the epoch in which they were read has been
 * checked. There is no check if no epoch is known, or if brokers cannot report the end of an epoch.
 */
export class TruncationCheck {
  readonly #options: TruncationCheckOptions
  readonly #unknown: UnknownPartition
  /** The leader epoch of the last check that found all records in the log; `undefined`: there was no such check. */
  #checkedIn: number | undefined
  /** Number of starts at a new position. The result of a check that began before the last start is ignored. */
  #beginnings = 0
  /** True when brokers cannot report where an epoch ends. */
  #isImpossible = false

  constructor(options: TruncationCheckOptions) {
    this.#options = options
    this.#unknown = new UnknownPartition(options.retryBackoffMs)
  }

  /** Begins at a new position, which is not checked yet. */
  begin(): void {
    this.#checkedIn = undefined
    this.#beginnings++
  }

  beforeRead(tracker: OffsetTracker, onDone: () => void): void {
    if (this.#checkedIn === undefined) this.#check(tracker, onDone)
    else onDone()
  }

  /**
   * @param onDone `isSure`: the result belongs to the log of the position, or no epoch is known. If false, the read
   *   must be repeated
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

  /** @param onDone `wasCut`: the log has lost its end, or reading begins anew, so the result of the last read is void */
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
   * The offset after the last known record. Records in memory and acknowledged records may lie after the position. A
   * committed offset above the position was set beyond the end of the log, and is ignored.
   */
  #topOf(tracker: OffsetTracker): Offset {
    const { position, readEnd } = this.#options
    return tracker.offset > position() ? readEnd() : Math.max(readEnd(), tracker.ackedEnd)
  }
}
