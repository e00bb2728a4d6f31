/** A holder of bytes that can be made to release them. */
export interface ByteHolder {
  /** Called when the limit is exceeded. The holder must release everything, by {@link HeldBytes.set} with 0. */
  kill(): void
}

/**
 * Limits the bytes that all connections hold together. Beyond the limit, the holders that have made no progress for the
 * longest time are evicted first. So clients that finish requests and read responses are not affected by other clients.
 */
export class HeldBytes {
  readonly #limitBytes: number
  /** The bytes of each holder, least recent progress first. */
  readonly #holders = new Map<ByteHolder, number>()
  #totalBytes = 0

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  get totalBytes(): number {
    return this.#totalBytes
  }

  /** Sets the bytes of a holder, which may be evicted before this returns. */
  set(holder: ByteHolder, bytes: number): void {
    const before = this.#holders.get(holder) ?? 0
    if (bytes === before) return
    this.#totalBytes += bytes - before
    if (bytes === 0) this.#holders.delete(holder)
    else this.#holders.set(holder, bytes)
    while (this.#totalBytes > this.#limitBytes) this.#evictOldest()
  }

  /** Called when a request was finished or a response was read. */
  progressed(holder: ByteHolder): void {
    const bytes = this.#holders.get(holder)
    if (bytes === undefined) return
    this.#holders.delete(holder)
    this.#holders.set(holder, bytes)
  }

  #evictOldest(): void {
    const [oldest] = this.#holders.keys()
    oldest?.kill()
  }
}

const MAX_POOLED_BYTES = 32 * 1024 * 1024

/** Reuses the buffers of large requests. Without reuse, garbage collection was a third of the broker's work. */
export class FramePool {
  readonly #spare: Buffer[] = []
  #spareBytes = 0

  /** Takes a buffer of at least `length` bytes from the pool; undefined: there is no such buffer. */
  take(length: number): Buffer | undefined {
    const at = this.#spare.findIndex(buffer => buffer.length >= length)
    if (at < 0) return undefined
    const [buffer] = this.#spare.splice(at, 1)
    this.#spareBytes -= buffer!.length
    return buffer
  }

  give(buffer: Buffer): void {
    if (this.#spareBytes + buffer.length > MAX_POOLED_BYTES) return
    this.#spare.push(buffer)
    this.#spareBytes += buffer.length
  }
}
