import * as fs from 'node:fs'
import { dirname } from 'node:path'
import { codeOf } from '../../core/node-errors.js'
import type { SegmentBytes } from '../log/segment.js'

/**
 * One segment in one file, which is open only while it is read or written: a broker has many more segments than a process
 * may have files. Bytes are in the page cache when `append` returns.
 */
export class FileBytes implements SegmentBytes {
  readonly #path: string
  readonly #files: FileSystem
  #size: number

  constructor(path: string, files: FileSystem) {
    this.#path = path
    this.#files = files
    this.#size = files.existsSync(path) ? files.statSync(path).size : 0
  }

  get sizeBytes(): number {
    return this.#size
  }

  append(bytes: Buffer): void {
    this.#use(descriptor => writeWhole(this.#files, descriptor, bytes, this.#size, this.#size))
    this.#size += bytes.length
  }

  overwrite(position: number, bytes: Buffer): void {
    this.#use(descriptor => writeWhole(this.#files, descriptor, bytes, position, this.#size))
  }

  truncate(sizeBytes: number): void {
    this.#use(descriptor => this.#files.ftruncateSync(descriptor, sizeBytes))
    this.#size = sizeBytes
  }

  read(position: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafeSlow(Math.max(0, Math.min(length, this.#size - position)))
    let read = 0
    this.#use(descriptor => {
      while (read < bytes.length) {
        const count = this.#files.readSync(descriptor, bytes, read, bytes.length - read, position + read)
        if (count === 0) break
        read += count
      }
    })
    return bytes.subarray(0, read)
  }

  /** Removes the file. If this fails, the file stays, but it is no longer read. */
  remove(): void {
    this.#size = 0
    try {
      this.#files.rmSync(this.#path, { force: true })
    } catch {}
  }

  #use(work: (descriptor: number) => void): void {
    const descriptor = this.#open()
    try {
      work(descriptor)
    } finally {
      this.#files.closeSync(descriptor)
    }
  }

  /** Opens the file. The folder of a partition is created with its first file. */
  #open(): number {
    try {
      return this.#files.openSync(this.#path, this.#size > 0 ? 'r+' : 'w+', FILE_MODE)
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error
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
