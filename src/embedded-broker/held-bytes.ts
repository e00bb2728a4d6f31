/** A holder of bytes that can be made to release them. */
export interface Holder {
  /** Called when the limit is exceeded. Must release everything, by {@link HeldBytes.set} with 0. */
  evict(): void
}

/**
 * Bytes that all connections hold together, bounded. Beyond the limit the holders that have made no progress for the
 * longest time are evicted first, so clients that finish requests and read answers are not affected by others.
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

  /** Sets the bytes of a holder. It may be evicted before this returns. */
  set(holder: Holder, bytes: number): void {
    const before = this.#holders.get(holder) ?? 0
    if (bytes === before) return
    this.#totalBytes += bytes - before
    if (bytes === 0) this.#holders.delete(holder)
    else this.#holders.set(holder, bytes)
    while (this.#totalBytes > this.#limitBytes) this.#evictOldest()
  }

  /** Called when a request was finished or an answer was read. */
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
