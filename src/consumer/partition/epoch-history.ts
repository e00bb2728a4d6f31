import type { EpochStart, Offset } from '../../core/model.js'

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
