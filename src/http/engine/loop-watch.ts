import type { MonotonicClock } from '../../core/model.js'

/** A loop that has not been seen for longer than this may have stood still. */
const STILL_MS = 50
/** For so long after a stand-still, what is read may have come before its end: connections are accepted and read in turns. */
const BEHIND_MS = 1_000

/** Tells whether the event loop may have stood still before what it is doing now. It costs nothing where it is not asked. */
export class LoopWatch {
  readonly #now: MonotonicClock
  #seenAt = Number.NEGATIVE_INFINITY
  #isSeenSoon = false
  #behindUntil = Number.NEGATIVE_INFINITY

  constructor(now: MonotonicClock) {
    this.#now = now
  }

  /**
   * Whether what is read now may have come while the loop stood still, since it was not seen for a while. A timer would notice a stand-still too late: Node runs timers after it has read its
   * sockets. A loop that had nothing to do was not seen, either.
   */
  stoodStill(): boolean {
    if (!this.#isSeenSoon) {
      this.#isSeenSoon = true
      setImmediate(() => {
        this.#isSeenSoon = false
        this.#seenAt = this.#now()
      })
    }
    const now = this.#now()
    if (now - this.#seenAt > STILL_MS) this.#behindUntil = now + BEHIND_MS
    return now < this.#behindUntil
  }
}

/** Calls back when all sockets have been read once more: what was in them behind the bytes of now is known then. */
export const afterNextReads = (run: () => void): void => {
  // The first immediate comes in the same turn of the loop, the second one after the next reads.
  setImmediate(() => setImmediate(run))
}
