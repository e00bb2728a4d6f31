import type { LogDirectory, LogFile } from './files.js'
import type { LogSegment } from './segment.js'

/** Readers go through the log at several places at once. */
const MAX_FILES = 4

/** The files of the segments that were read last. */
export class OpenSegments {
  readonly #directory: LogDirectory
  /** Least recently used first. */
  readonly #files = new Map<LogSegment, LogFile>()

  constructor(directory: LogDirectory) {
    this.#directory = directory
  }

  /** @throws when the file cannot be opened */
  of(segment: LogSegment): LogFile {
    const file = this.#files.get(segment) ?? this.#directory.open(segment.name)
    this.#files.delete(segment)
    this.#files.set(segment, file)
    for (const oldest of this.#files.keys()) {
      if (this.#files.size <= MAX_FILES) break
      this.close(oldest)
    }
    return file
  }

  close(segment: LogSegment): void {
    this.#files.get(segment)?.close()
    this.#files.delete(segment)
  }

  closeAll(): void {
    for (const segment of [...this.#files.keys()]) this.close(segment)
  }
}
