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
  openForWriting(name: string): LogFile {
    throw new Error(`${name} cannot be written in a directory that is only looked at`)
  }
  remove(): void {}
  rename(): void {}
  move(): void {}
  sync(): void {}
  hasDirectory(name: string): boolean {
    return this.#directory.hasDirectory(name)
  }
  /** @throws when there is none: it would have to be created */
  directory(name: string): LogDirectory {
    if (!this.hasDirectory(name)) throw new Error(`there is no ${name} in ${this.path}`)
    return new ReadOnlyDirectory(this.#directory.directory(name))
  }
  freeBytes(): number {
    return this.#directory.freeBytes()
  }
}
