import type { ReadAhead, Starved } from './read-ahead.js'

/** Number of the cursor of records that may go to any partition. Other cursors have the number of their partition. */
export const ANY_PARTITION = -1

/**
 * Positions of one topic in the log. The records of each partition have a cursor; those that may go anywhere have another
 * one. Cursors move on together, at {@link position}. A cursor without capacity stays behind and catches up later:
 *
 *   sequences   10 11 12 13 14 15 16 17 18
 *   partition    0  1  0  1  1  0  1  0  1      partition 1 has no capacity for 13
 *
 *   position 19, behind {1 -> 13}: 15 and 17 were taken, 13, 14, 16 and 18 are to be read again for partition 1
 */
export class PartitionCursors {
  #position: number
  readonly #behind = new Map<number, number>()
  /** Cursors behind the position that had no capacity for an entry => the sequence of this entry. */
  readonly #stalledAt = new Map<number, number>()
  /** Cursors that are behind and take no part in the present read. */
  readonly #stalled = new Set<number>()
  /** The present read is for cursors that are behind. Both kinds of read alternate. */
  #isCatchingUp = false

  constructor(position: number) {
    this.#position = position
  }

  get position(): number {
    return this.#position
  }

  /** Cursors that are behind, with the sequence of the first entry that each has not passed. */
  get behind(): ReadonlyMap<number, number> {
    return this.#behind
  }

  /** The cursor that had no capacity for the entry at `sequence`; `undefined`: none is known. */
  stalledAt(sequence: number): number | undefined {
    return this.#stalledAt.get(sequence)
  }

  /** No entry is before `sequence`. */
  skipTo(sequence: number): void {
    this.#position = Math.max(this.#position, sequence)
  }

  /** Sequence of the first entry that some cursor has not passed. */
  get lowest(): number {
    let lowest = this.#position
    for (const sequence of this.#behind.values()) if (sequence < lowest) lowest = sequence
    return lowest
  }

  /**
   * Position where the next read begins; `undefined`: nothing can be read.
   *
   * @param canTake whether a cursor that is behind has capacity
   * @param canGoOn whether there are entries at the position, and a cursor that is not behind has capacity for them
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

  /**
   * Whether the cursor takes the entry at `sequence` now. False: the cursor has passed it, or takes no part in this
   * read.
   */
  isNext(cursor: number, sequence: number): boolean {
    return !this.#stalled.has(cursor) && sequence >= (this.#behind.get(cursor) ?? this.#position)
  }

  /** The cursor has no capacity for the entry at `sequence`. */
  stall(cursor: number, sequence: number): void {
    this.#passed(cursor)
    this.#behind.set(cursor, sequence)
    this.#stalledAt.set(sequence, cursor)
    this.#stalled.add(cursor)
  }

  /** All entries before `sequence` were offered to the cursors that took part. */
  reached(sequence: number): void {
    if (sequence >= this.#position) this.#position = sequence
    for (const [cursor, from] of this.#behind) {
      if (this.#stalled.has(cursor) || from > sequence) continue
      this.#passed(cursor)
      if (sequence >= this.#position) this.#behind.delete(cursor)
      else this.#behind.set(cursor, sequence)
    }
  }

  #passed(cursor: number): void {
    const sequence = this.#behind.get(cursor)
    if (sequence !== undefined && this.#stalledAt.get(sequence) === cursor) this.#stalledAt.delete(sequence)
  }

  /** All cursors go back to `sequence`, or to the lowest position if that is before it. */
  rewind(sequence: number): void {
    this.#position = Math.min(this.lowest, sequence)
    this.#behind.clear()
    this.#stalled.clear()
    this.#stalledAt.clear()
  }
}

interface CursorCapacityOptions {
  readonly readAhead: Pick<ReadAhead, 'share' | 'hasCapacity' | 'starve'>
  /** Limit of the bytes that one partition may hold. */
  readonly maxPartitionBytes: number
  readonly cursors: { readonly behind: ReadonlyMap<number, number> }
  /** Called when there is memory again. */
  readonly topic: TopicWithCapacity
  /** Batches that were sent before: until theirs is back, partitions take no record. */
  readonly returning: { has(partition: number): boolean }
}

interface TopicWithCapacity extends Starved {
  /** 0: not known. */
  readonly partitionCount: number
  /** By partition; `undefined`: the partition holds no records. */
  readonly producers: readonly ({ readonly charge: { readonly bytes: number } } | undefined)[]
}

/** A read begins when a partition holds at most this share of its limit: one half is sent while the other is read. */
const SHARE_TO_READ_AT = 1 / 2

/** Knows which partitions of a topic have capacity for a record, and which cursors have capacity for a whole read. */
export class CursorCapacity {
  readonly #options: CursorCapacityOptions
  /** Size of the record for which a cursor had no capacity, by cursor. */
  readonly #needs = new Map<number, number>()
  /** Cursors that wait for a batch that was sent before. */
  readonly #heldUp = new Set<number>()

  constructor(options: CursorCapacityOptions) {
    this.#options = options
  }

  hasCapacity(partition: number, bytes: number): boolean {
    const { readAhead, maxPartitionBytes, topic, returning } = this.#options
    if (partition >= topic.partitionCount || returning.has(partition)) return false
    const held = this.#heldBy(partition)
    if (held + bytes <= Math.min(maxPartitionBytes, readAhead.share)) return true
    if (held === 0 && readAhead.hasCapacity(bytes)) return true
    if (held === 0 || held + bytes <= maxPartitionBytes) readAhead.starve(topic)
    return false
  }

  #heldBy(partition: number): number {
    return this.#options.topic.producers[partition]?.charge.bytes ?? 0
  }

  /** The first partition from `partition` on, going round once, that has capacity. */
  firstWithCapacity(partition: number, bytes: number): number | undefined {
    const count = this.#options.topic.partitionCount
    for (let step = 0; step < count; step++) {
      const next = (partition + step) % count
      if (this.hasCapacity(next, bytes)) return next
    }
    return undefined
  }

  /** The cursor has no capacity for a record of this size; ended by {@link had}. */
  lacks(cursor: number, bytes: number): void {
    this.#needs.set(cursor, bytes)
  }

  /** The cursor had capacity for the record it waited for. */
  had(cursor: number): void {
    this.#needs.delete(cursor)
  }

  /** The cursor waits until {@link release}. */
  holdUp(cursor: number): void {
    this.#heldUp.add(cursor)
  }

  release(): void {
    this.#heldUp.clear()
  }

  /** All cursors go back and start afresh. */
  clear(): void {
    this.#needs.clear()
    this.#heldUp.clear()
  }

  /** Whether a cursor that is behind has enough free capacity for a read to be worth its cost. */
  isHungry(cursor: number): boolean {
    if (this.#heldUp.has(cursor)) return false
    if (cursor === ANY_PARTITION) return this.isAnyHungry(this.#needs.get(cursor))
    return this.#isProducerHungry(cursor, this.#needs.get(cursor))
  }

  /** Whether any cursor that is not behind has that much free capacity. */
  isAnyHungry(bytes = 0): boolean {
    const count = this.#options.topic.partitionCount
    for (let partition = 0; partition < count; partition++) {
      if (!this.#options.cursors.behind.has(partition) && this.#isProducerHungry(partition, bytes)) return true
    }
    return false
  }

  #isProducerHungry(partition: number, bytes = 0): boolean {
    if (!this.hasCapacity(partition, bytes)) return false
    const { readAhead, maxPartitionBytes } = this.#options
    return this.#heldBy(partition) <= Math.min(maxPartitionBytes, readAhead.share) * SHARE_TO_READ_AT
  }
}
