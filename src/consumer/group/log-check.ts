import type { EpochStart, Offset, TopicPartition } from '../../core/model.js'
import type { FetchEpochEndResult } from '../../router/messages/operations.js'
import type { GroupRuntime } from './group-runtime.js'
import { partitionNow } from './topic-look-ups.js'

/** Limit of epoch changes that are kept for unacknowledged records. Beyond it, the oldest are merged. */
const MAX_STARTS = 256
const KEPT_STARTS = 16

/**
 * The leader epochs of the records that a group has read in a partition. It has one entry for each change of the epoch,
 * not for each record. The noted epoch of a record may be higher than the epoch in which it was written, but never
 * lower: the record was in the log of the leader of the noted epoch (KIP-320).
 *
 *   from 0 on in epoch 3, from 80 on in epoch 5
 */
export class EpochHistory {
  /** The epochs and their first offsets, in ascending order. */
  #starts: EpochStart[]

  /** @param leaderEpoch the epoch of all records that were read before; absent: unknown */
  constructor(leaderEpoch?: number) {
    this.#starts = leaderEpoch === undefined ? [] : [{ offset: 0, leaderEpoch }]
  }

  /** True when no epoch is known. */
  get isEmpty(): boolean {
    return this.#starts.length === 0
  }

  /** The epoch of the last record before the offset; `undefined`: unknown. */
  before(offset: Offset): number | undefined {
    return this.#starts.findLast(start => start.offset < offset)?.leaderEpoch
  }

  /** Assumes this epoch for all records that were read, if no epoch is known yet. */
  begin(leaderEpoch: number): void {
    if (this.#starts.length === 0) this.#starts = [{ offset: 0, leaderEpoch }]
  }

  read(starts: readonly EpochStart[]): void {
    for (const start of starts) {
      const last = this.#starts.at(-1)
      if (start.leaderEpoch < 0 || (last && start.leaderEpoch <= last.leaderEpoch)) continue
      if (last && start.offset <= last.offset) this.#starts.pop()
      this.#starts.push(start)
    }
    while (this.#starts.length > MAX_STARTS) {
      const [first, second] = this.#starts
      this.#starts.splice(0, 2, { offset: first!.offset, leaderEpoch: second!.leaderEpoch })
    }
  }

  /**
   * The offset from which the log of a leader differs from the records that were read. The argument is the leader's
   * answer: its newest epoch that is not newer than the requested epoch, and the end of this epoch.
   */
  partsAt({ leaderEpoch, endOffset }: { readonly leaderEpoch: number; readonly endOffset: Offset }): Offset {
    const at = this.#starts.findLastIndex(start => start.leaderEpoch <= leaderEpoch)
    const ownEnd = at < 0 ? undefined : this.#starts[at + 1]?.offset
    return Math.min(endOffset, ownEnd ?? endOffset)
  }

  /**
   * Drops epochs before the offset, because records before it are not read again. Some earlier epochs are kept, to find
   * where another log differs.
   */
  dropBelow(offset: Offset): void {
    while (this.#starts.length > KEPT_STARTS && this.#starts[1]!.offset < offset) this.#starts.shift()
  }

  /** Drops the epochs of records from the offset on, because these records are gone. */
  cutAt(offset: Offset): void {
    this.#starts = this.#starts.filter(start => start.offset < offset)
  }
}

const TIMEOUT_MS = 10_000

export interface ReadLog {
  readonly topicPartition: TopicPartition
  /** The id of the topic that was read; `undefined`: brokers do not report topic ids. */
  readonly topicId: string | undefined
  readonly epochs: EpochHistory
  /** The offset after the last record that was read. */
  readonly end: Offset
}

/** The leader's report about the part of the log that was read. */
export type LogNow =
  /** The leader of this epoch has the whole part, or cannot report whether it has. */
  | { readonly type: 'kept'; readonly currentLeaderEpoch: number }
  /**
   * From `offset` on, the log has other records or no records. `leaderEpoch` is the epoch of the last record that was
   * read.
   */
  | { readonly type: 'cut'; readonly offset: Offset; readonly leaderEpoch: number; readonly currentLeaderEpoch: number }
  /** The topic was deleted or created again, so the epochs have no meaning. The next read detects this. */
  | { readonly type: 'another' }
  /** The answer does not help; `cause` is its type. */
  | { readonly type: 'unclear'; readonly cause: FetchEpochEndResult['type'] }
  /** No epoch is known, or the broker cannot report where an epoch ends. */
  | { readonly type: 'impossible' }

/** Asks the leader where the epoch of the last read record ends, to detect that the end of a log was lost (KIP-320). */
export function checkLog(runtime: Pick<GroupRuntime, 'ask'>, read: ReadLog, onChecked: (now: LogNow) => void): void {
  const { topicPartition, epochs, end } = read
  const leaderEpoch = epochs.before(end)
  if (leaderEpoch === undefined) {
    onChecked({ type: 'impossible' })
    return
  }
  runtime.ask('fetchEpochEnd', { topicPartition, leaderEpoch, timeoutMs: TIMEOUT_MS }, result => {
    switch (result.type) {
      case 'success': {
        const { currentLeaderEpoch } = result
        const offset = epochs.partsAt(result)
        if (offset >= end) onChecked({ type: 'kept', currentLeaderEpoch })
        else confirm(runtime, read, { type: 'cut', offset, leaderEpoch, currentLeaderEpoch }, onChecked)
        break
      }
      case 'notFound':
        onChecked({ type: 'kept', currentLeaderEpoch: result.currentLeaderEpoch })
        break
      case 'failed':
        onChecked(result.retriable ? { type: 'unclear', cause: result.type } : { type: 'impossible' })
        break
      default:
        onChecked({ type: 'unclear', cause: result.type })
    }
  })
}

function confirm(
  runtime: Pick<GroupRuntime, 'ask'>,
  { topicPartition, topicId }: ReadLog,
  cut: LogNow,
  onChecked: (now: LogNow) => void
): void {
  partitionNow(runtime, topicPartition, topicId, now => {
    if (now === 'same') onChecked(cut)
    else onChecked(now === 'unclear' ? { type: 'unclear', cause: 'timedOut' } : { type: 'another' })
  })
}
