import type { EpochStart, Offset } from '../../core/model.js'

/** More changes of leaders than this between an acknowledged record and the last one that was read are told less exactly. */
const MAX_STARTS = 256
const KEPT_STARTS = 16

/**
 * The leader epochs in which the records of a partition were written, as far as a group has read them: one entry for each
 * change of the leader, and none per record. An epoch may be too high for its record, but never too low: what matters is
 * that the record was in the log of a leader in that epoch (KIP-320).
 *
 *   from 0 on in epoch 3, from 80 on in epoch 5
 */
export class EpochHistory {
  /** Offsets and epochs ascend. */
  #starts: EpochStart[]

  /** @param leaderEpoch of all that was read before; absent: not known */
  constructor(leaderEpoch?: number) {
    this.#starts = leaderEpoch === undefined ? [] : [{ offset: 0, leaderEpoch }]
  }

  /** No epoch is known. */
  get isEmpty(): boolean {
    return this.#starts.length === 0
  }

  /** The epoch of the last record before the offset; `undefined`: not known. */
  before(offset: Offset): number | undefined {
    return this.#starts.findLast(start => start.offset < offset)?.leaderEpoch
  }

  /** Takes the epoch for all records before those that are read next, where no epoch is known yet. */
  begin(leaderEpoch: number): void {
    if (this.#starts.length === 0) this.#starts = [{ offset: 0, leaderEpoch }]
  }

  /** Records were read that were written in these epochs. */
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

  /** Where a log, in which the newest of the known epochs not above one that is asked for ends so, parts from what was read. */
  partsAt({ leaderEpoch, endOffset }: { readonly leaderEpoch: number; readonly endOffset: Offset }): Offset {
    const at = this.#starts.findLastIndex(start => start.leaderEpoch <= leaderEpoch)
    const ownEnd = at < 0 ? undefined : this.#starts[at + 1]?.offset
    return Math.min(endOffset, ownEnd ?? endOffset)
  }

  /** Nothing before the offset is read again. Some epochs are kept, to find where another log parts from the one that was read. */
  dropBelow(offset: Offset): void {
    while (this.#starts.length > KEPT_STARTS && this.#starts[1]!.offset < offset) this.#starts.shift()
  }

  /** The records from the offset on are gone. */
  cutAt(offset: Offset): void {
    this.#starts = this.#starts.filter(start => start.offset < offset)
  }
}
