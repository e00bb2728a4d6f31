import type { MonotonicClock } from '../../core/model.js'

/** After this many failures, and this long, the next failure is the last one. */
const MAX_FAILURES = 3
const GIVE_UP_AFTER_MS = 30_000
/** Trouble that comes back later than this is another one: readers ask again within a second for an entry that they need. */
const TROUBLE_ENDS_AFTER_MS = 10_000

/** Failures that say nothing about the disk. */
const SHORTAGES: ReadonlySet<unknown> = new Set(['EMFILE', 'ENFILE', 'ENOMEM'])

export const isShortage = (error: unknown): boolean => SHORTAGES.has((error as NodeJS.ErrnoException).code)

interface Trouble {
  readonly sinceMs: number
  /** The last failure, on a clock that stands still during reads. */
  lastIdleMs: number
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
  /** The duration of all reads. */
  #readingMs = 0

  constructor(clock: MonotonicClock) {
    this.#clock = clock
  }

  /** A read has ended. A disk may take seconds until it fails, and entries that are read in turn wait for each other. */
  readSince(beganMs: number): void {
    this.#readingMs += this.#clock() - beganMs
  }

  /**
   * @param beganMs when the read began
   * @returns whether it is to be given up
   */
  failed(key: Key, beganMs: number): boolean {
    const idleMs = beganMs - this.#readingMs
    this.#forgetEnded(idleMs)
    const nowMs = this.#clock()
    const trouble = this.#troubles.get(key) ?? { sinceMs: nowMs, lastIdleMs: idleMs, count: 0 }
    this.#troubles.delete(key)
    if (trouble.count >= MAX_FAILURES && nowMs - trouble.sinceMs >= GIVE_UP_AFTER_MS) return true
    trouble.count++
    trouble.lastIdleMs = idleMs
    this.#troubles.set(key, trouble)
    return false
  }

  has(key: Key): boolean {
    return this.#troubles.has(key)
  }

  worked(key: Key): void {
    this.#troubles.delete(key)
  }

  #forgetEnded(idleMs: number): void {
    for (const [key, { lastIdleMs }] of this.#troubles) {
      if (idleMs - lastIdleMs <= TROUBLE_ENDS_AFTER_MS) return
      this.#troubles.delete(key)
    }
  }
}
