import type { LogFile } from './files.js'
import { isShortage } from './read-troubles.js'

/** Disks lose sectors; file systems read pages. */
const PAGE_BYTES = 4096
/** A disk may take seconds for each failure, and the thread of the log waits meanwhile. */
const MAX_FAILURES = 64

/**
 * What the disk can read of a file. Pages that it cannot read are zeros, which belong to no entry; after many failures so is
 * all that follows.
 */
export class ReadableParts implements Pick<LogFile, 'read'> {
  readonly #file: LogFile
  #failures = 0

  constructor(file: LogFile) {
    this.#file = file
  }

  read(position: number, length: number): Buffer {
    const whole = this.#tryToRead(position, length)
    if (whole !== undefined) return whole
    const bytes = Buffer.alloc(length)
    const end = position + length
    for (let at = position; at < end; ) {
      const pageEnd = Math.min(at - (at % PAGE_BYTES) + PAGE_BYTES, end)
      this.#tryToRead(at, pageEnd - at)?.copy(bytes, at - position)
      at = pageEnd
    }
    return bytes
  }

  #tryToRead(position: number, length: number): Buffer | undefined {
    if (this.#failures >= MAX_FAILURES) return undefined
    try {
      return this.#file.read(position, length)
    } catch (error) {
      if (isShortage(error)) throw error
      this.#failures++
      return undefined
    }
  }
}
