import * as fs from 'node:fs'
import { dirname } from 'node:path'
import type { SegmentBytes } from '../log/segment.js'

/**
 * One segment in one file. The file is opened when it is used, and closed when too many files are open. Bytes are in
 * the page cache when `append` returns.
 */
export class FileBytes implements SegmentBytes {
  readonly #path: string
  readonly #files: FileSystem
  readonly #openFiles: OpenFiles
  #size: number
  #descriptor: number | undefined

  constructor(path: string, files: FileSystem, openFiles: OpenFiles) {
    this.#path = path
    this.#files = files
    this.#openFiles = openFiles
    this.#size = files.existsSync(path) ? files.statSync(path).size : 0
  }

  get sizeBytes(): number {
    return this.#size
  }

  append(bytes: Buffer): void {
    writeWhole(this.#files, this.#open(), bytes, this.#size, this.#size)
    this.#size += bytes.length
  }

  overwrite(position: number, bytes: Buffer): void {
    writeWhole(this.#files, this.#open(), bytes, position, this.#size)
  }

  truncate(sizeBytes: number): void {
    this.#files.ftruncateSync(this.#open(), sizeBytes)
    this.#size = sizeBytes
  }

  read(position: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafeSlow(Math.max(0, Math.min(length, this.#size - position)))
    const descriptor = this.#open()
    let read = 0
    while (read < bytes.length) {
      const count = this.#files.readSync(descriptor, bytes, read, bytes.length - read, position + read)
      if (count === 0) break
      read += count
    }
    return bytes.subarray(0, read)
  }

  close(): void {
    const descriptor = this.#descriptor
    if (descriptor === undefined) return
    this.#descriptor = undefined
    this.#openFiles.closed(this)
    this.#files.closeSync(descriptor)
  }

  /** Removes the file. If this fails, the file stays, but it is no longer read. */
  remove(): void {
    this.close()
    this.#size = 0
    try {
      this.#files.rmSync(this.#path, { force: true })
    } catch {}
  }

  #open(): number {
    if (this.#descriptor !== undefined) {
      this.#openFiles.used(this)
      return this.#descriptor
    }
    this.#descriptor = this.#openFiles.open(this, () => this.#openFile())
    return this.#descriptor
  }

  /** Opens the file. The folder of a partition is created with its first file. */
  #openFile(): number {
    try {
      return this.#files.openSync(this.#path, this.#files.existsSync(this.#path) ? 'r+' : 'w+', FILE_MODE)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      this.#files.mkdirSync(dirname(this.#path), { recursive: true, mode: FOLDER_MODE })
      return this.#files.openSync(this.#path, 'w+', FILE_MODE)
    }
  }
}

/**
 * Writes all bytes, or cuts the file back to its former size, so that no part of a batch or line is left. If this fails
 * as well, the next write overwrites that part.
 */
export function writeWhole(
  files: FileSystem,
  descriptor: number,
  bytes: Buffer,
  position: number,
  formerSize: number
): void {
  try {
    for (let written = 0; written < bytes.length; ) {
      written += files.writeSync(descriptor, bytes, written, bytes.length - written, position + written)
    }
  } catch (error) {
    try {
      files.ftruncateSync(descriptor, formerSize)
    } catch {}
    throw error
  }
}

/** The file operations of the storage. Tests replace them to simulate a full disk. */
export type FileSystem = Pick<
  typeof fs,
  | 'closeSync'
  | 'existsSync'
  | 'ftruncateSync'
  | 'mkdirSync'
  | 'openSync'
  | 'readdirSync'
  | 'readFileSync'
  | 'readSync'
  | 'renameSync'
  | 'rmSync'
  | 'statSync'
  | 'writeFileSync'
  | 'writeSync'
>

export const nodeFileSystem: FileSystem = fs

/** Only the user who runs the broker has access. */
export const FILE_MODE = 0o600
export const FOLDER_MODE = 0o700

/** A file that can be closed, and opens itself again when it is used. */
export interface Reopenable {
  close(): void
}

/**
 * The open segment files. Their number is limited: the least recently used file is closed before another file is
 * opened.
 */
export class OpenFiles {
  #limit: number
  /** The open files, least recently used first. */
  readonly #open = new Set<Reopenable>()

  constructor(limit: number) {
    this.#limit = limit
  }

  get count(): number {
    return this.#open.size
  }

  /**
   * Opens one more file. When the process has no file descriptors left, half of the other files are closed, and the
   * remaining number becomes the limit. New connections also need descriptors, and cannot close files to get them.
   */
  open(file: Reopenable, open: () => number): number {
    this.#closeDownTo(this.#limit - 1)
    for (;;) {
      try {
        const descriptor = open()
        this.#open.add(file)
        return descriptor
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        if ((code !== 'EMFILE' && code !== 'ENFILE') || this.#open.size === 0) throw error
        this.#limit = Math.max(1, Math.ceil(this.#open.size / 2))
        this.#closeDownTo(this.#limit - 1)
      }
    }
  }

  used(file: Reopenable): void {
    this.#open.delete(file)
    this.#open.add(file)
  }

  closed(file: Reopenable): void {
    this.#open.delete(file)
  }

  #closeDownTo(count: number): void {
    for (const oldest of this.#open) {
      if (this.#open.size <= count) return
      oldest.close()
      this.#open.delete(oldest)
    }
  }
}
