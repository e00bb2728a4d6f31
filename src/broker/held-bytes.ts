/** One who holds bytes, and can be made to let go of them. */
export interface Holder {
  /** Called when all together hold too much. Must give back what it holds, by {@link HeldBytes.set} with 0. */
  evict(): void
}

/**
 * What all connections together hold, bounded. Beyond the limit those that have made no progress for the longest go
 * first: whoever finishes requests and reads answers is not hurt by others who do neither.
 */
export class HeldBytes {
  readonly #limitBytes: number
  /** Least recent progress first. */
  readonly #holders = new Map<Holder, number>()
  #totalBytes = 0

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  get totalBytes(): number {
    return this.#totalBytes
  }

  /** Says what a holder holds from now on. It may be evicted before this returns. */
  set(holder: Holder, bytes: number): void {
    const before = this.#holders.get(holder) ?? 0
    if (bytes === before) return
    this.#totalBytes += bytes - before
    if (bytes === 0) this.#holders.delete(holder)
    else this.#holders.set(holder, bytes)
    while (this.#totalBytes > this.#limitBytes) this.#evictOldest()
  }

  /** A request was finished, or an answer read. */
  progressed(holder: Holder): void {
    const bytes = this.#holders.get(holder)
    if (bytes === undefined) return
    this.#holders.delete(holder)
    this.#holders.set(holder, bytes)
  }

  #evictOldest(): void {
    const [oldest] = this.#holders.keys()
    oldest?.evict()
  }
}
