import type { MonotonicClock } from '../core/model.js'

/** So many may do something at a time. Others wait for their turn, first come first served, for a limited time. */
export class Turns {
  #free: number
  readonly #maxWaitMs: number
  readonly #clock: MonotonicClock
  readonly #waiting = new Set<(hasTurn: boolean) => void>()
  #waitedAt = Number.NEGATIVE_INFINITY

  constructor(most: number, maxWaitMs: number, clock: MonotonicClock) {
    this.#free = most
    this.#maxWaitMs = maxWaitMs
    this.#clock = clock
  }

  /** Whether a call waits for a turn, or has waited for one a short time ago. */
  get areScarce(): boolean {
    return this.#waiting.size > 0 || this.#clock() - this.#waitedAt < this.#maxWaitMs
  }

  /** @returns whether it has a turn, which has to be released */
  async take(): Promise<boolean> {
    if (this.#free > 0) {
      this.#free--
      return true
    }
    return new Promise(resolve => {
      const end = (hasTurn: boolean): void => {
        clearTimeout(timer)
        this.#waiting.delete(end)
        this.#waitedAt = this.#clock()
        resolve(hasTurn)
      }
      const timer = setTimeout(end, this.#maxWaitMs, false)
      this.#waiting.add(end)
    })
  }

  /** The next one begins. */
  release(): void {
    const [next] = this.#waiting
    if (next === undefined) this.#free++
    else next(true)
  }
}
