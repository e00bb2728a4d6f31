import { openSync, readSync } from 'node:fs'

const NS_PER_MS = 1e6

/**
 * Measures the longest tick of this thread in CPU time, which other processes on the same cores do not lengthen. Where the system
 * does not tell the CPU time of a thread, it counts by the clock.
 */
export class LongestTick {
  readonly #now = threadMs() ?? (() => performance.now())
  #before = this.#now()
  #longestMs = 0
  /** A timer that is always due runs once in each tick. */
  readonly #timer = setInterval(() => this.#note(), 1)

  /** The longest since it was asked last, in milliseconds. The tick that asks counts until now. */
  take(): number {
    this.#note()
    const longestMs = this.#longestMs
    this.#longestMs = 0
    return longestMs
  }

  stop(): number {
    clearInterval(this.#timer)
    return this.#longestMs
  }

  #note(): void {
    const now = this.#now()
    this.#longestMs = Math.max(this.#longestMs, now - this.#before)
    this.#before = now
  }
}

/** CPU time of the calling thread so far, which Linux tells in nanoseconds. */
function threadMs(): (() => number) | undefined {
  const buffer = Buffer.alloc(128)
  try {
    const file = openSync('/proc/thread-self/schedstat', 'r')
    return () =>
      Number(buffer.toString('latin1', 0, readSync(file, buffer, 0, buffer.length, 0)).split(' ')[0]) / NS_PER_MS
  } catch {
    return undefined
  }
}
