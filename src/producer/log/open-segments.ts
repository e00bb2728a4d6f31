import type { LogDirectory, LogFile } from './files.js'
import type { Slab } from './segment.js'

/** Readers go through the log at several places at once. */
const MAX_FILES = 4

/** The files of the slabs that were read last. */
export class OpenSlabs {
  readonly #directory: LogDirectory
  /** Least recently used first. */
  readonly #files = new Map<Slab, LogFile>()

  constructor(directory: LogDirectory) {
    this.#directory = directory
  }

  /** @throws when the file cannot be opened */
  of(slab: Slab): LogFile {
    const file = this.#files.get(slab) ?? this.#directory.open(slab.name)
    this.#files.delete(slab)
    this.#files.set(slab, file)
    for (const oldest of this.#files.keys()) {
      if (this.#files.size <= MAX_FILES) break
      this.close(oldest)
    }
    return file
  }

  close(slab: Slab): void {
    this.#files.get(slab)?.close()
    this.#files.delete(slab)
  }

  closeAll(): void {
    for (const slab of [...this.#files.keys()]) this.close(slab)
  }
}
