import { ANY_PARTITION, type PartitionCursors } from './partition-cursors.js'
import type { ReadAhead, Starved } from './read-ahead.js'

export interface CursorCapacityOptions {
  readonly readAhead: Pick<ReadAhead, 'share' | 'hasCapacity' | 'starve'>
  /** The most that one partition may hold. */
  readonly maxPartitionBytes: number
  readonly cursors: Pick<PartitionCursors, 'isBehind'>
  /** 0: not known. */
  readonly partitionCount: () => number
  /** Bytes that the partition's producer holds. */
  readonly heldBy: (partition: number) => number
  /** The partition takes nothing now: it waits for a batch that was sent before. */
  readonly isReserved: (partition: number) => boolean
  /** Told when there is memory again. */
  readonly starved: Starved
}

/** Half of what a partition may hold is on its way while the other half is read. */
const SHARE_TO_READ_AT = 1 / 2

/** Which partitions of a topic have room for records, and which cursors for so many that reading is worth while. */
export class CursorCapacity {
  readonly #options: CursorCapacityOptions
  /** Bytes of the record for which a cursor had no room. */
  readonly #needs = new Map<number, number>()
  /** Cursors that wait for a former batch. */
  readonly #heldUp = new Set<number>()

  constructor(options: CursorCapacityOptions) {
    this.#options = options
  }

  hasCapacity(partition: number, bytes: number): boolean {
    const { readAhead, maxPartitionBytes, partitionCount, heldBy, isReserved, starved } = this.#options
    if (partition >= partitionCount() || isReserved(partition)) return false
    const held = heldBy(partition)
    if (held + bytes <= Math.min(maxPartitionBytes, readAhead.share)) return true
    if (held === 0 && readAhead.hasCapacity(bytes)) return true
    if (held === 0 || held + bytes <= maxPartitionBytes) readAhead.starve(starved)
    return false
  }

  /** The first partition from `partition` on, going round once, that has room. */
  firstWithCapacity(partition: number, bytes: number): number | undefined {
    const count = this.#options.partitionCount()
    for (let step = 0; step < count; step++) {
      const next = (partition + step) % count
      if (this.hasCapacity(next, bytes)) return next
    }
    return undefined
  }

  /** The cursor has no room for a record of this size. */
  lacks(cursor: number, bytes: number): void {
    this.#needs.set(cursor, bytes)
  }

  /** The cursor had room for the record it waited for. */
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

  /** Cursors begin again. */
  clear(): void {
    this.#needs.clear()
    this.#heldUp.clear()
  }

  /** A cursor that is behind has room for so much that reading is worth while. */
  isHungry(cursor: number): boolean {
    if (this.#heldUp.has(cursor)) return false
    if (cursor === ANY_PARTITION) return this.isAnyHungry(this.#needs.get(cursor))
    return this.#isProducerHungry(cursor, this.#needs.get(cursor))
  }

  /** The same for the cursors that are not behind. */
  isAnyHungry(bytes = 0): boolean {
    const count = this.#options.partitionCount()
    for (let partition = 0; partition < count; partition++) {
      if (!this.#options.cursors.isBehind(partition) && this.#isProducerHungry(partition, bytes)) return true
    }
    return false
  }

  #isProducerHungry(partition: number, bytes = 0): boolean {
    if (!this.hasCapacity(partition, bytes)) return false
    const { readAhead, maxPartitionBytes, heldBy } = this.#options
    return heldBy(partition) <= Math.min(maxPartitionBytes, readAhead.share) * SHARE_TO_READ_AT
  }
}
