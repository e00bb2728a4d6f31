import { reply } from '../requests/answers.js'
import type { FetchWaiter } from './wanted.js'

/** A reader that has waited so long has had its turn, and gives way to others. */
const TURN_MS = 1_000
const LEAST_BEFORE_DROPPING = 1_000

/**
 * Readers that wait at the end of a log for the next record, the one that came first at the front. They may wait for long,
 * and there may be as many of them as there are partitions, so they give way when places are short.
 */
export class ReadersAtEnd {
  readonly #waiters = new Set<FetchWaiter>()
  #dropAt = LEAST_BEFORE_DROPPING

  /** Readers that are here already keep their places. */
  add(waiters: readonly FetchWaiter[]): void {
    for (const waiter of waiters) this.#waiters.add(waiter)
    if (this.#waiters.size < this.#dropAt) return
    for (const waiter of this.#waiters) if (waiter.settled) this.#waiters.delete(waiter)
    this.#dropAt = Math.max(LEAST_BEFORE_DROPPING, 2 * this.#waiters.size)
  }

  /** Tells the reader that came first that there are no messages, if it has had its turn. */
  giveWay(now: number): void {
    for (const waiter of this.#waiters) {
      if (!waiter.settled && now - waiter.acceptedAt < TURN_MS) return
      this.#waiters.delete(waiter)
      if (waiter.settled) continue
      reply(waiter, { type: 'noMessages' })
      return
    }
  }
}
