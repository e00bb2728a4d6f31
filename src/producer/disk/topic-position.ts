import { type CursorCapacity, PartitionCursors } from './partition-cursors.js'

/**
 * How far one topic has read the log: which entries may be there, which of them its cursors have passed, and which ones
 * partitions hold already although cursors are going to read them again.
 */
export class TopicPosition {
  readonly cursors: PartitionCursors
  /** Entries of an earlier process may be in the log. */
  #hasBacklog: boolean
  /** One past the last entry that this process has appended or read. */
  #end = 0
  /** Entries that partitions hold already, of those from the lowest position on. */
  readonly #held = new Set<number>()
  /** The last of them: once all cursors have passed it, none has to be remembered. */
  #lastHeld = 0
  #isVoid = false

  /** @param backlogFrom sequence of the first entry that an earlier process left; `undefined`: it left none */
  constructor(backlogFrom: number | undefined) {
    this.cursors = new PartitionCursors(backlogFrom ?? 0)
    this.#hasBacklog = backlogFrom !== undefined
  }

  get end(): number {
    return this.#end
  }

  /**
   * The read under way began before a rewind, and does not count: a read from entry 100 on is under way, a partition drops entry 90,
   * and cursors go back to 90; then the read offers 100 to 119, with which cursors would pass 90 to 99 unsent.
   */
  get isVoid(): boolean {
    return this.#isVoid
  }

  /** The log has entries that some cursor has not passed. */
  get hasMore(): boolean {
    return this.cursors.behind.size > 0 || this.#hasMoreAtPosition
  }

  get #hasMoreAtPosition(): boolean {
    return this.#hasBacklog || this.cursors.position < this.#end
  }

  /** An entry was appended to the log. */
  appended(sequence: number): void {
    if (!this.hasMore) this.cursors.skipTo(sequence)
    this.#end = Math.max(this.#end, sequence + 1)
  }

  /** Sequence at which a read begins; `undefined`: there is nothing to read, or no capacity for it. */
  next(capacity: CursorCapacity): number | undefined {
    const canGoOn = this.#hasMoreAtPosition && capacity.isAnyHungry()
    return this.cursors.next(cursor => capacity.isHungry(cursor), canGoOn)
  }

  /** Whether a partition holds the entry already. */
  isHeld(sequence: number): boolean {
    return this.#held.has(sequence)
  }

  /** All entries before `sequence` were offered. `isAtEnd`: the log has no later one. */
  reached(sequence: number, isAtEnd: boolean): void {
    this.cursors.reached(sequence)
    // After a rewind, entries up to here are read again.
    this.#end = Math.max(this.#end, this.cursors.position)
    if (isAtEnd) this.#hasBacklog = false
    if (this.#held.size > 0 && this.cursors.lowest > this.#lastHeld) this.#held.clear()
  }

  /** Cursors go back to `sequence`, or to the lowest position if that is before it. */
  rewind(sequence: number): void {
    this.cursors.rewind(sequence)
    this.#isVoid = true
  }

  /** Like {@link rewind}, to the lowest of the `taken` entries. Partitions keep the `held` ones, and only these. */
  rewindTo(taken: readonly number[], held: readonly number[]): void {
    this.#held.clear()
    this.#lastHeld = 0
    for (const sequence of held) {
      this.#held.add(sequence)
      this.#lastHeld = Math.max(this.#lastHeld, sequence)
    }
    this.rewind(taken.reduce((least, one) => Math.min(least, one), Number.POSITIVE_INFINITY))
  }

  /** A read begins, at a position after the rewind: what it offers counts. */
  begin(): void {
    this.#isVoid = false
  }
}
