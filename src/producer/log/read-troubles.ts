import type { MonotonicClock } from '../../core/model.js'
import type { ReadableFile } from './files.js'

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

/** Disks lose sectors; file systems read pages. */
const PAGE_BYTES = 4096
/** A disk may take seconds for each failure, and the thread of the log waits meanwhile. */
const MAX_FAILURES = 1_000
const MAX_READING_MS = 20_000

/**
 * What the disk can read of a file. Pages that it cannot read are zeros, which belong to no entry. When many have failed, or
 * this took long, so is all that follows.
 */
export class ReadableParts implements ReadableFile {
  readonly #file: ReadableFile
  readonly #clock: MonotonicClock
  readonly #beganMs: number
  readonly #badPages = new Set<number>()
  #failures = 0

  constructor(file: ReadableFile, clock: MonotonicClock) {
    this.#file = file
    this.#clock = clock
    this.#beganMs = clock()
  }

  /** Numbers of the pages that could not be read. */
  get badPages(): ReadonlySet<number> {
    return this.#badPages
  }

  read(position: number, length: number): Buffer {
    const whole = this.#tryToRead(position, length)
    if (whole !== undefined) return whole
    const bytes = Buffer.alloc(length)
    const end = position + length
    for (let at = position; at < end; ) {
      const pageEnd = Math.min(at - (at % PAGE_BYTES) + PAGE_BYTES, end)
      const page = this.#tryToRead(at, pageEnd - at)
      if (page === undefined) this.#badPages.add(Math.floor(at / PAGE_BYTES))
      page?.copy(bytes, at - position)
      at = pageEnd
    }
    return bytes
  }

  #tryToRead(position: number, length: number): Buffer | undefined {
    if (this.#failures >= MAX_FAILURES || this.#clock() - this.#beganMs >= MAX_READING_MS) return undefined
    try {
      return this.#file.read(position, length)
    } catch (error) {
      if (isShortage(error)) throw error
      this.#failures++
      return undefined
    }
  }
}
