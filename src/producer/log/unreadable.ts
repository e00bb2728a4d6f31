import { codeOf, messageOf } from '../../core/node-errors.js'
import type { ReadableFile } from './files.js'
import type { LogSegment } from './segment.js'

/** Failures that say nothing about the disk. */
const SHORTAGES: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOMEM'])

/** Whether the system has refused to read, and more memory or file descriptors would not help. */
export const isOfDisk = (error: unknown): boolean => {
  const code = codeOf(error) ?? ''
  return /^E[A-Z0-9]+$/.test(code) && !SHORTAGES.has(code)
}

/** A segment that the disk cannot read. */
export class UnreadableSegment extends Error {
  readonly segment: LogSegment
  readonly code: string | undefined

  constructor(segment: LogSegment, cause: unknown) {
    super(`${segment.name} cannot be read: ${messageOf(cause)}`, { cause })
    this.segment = segment
    this.code = codeOf(cause)
  }
}

/** Reads from a segment. @throws UnreadableSegment where the disk fails */
export function readable<T>(segment: LogSegment, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw isOfDisk(error) && !(error instanceof UnreadableSegment) ? new UnreadableSegment(segment, error) : error
  }
}

/** Disks lose sectors; file systems read pages. */
const PAGE_BYTES = 4096

/** A file of which some pages cannot be read. They are returned as zeros, which belong to no entry. */
export class ReadablePages implements ReadableFile {
  readonly #file: ReadableFile

  constructor(file: ReadableFile) {
    this.#file = file
  }

  read(position: number, length: number): Buffer {
    const whole = this.#tryToRead(position, length)
    if (whole !== undefined) return whole
    const bytes = Buffer.alloc(length)
    for (let at = position; at < position + length; ) {
      const pageEnd = Math.min(at - (at % PAGE_BYTES) + PAGE_BYTES, position + length)
      this.#tryToRead(at, pageEnd - at)?.copy(bytes, at - position)
      at = pageEnd
    }
    return bytes
  }

  #tryToRead(position: number, length: number): Buffer | undefined {
    try {
      return this.#file.read(position, length)
    } catch (error) {
      if (isOfDisk(error)) return undefined
      throw error
    }
  }
}
