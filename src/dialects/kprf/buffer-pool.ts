const SMALLEST_BITS = 14
const LARGEST_BITS = 20

/** Buffers of 16 KiB to 1 MiB, by powers of two, that are used again. Larger ones are made anew each time. */
export class BufferPool {
  readonly #maxIdleBytes: number
  readonly #bySize: Buffer[][] = Array.from({ length: LARGEST_BITS - SMALLEST_BITS + 1 }, () => [])
  #idleBytes = 0

  constructor(maxIdleBytes: number) {
    this.#maxIdleBytes = maxIdleBytes
  }

  /** A buffer of at least so many bytes, with anything in it. */
  take(sizeBytes: number): Buffer {
    const bits = Math.max(SMALLEST_BITS, 32 - Math.clz32(sizeBytes - 1))
    const idle = this.#bySize[bits - SMALLEST_BITS]?.pop()
    if (idle === undefined) return Buffer.allocUnsafeSlow(2 ** bits)
    this.#idleBytes -= idle.length
    return idle
  }

  /** Gives a buffer back. Nobody may look at it afterwards. */
  give(buffer: Buffer): void {
    const idle = this.#bySize[31 - Math.clz32(buffer.length) - SMALLEST_BITS]
    if (idle === undefined || this.#idleBytes + buffer.length > this.#maxIdleBytes) return
    this.#idleBytes += buffer.length
    idle.push(buffer)
  }
}
