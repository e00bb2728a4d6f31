import { HeldAmount } from '../../core/held-amount.js'
import { boundless, type PartitionBudget } from '../memory/budget.js'

/** Share of the free memory that a partition may take. Stuck partitions thus leave memory to others. */
const SHARE_OF_FREE = 1 / 4
/** When a partition finds no capacity, stuck partitions free memory until at most this share is in use. */
const SHARE_AFTER_YIELDING = 1 / 2
/** Batches that were set aside are read again only while at most this share is in use. */
const SHARE_FOR_RETURNS = 3 / 4
const MAX_RETURNS_AT_ONCE = 4
/** Memory that is freed within this time is distributed together. */
const PAUSE_MS = 2

/** A reader that waits for memory. */
export interface Starved {
  /** Called when memory may have become free. */
  fed(): void
}

/** The memory for records that were read from the log, shared by all clusters. */
export class ReadAhead {
  readonly maxBytes: number
  readonly #starved = new Set<Starved>()
  /** Frees the memory of a stuck partition if it is still stuck, by partition. */
  readonly #stuck = new Map<object, () => void>()
  /** Reads of batches that wait for memory. */
  readonly #returns: (() => Promise<void>)[] = []
  #returning = 0
  readonly #held = new HeldAmount('bytes of records read from the log')
  #isFeeding = false

  /**
   * The more memory is in use, the less a partition gets: however many partitions are stuck, others still get some. When
   * that is not enough, stuck partitions free their memory and take turns.
   */
  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  get bytes(): number {
    return this.#held.value
  }

  /** @param bytes that were taken or, negative, freed */
  hold(bytes: number): void {
    this.#held.change(bytes)
    if (bytes < 0) this.#feedSoon()
  }

  /** The budget of the partitions of one reader, which is fed whenever they hold fewer records. */
  budgetOf(reader: Starved): PartitionBudget {
    return {
      ...boundless,
      hold: (bytes, records) => {
        this.hold(bytes)
        if (records < 0) reader.fed()
      },
      hasSpare: bytes => this.hasCapacity(bytes)
    }
  }

  /** Bytes that a partition may hold now. */
  get share(): number {
    return (this.maxBytes - this.bytes) * SHARE_OF_FREE
  }

  /** Whether there is memory for one record of a partition that holds nothing. */
  hasCapacity(bytes: number): boolean {
    return this.bytes + bytes <= this.maxBytes
  }

  /** The reader finds no memory. The reader is called once when memory may have become free. */
  starve(starved: Starved): void {
    this.#starved.add(starved)
    if (this.#stuck.size > 0 && this.bytes > this.maxBytes * SHARE_AFTER_YIELDING) this.#feedSoon()
  }

  /** A partition waits before it tries again. @param release called when others need its memory */
  addStuck(partition: object, release: () => void): void {
    this.#stuck.set(partition, release)
    if (this.#isShort) this.#feedSoon()
  }

  /** Runs a read of a batch that was set aside, once there is memory for it. */
  return(read: () => Promise<void>): void {
    this.#returns.push(read)
    this.#feedSoon()
  }

  get #isShort(): boolean {
    return this.#starved.size + this.#returns.length > 0
  }

  #feedSoon(): void {
    if (this.#isFeeding || !this.#isShort) return
    this.#isFeeding = true
    setTimeout(() => {
      this.#isFeeding = false
      this.#feed()
    }, PAUSE_MS)
  }

  #feed(): void {
    const isFull = this.bytes > this.maxBytes * (this.#returns.length > 0 ? SHARE_FOR_RETURNS : SHARE_AFTER_YIELDING)
    if (isFull) this.#reclaim()
    this.#startReturns()
    const starved = [...this.#starved]
    this.#starved.clear()
    for (const one of starved) one.fed()
  }

  /** Frees memory of stuck partitions, longest stuck first. */
  #reclaim(): void {
    for (const [partition, release] of this.#stuck) {
      if (this.bytes <= this.maxBytes * SHARE_AFTER_YIELDING) return
      this.#stuck.delete(partition)
      release()
    }
  }

  #startReturns(): void {
    while (
      this.#returns.length > 0 &&
      this.#returning < MAX_RETURNS_AT_ONCE &&
      this.bytes <= this.maxBytes * SHARE_FOR_RETURNS
    ) {
      this.#returning++
      void this.#returns.shift()!().finally(() => {
        this.#returning--
        this.#feedSoon()
      })
    }
  }
}
