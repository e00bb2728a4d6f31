import type { MonotonicClock } from '../core/model.js'

/** The time that several requests to the Router have together, from now on. */
export class TimeLimit {
  readonly timeoutMs: number
  readonly #endsAt: number
  readonly #clock: MonotonicClock

  constructor(timeoutMs: number, clock: MonotonicClock) {
    this.timeoutMs = timeoutMs
    this.#endsAt = clock() + timeoutMs
    this.#clock = clock
  }

  /** At least 1: the Router says that the time is over. */
  get remainingMs(): number {
    return Math.max(1, Math.ceil(this.#endsAt - this.#clock()))
  }
}
