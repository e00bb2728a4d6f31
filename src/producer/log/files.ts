/**
 * The file system as the durable log needs it, rooted at one directory. All calls are synchronous: the log runs on a
 * thread of its own. Tests put a simulated disk behind it that loses what was not synced.
 */
export interface LogDirectory {
  /** Names of the plain files in the directory. */
  list(): readonly string[]
  /** @throws when the file exists already */
  create(name: string): LogFile
  /** For reading and truncating; the log never appends to a file it did not create. */
  open(name: string): LogFile
  openForWriting(name: string): LogFile
  remove(name: string): void
  rename(from: string, to: string): void
  /** Makes creations, removals and renames survive a power cut. */
  sync(): void
  /** Moves a file into another directory of the same log, under the same name. */
  move(name: string, into: LogDirectory): void
  /** Whether there is such a directory below this one. */
  hasDirectory(name: string): boolean
  /** The directory below this one, created when it is missing. */
  directory(name: string): LogDirectory
  /** Bytes that may still be written to the disk. */
  freeBytes(): number
  /** For messages only. */
  readonly path: string
}

/** An open file. Positions are bytes from its beginning. */
export interface LogFile {
  readonly sizeBytes: number
  /** Writes all bytes or throws; after a throw the file may hold any part of them. */
  write(bytes: Uint8Array, position: number): void
  /** Up to `length` bytes, fewer at the end of the file. The buffer has an ArrayBuffer of its own. */
  read(position: number, length: number): Buffer
  /** Makes what was written survive a power cut. After a failure nothing is known about bytes not synced before. */
  sync(): void
  truncate(sizeBytes: number): void
  close(): void
}
