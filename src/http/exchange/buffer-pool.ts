const SMALLEST_BITS = 14
const LARGEST_BITS = 20

/** A pool of buffers from 16 KiB to 1 MiB, in powers of two. Larger ones are allocated each time. */
export class BufferPool {
  readonly #maxIdleBytes: number
  readonly #bySize: Buffer[][] = Array.from({ length: LARGEST_BITS - SMALLEST_BITS + 1 }, () => [])
  #idleBytes = 0

  constructor(maxIdleBytes: number) {
    this.#maxIdleBytes = maxIdleBytes
  }

  /** A buffer of at least this size; its contents are undefined. */
  take(sizeBytes: number): Buffer {
    const bits = Math.max(SMALLEST_BITS, 32 - Math.clz32(sizeBytes - 1))
    const idle = this.#bySize[bits - SMALLEST_BITS]?.pop()
    if (idle === undefined) return Buffer.allocUnsafeSlow(2 ** bits)
    this.#idleBytes -= idle.length
    return idle
  }

  /** Returns a buffer to the pool. It must not be used afterwards. */
  give(buffer: Buffer): void {
    const idle = this.#bySize[31 - Math.clz32(buffer.length) - SMALLEST_BITS]
    if (idle === undefined || this.#idleBytes + buffer.length > this.#maxIdleBytes) return
    this.#idleBytes += buffer.length
    idle.push(buffer)
  }
}
