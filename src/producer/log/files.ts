/**
 * The file system as the durable log needs it, rooted at one directory. All calls are synchronous: the log runs on a
 * thread of its own. Tests replace it by a simulated disk that loses what was not synced.
 */
export interface LogDirectory {
  /** Names of the plain files in the directory. */
  list(): readonly string[]
  /**
   * Opens an existing file to read and truncate it or to write to it, or creates a file.
   *
   * @throws when it does not exist, or with `create` if it does
   */
  open(name: string, mode: 'read' | 'write' | 'create'): LogFile
  remove(name: string): void
  /** @param into another directory of the same log; default: this one */
  rename(from: string, to: string, into?: LogDirectory): void
  /** Makes creations, removals and renames survive a power cut. */
  sync(): void
  /** The directory below this one. Created if it is missing, unless it has to exist. */
  directory(name: string): LogDirectory
  directory(name: string, mustExist: true): LogDirectory | undefined
  /** Bytes that may still be written to the disk. */
  freeBytes(): number
  /** The path, for messages only. */
  readonly path: string
}

/** A file that can be read. Positions are bytes from the beginning. */
export interface ReadableFile {
  /** Up to `length` bytes, fewer at the end of the file. The buffer has an ArrayBuffer of its own. */
  read(position: number, length: number): Buffer
}

/** An open file. */
export interface LogFile extends ReadableFile {
  readonly sizeBytes: number
  /** Writes all bytes or throws; after a throw the file may hold any part of them. */
  write(bytes: Uint8Array, position: number): void
  /** Makes what was written survive a power cut. After a failure nothing is known about bytes not synced before. */
  sync(): void
  /** Like `sync`, on another thread where there is one. A failure is not reported. */
  syncLater(): void
  truncate(sizeBytes: number): void
  close(): void
}

/** Runs `use` with an open file, which is closed whatever happens. */
export function withFile<T>(directory: LogDirectory, name: string, use: (file: LogFile) => T): T {
  const file = directory.open(name, 'read')
  try {
    return use(file)
  } finally {
    file.close()
  }
}

const DIGITS = 16
/** Larger than any id of a real log. */
const MAX_ID = 2 ** 52

/** Names of the log's files: an id of 16 digits, so that they sort as text, and what the file is. */
const name = (id: number, suffix: string): string => `${String(id).padStart(DIGITS, '0')}.${suffix}`

/** The id in a file's name; `undefined` for other files, and for ids that are too large. */
function idOf(fileName: string, suffix: string): number | undefined {
  const digits = fileName.slice(0, DIGITS)
  const isOurs = /^\d{16}$/.test(digits) && fileName === `${digits}.${suffix}`
  return isOurs && Number(digits) < MAX_ID ? Number(digits) : undefined
}

export const segmentName = (id: number): string => name(id, 'slab')
export const segmentIdOf = (fileName: string): number | undefined => idOf(fileName, 'slab')

export const journalName = (id: number): string => name(id, 'progress')
export const journalIdOf = (fileName: string): number | undefined => idOf(fileName, 'progress')

/** File of a merged segment until it is complete. */
export const mergeName = (id: number): string => name(id, 'merge')
export const mergeIdOf = (fileName: string): number | undefined => idOf(fileName, 'merge')

/** Name of the journal of keys below the log's directory. */
export const KEYS_DIRECTORY = 'keys'

/** File of a finished segment that will be used for a new one. */
export const spareName = (id: number): string => name(id, 'spare')
export const spareIdOf = (fileName: string): number | undefined => idOf(fileName, 'spare')

/** Files of outcomes, by their number. */
export const rowsName = (number: number): string => name(number, 'rows')
export const rowsNumberOf = (fileName: string): number | undefined => idOf(fileName, 'rows')
export const placesName = (number: number): string => name(number, 'places')

/** An empty file: outcomes up to this sequence may have been removed. */
export const expiredName = (sequence: number): string => name(sequence, 'expired')
export const expiredSequenceOf = (fileName: string): number | undefined => idOf(fileName, 'expired')

/** The id of a file of outcomes that a former release has written; `undefined`: the name is another. */
export const outcomesIdOf = (fileName: string): number | undefined => idOf(fileName, 'outcomes')
