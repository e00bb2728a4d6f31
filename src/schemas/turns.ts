import { ClientTurns } from '../core/client-turns.js'
import type { MonotonicClock } from '../core/model.js'

/** So many may do something at a time. Others wait for a limited time: owners take turns, and those of one keep their order. */
export class Turns {
  #free: number
  readonly #maxWaitMs: number
  readonly #clock: MonotonicClock
  readonly #waiting = new ClientTurns<(hasTurn: boolean) => void>()
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

  /** @param owner `undefined`: this process itself @returns whether it has a turn, which has to be released */
  async take(owner = ''): Promise<boolean> {
    if (this.#free > 0) {
      this.#free--
      return true
    }
    return new Promise(resolve => {
      const end = (hasTurn: boolean): void => {
        clearTimeout(timer)
        this.#waiting.delete(owner, end)
        this.#waitedAt = this.#clock()
        resolve(hasTurn)
      }
      const timer = setTimeout(end, this.#maxWaitMs, false)
      this.#waiting.add(owner, end)
    })
  }

  /** The next one begins. */
  release(): void {
    const next = this.#waiting.next()
    if (next === undefined) this.#free++
    else next(true)
  }
}
