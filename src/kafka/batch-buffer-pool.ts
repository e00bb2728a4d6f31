const SMALLEST_SEGMENT_BYTES = 4096

/**
 * Used buffers that wait for the next batch. Fresh memory costs a page fault per 4 KiB, which is half of what encoding a batch
 * takes. A caller may give back the bytes of a batch that is not read any more. Bytes that are not given back are collected
 * as garbage.
 *
 * Sizes are powers of two; the bytes waiting here are bounded.
 */
export class BatchBufferPool {
  readonly #maxBytes: number
  readonly #free = new Map<number, ArrayBuffer[]>()
  readonly #lent = new WeakSet<ArrayBufferLike>()
  #freeBytes = 0

  /** @param maxBytes of buffers that wait for use */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Bytes of buffers that wait for use. */
  get freeBytes(): number {
    return this.#freeBytes
  }

  /** A buffer of at least this many bytes, with arbitrary content. */
  take(bytes: number): Buffer {
    const size = Math.max(SMALLEST_SEGMENT_BYTES, 2 ** Math.ceil(Math.log2(bytes)))
    const batchBuffer = this.#free.get(size)?.pop()
    if (batchBuffer !== undefined) this.#freeBytes -= size
    const buffer = batchBuffer !== undefined ? Buffer.from(batchBuffer) : Buffer.allocUnsafeSlow(size)
    this.#lent.add(buffer.buffer)
    return buffer
  }

  /**
   * Takes back a buffer, or any view of one; anything else, or a buffer given twice, is ignored. The caller must be
   * certain that it is not used any more, neither by a socket nor by a retry.
   */
  give(bytes: Buffer): void {
    const batchBuffer = bytes.buffer
    if (!this.#lent.delete(batchBuffer) || this.#freeBytes + batchBuffer.byteLength > this.#maxBytes) return
    this.#freeBytes += batchBuffer.byteLength
    const waiting = this.#free.get(batchBuffer.byteLength)
    if (waiting !== undefined) waiting.push(batchBuffer as ArrayBuffer)
    else this.#free.set(batchBuffer.byteLength, [batchBuffer as ArrayBuffer])
  }
}
