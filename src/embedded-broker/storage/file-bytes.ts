import { dirname } from 'node:path'
import type { SegmentBytes } from '../log/segment-bytes.js'
import { FILE_MODE, type FileSystem, FOLDER_MODE } from './file-system.js'
import type { OpenFiles } from './open-files.js'

/**
 * One segment in one file. Opened when it is used, and closed when others need its place; what is written is in the page
 * cache when `append` returns.
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
    this.#write(bytes, this.#size)
    this.#size += bytes.length
  }

  overwrite(position: number, bytes: Buffer): void {
    this.#write(bytes, position)
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

  /** A file that cannot be removed stays; it is not read any more. */
  remove(): void {
    this.close()
    this.#size = 0
    try {
      this.#files.rmSync(this.#path, { force: true })
    } catch {}
  }

  /** All or nothing. */
  #write(bytes: Buffer, position: number): void {
    const descriptor = this.#open()
    try {
      for (let written = 0; written < bytes.length; ) {
        written += this.#files.writeSync(descriptor, bytes, written, bytes.length - written, position + written)
      }
    } catch (error) {
      this.#cutBack(descriptor)
      throw error
    }
  }

  /**
   * A partial batch must not stay where the next one goes. If truncating fails as well, the next batch overwrites it.
   */
  #cutBack(descriptor: number): void {
    try {
      this.#files.ftruncateSync(descriptor, this.#size)
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

  /** The folder of a partition is made with its first file. */
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
