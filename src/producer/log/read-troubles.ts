import type { MonotonicClock } from '../../core/model.js'

/** After this many failures, and this long, the next failure is the last one. */
const MAX_FAILURES = 3
const GIVE_UP_AFTER_MS = 30_000
/** Trouble that comes back later than this is another one: readers ask again within a second for an entry that they need. */
const TROUBLE_ENDS_AFTER_MS = 10_000

interface Trouble {
  readonly sinceMs: number
  lastMs: number
  count: number
}

/**
 * Counts the failures to read each entry, or each file. One that works ends the trouble of that entry alone: reads of others
 * say nothing about it.
 */
export class ReadTroubles<Key> {
  readonly #clock: MonotonicClock
  /** In the order of their last failures. */
  readonly #troubles = new Map<Key, Trouble>()

  constructor(clock: MonotonicClock) {
    this.#clock = clock
  }

  /**
   * @param beganMs when the attempt began, because a disk may take seconds until it fails
   * @returns whether it is to be given up
   */
  failed(key: Key, beganMs: number): boolean {
    this.#forgetEnded(beganMs)
    const nowMs = this.#clock()
    const trouble = this.#troubles.get(key) ?? { sinceMs: nowMs, lastMs: nowMs, count: 0 }
    this.#troubles.delete(key)
    if (trouble.count >= MAX_FAILURES && nowMs - trouble.sinceMs >= GIVE_UP_AFTER_MS) return true
    trouble.count++
    trouble.lastMs = nowMs
    this.#troubles.set(key, trouble)
    return false
  }

  has(key: Key): boolean {
    return this.#troubles.has(key)
  }

  worked(key: Key): void {
    this.#troubles.delete(key)
  }

  #forgetEnded(nowMs: number): void {
    for (const [key, { lastMs }] of this.#troubles) {
      if (nowMs - lastMs <= TROUBLE_ENDS_AFTER_MS) return
      this.#troubles.delete(key)
    }
  }
}
