import type { MonotonicClock } from '../../core/model.js'

/** When a trouble has lasted so long, its key is given up: at the fourth failure or later, by {@link MAX_PAUSE_MS}. */
const GIVE_UP_AFTER_MS = 30_000
/**
 * A longer pause between two failures counts as this. Readers ask again within a second for an entry that they need, but a
 * disk may take seconds until it fails, and other topics and receipts are read by the same thread.
 */
const MAX_PAUSE_MS = 10_000
/** Trouble that comes back later than this is another one. */
const TROUBLE_ENDS_AFTER_MS = 600_000

/** Failures that say nothing about the disk. */
const SHORTAGES: ReadonlySet<unknown> = new Set(['EMFILE', 'ENFILE', 'ENOMEM'])

export const isShortage = (error: unknown): boolean => SHORTAGES.has((error as NodeJS.ErrnoException).code)

interface Trouble {
  /** From the first failure to the last one, without what is too long of its pauses. */
  lastedMs: number
  lastAtMs: number
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

  /** @returns whether it is to be given up */
  failed(key: Key): boolean {
    const nowMs = this.#clock()
    this.#forgetEnded(nowMs)
    const trouble = this.#troubles.get(key) ?? { lastedMs: 0, lastAtMs: nowMs }
    this.#troubles.delete(key)
    trouble.lastedMs += Math.min(nowMs - trouble.lastAtMs, MAX_PAUSE_MS)
    if (trouble.lastedMs >= GIVE_UP_AFTER_MS) return true
    trouble.lastAtMs = nowMs
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
    for (const [key, { lastAtMs }] of this.#troubles) {
      if (nowMs - lastAtMs <= TROUBLE_ENDS_AFTER_MS) return
      this.#troubles.delete(key)
    }
  }
}
