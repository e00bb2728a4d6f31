/** Of what is free: the most that a partition may take, so that partitions that are stuck leave something to all others. */
const SHARE_OF_FREE = 1 / 4
/** When a partition finds no room, partitions that are stuck give memory back until no more than this share is in use. */
const SHARE_AFTER_YIELDING = 1 / 2
/** Batches that were set aside come back as long as no more than this share is in use. */
const SHARE_FOR_RETURNS = 3 / 4
const MAX_RETURNS_AT_ONCE = 4
/** All that comes back within this time is handed out together. */
const PAUSE_MS = 2

/** What waits for memory. */
export interface Starved {
  /** There is more memory now. */
  fed(): void
}

/** Memory for records that were read from the log, of all clusters together. */
export class ReadAhead {
  readonly maxBytes: number
  readonly #starved = new Set<Starved>()
  /** Give back the memory of a partition that is stuck, if it still is. */
  readonly #stuck = new Map<object, () => void>()
  /** Bring batches back that have no memory at the moment. */
  readonly #returns: (() => Promise<void>)[] = []
  #returning = 0
  #bytes = 0
  #isFeeding = false

  /**
   * A partition gets the less the more is in use: however many partitions are stuck, they leave something to the others.
   * When that is not enough, they give back what they hold, and take turns with it.
   */
  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Bytes came or, negative, went. */
  hold(bytes: number): void {
    this.#bytes += bytes
    if (bytes < 0) this.#feedSoon()
  }

  /** How much a partition may hold now. */
  get share(): number {
    return (this.maxBytes - this.#bytes) * SHARE_OF_FREE
  }

  /** There is memory for one record of a partition that holds nothing. */
  hasCapacity(bytes: number): boolean {
    return this.#bytes + bytes <= this.maxBytes
  }

  /** A partition finds no room, and is told once when there is more. */
  starve(starved: Starved): void {
    this.#starved.add(starved)
    if (this.#stuck.size > 0 && this.#bytes > this.maxBytes * SHARE_AFTER_YIELDING) this.#feedSoon()
  }

  /** A partition waits before it tries again. @param release called when others need its memory */
  isStuck(partition: object, release: () => void): void {
    this.#stuck.set(partition, release)
    if (this.#isShort) this.#feedSoon()
  }

  /** Reads a batch again that was set aside, when there is memory for it. */
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
    const isFull = this.#bytes > this.maxBytes * (this.#returns.length > 0 ? SHARE_FOR_RETURNS : SHARE_AFTER_YIELDING)
    if (isFull) this.#reclaim()
    this.#startReturns()
    const starved = [...this.#starved]
    this.#starved.clear()
    for (const one of starved) one.fed()
  }

  /** The partitions that have been stuck longest come first. */
  #reclaim(): void {
    for (const [partition, release] of this.#stuck) {
      if (this.#bytes <= this.maxBytes * SHARE_AFTER_YIELDING) return
      this.#stuck.delete(partition)
      release()
    }
  }

  #startReturns(): void {
    while (
      this.#returns.length > 0 &&
      this.#returning < MAX_RETURNS_AT_ONCE &&
      this.#bytes <= this.maxBytes * SHARE_FOR_RETURNS
    ) {
      this.#returning++
      void this.#returns.shift()!().finally(() => {
        this.#returning--
        this.#feedSoon()
      })
    }
  }
}
