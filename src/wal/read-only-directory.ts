import type { LogDirectory, LogFile } from './files.js'

/** A directory that stays as it is: for looking at a log that another process may be using. */
export class ReadOnlyDirectory implements LogDirectory {
  readonly #directory: LogDirectory

  constructor(directory: LogDirectory) {
    this.#directory = directory
  }

  get path(): string {
    return this.#directory.path
  }
  list(): readonly string[] {
    return this.#directory.list()
  }
  open(name: string): LogFile {
    return this.#directory.open(name)
  }
  create(name: string): LogFile {
    throw new Error(`${name} cannot be created in a directory that is only looked at`)
  }
  remove(): void {}
  move(): void {}
  sync(): void {}
  directory(): LogDirectory {
    return this
  }
  freeBytes(): number {
    return this.#directory.freeBytes()
  }
}
