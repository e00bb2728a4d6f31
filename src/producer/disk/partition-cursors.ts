/** A partition's number, or this for records that may go to any partition. */
export const ANY_PARTITION = -1

/**
 * Where the records of one topic stand in the log. Records of one partition have a cursor, those that may go anywhere have
 * another one. Cursors go on together, at {@link position}; one that has no room stays behind, and catches up later:
 *
 *   sequences   10 11 12 13 14 15 16 17 18
 *   partition    0  1  0  1  1  0  1  0  1      partition 1 has no room for 13
 *
 *   position 19, behind {1 -> 13}: 15 and 17 were taken, 13, 14, 16 and 18 are to be read again for partition 1
 */
export class PartitionCursors {
  #position: number
  readonly #behind = new Map<number, number>()
  /** Of those behind: they take no part in the read under way. */
  readonly #stalled = new Set<number>()
  /** Whether the next read is for cursors that are behind, when both could go on. */
  #isCatchingUp = false

  constructor(position: number) {
    this.#position = position
  }

  get position(): number {
    return this.#position
  }

  get behindCount(): number {
    return this.#behind.size
  }

  isBehind(cursor: number): boolean {
    return this.#behind.has(cursor)
  }

  /** There is nothing before `sequence`. */
  skipTo(sequence: number): void {
    this.#position = Math.max(this.#position, sequence)
  }

  /** The lowest sequence that some cursor has not taken. */
  get lowest(): number {
    return Math.min(this.#position, ...this.#behind.values())
  }

  /**
   * Where the next read begins.
   *
   * @param canTake whether a cursor that is behind has room
   * @param canGoOn whether anything is there at the position, and some cursor that is not behind has room
   */
  next(canTake: (cursor: number) => boolean, canGoOn: boolean): number | undefined {
    this.#stalled.clear()
    let behind = Number.POSITIVE_INFINITY
    for (const [cursor, sequence] of this.#behind) {
      if (canTake(cursor)) behind = Math.min(behind, sequence)
      else this.#stalled.add(cursor)
    }
    const canCatchUp = behind < Number.POSITIVE_INFINITY
    if (!canCatchUp && !canGoOn) return undefined
    this.#isCatchingUp = canCatchUp && (!canGoOn || !this.#isCatchingUp)
    if (this.#isCatchingUp) return behind
    for (const cursor of this.#behind.keys()) this.#stalled.add(cursor)
    return this.#position
  }

  /** Whether the entry at `sequence` is the cursor's to take now, rather than taken before or out of its turn. */
  isNext(cursor: number, sequence: number): boolean {
    return !this.#stalled.has(cursor) && sequence >= (this.#behind.get(cursor) ?? this.#position)
  }

  /** The cursor has no room for the entry at `sequence`. */
  stall(cursor: number, sequence: number): void {
    this.#behind.set(cursor, sequence)
    this.#stalled.add(cursor)
  }

  /** Everything before `sequence` was offered to those that took part. */
  reached(sequence: number): void {
    if (sequence >= this.#position) this.#position = sequence
    for (const [cursor, from] of this.#behind) {
      if (this.#stalled.has(cursor) || from > sequence) continue
      if (sequence >= this.#position) this.#behind.delete(cursor)
      else this.#behind.set(cursor, sequence)
    }
  }

  /** All cursors begin again at `sequence`, if they are not behind it. */
  rewind(sequence: number): void {
    this.#position = Math.min(this.lowest, sequence)
    this.#behind.clear()
    this.#stalled.clear()
  }
}
