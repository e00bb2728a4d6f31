import { SECOND_MS } from './model.js'

const WINDOW_MS = 10_000
/** Shortest time from which a rate per second is computed. */
const LEAST_MS = 1_000

/** How much comes per second now: the mean of the last 10 to 20 seconds. It has no timer. */
export class RecentRate {
  #since: number
  #inWindow = 0
  #before: number | undefined

  /** @param nowMs monotonic milliseconds, as of all calls */
  constructor(nowMs: number) {
    this.#since = nowMs
  }

  add(amount: number, nowMs: number): void {
    this.#turn(nowMs)
    this.#inWindow += amount
  }

  perSecond(nowMs: number): number {
    this.#turn(nowMs)
    const since = this.#before === undefined ? this.#since : this.#since - WINDOW_MS
    return (((this.#before ?? 0) + this.#inWindow) / Math.max(LEAST_MS, nowMs - since)) * SECOND_MS
  }

  #turn(nowMs: number): void {
    const passed = nowMs - this.#since
    if (passed < WINDOW_MS) return
    this.#before = passed < 2 * WINDOW_MS ? this.#inWindow : 0
    this.#inWindow = 0
    this.#since += Math.floor(passed / WINDOW_MS) * WINDOW_MS
  }
}
