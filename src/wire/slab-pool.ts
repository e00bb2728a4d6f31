const SMALLEST_SLAB_BYTES = 4096

/**
 * Used slabs waiting for the next batch. Fresh memory costs a page fault per 4 KiB, half of what encoding a batch takes,
 * so who knows that nobody reads a batch any more may give its bytes back. Giving back is never a duty: what is kept
 * from the pool is collected as any other garbage.
 *
 * Sizes are powers of two; the bytes waiting here are bounded.
 */
export class SlabPool {
  readonly #maxBytes: number
  readonly #free = new Map<number, ArrayBuffer[]>()
  readonly #lent = new WeakSet<ArrayBufferLike>()
  #freeBytes = 0

  /** @param maxBytes of slabs that wait for use */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Bytes of slabs that wait for use. */
  get freeBytes(): number {
    return this.#freeBytes
  }

  /** A slab of at least so many bytes, with arbitrary content. */
  take(bytes: number): Buffer {
    const size = Math.max(SMALLEST_SLAB_BYTES, 2 ** Math.ceil(Math.log2(bytes)))
    const slab = this.#free.get(size)?.pop()
    if (slab !== undefined) this.#freeBytes -= size
    const buffer = slab !== undefined ? Buffer.from(slab) : Buffer.allocUnsafeSlow(size)
    this.#lent.add(buffer.buffer)
    return buffer
  }

  /**
   * Takes back a slab, or any view of one; anything else, or a slab given twice, is ignored. The giver is certain that
   * nobody reads or writes it any more: not a socket, not a retry.
   */
  give(bytes: Buffer): void {
    const slab = bytes.buffer
    if (!this.#lent.delete(slab) || this.#freeBytes + slab.byteLength > this.#maxBytes) return
    this.#freeBytes += slab.byteLength
    const waiting = this.#free.get(slab.byteLength)
    if (waiting !== undefined) waiting.push(slab as ArrayBuffer)
    else this.#free.set(slab.byteLength, [slab as ArrayBuffer])
  }
}
