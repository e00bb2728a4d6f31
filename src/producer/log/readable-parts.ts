import type { MonotonicClock } from '../../core/model.js'
import type { ReadableFile } from './files.js'
import { isShortage } from './read-troubles.js'

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
