import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  writeSync
} from 'node:fs'
import type { SegmentBytes } from '../log/segment-bytes.js'

/** One segment in one file. Opened when first used; what is written is in the page cache when `append` returns. */
export class FileBytes implements SegmentBytes {
  readonly #path: string
  #size: number
  #descriptor: number | undefined

  constructor(path: string) {
    this.#path = path
    this.#size = existsSync(path) ? statSync(path).size : 0
  }

  get sizeBytes(): number {
    return this.#size
  }

  append(bytes: Buffer): void {
    const descriptor = this.#open()
    try {
      for (let written = 0; written < bytes.length; ) {
        written += writeSync(descriptor, bytes, written, bytes.length - written, this.#size + written)
      }
    } catch (error) {
      // Half a batch must not stay where the next one goes.
      ftruncateSync(descriptor, this.#size)
      throw error
    }
    this.#size += bytes.length
  }

  read(position: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafeSlow(Math.max(0, Math.min(length, this.#size - position)))
    const wasOpen = this.#descriptor !== undefined
    const descriptor = this.#open()
    let read = 0
    while (read < bytes.length) {
      const count = readSync(descriptor, bytes, read, bytes.length - read, position + read)
      if (count === 0) break
      read += count
    }
    if (!wasOpen) this.close()
    return bytes.subarray(0, read)
  }

  /** Keeps the file open until `close`, for many reads in a row. */
  open(): void {
    this.#open()
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
    this.#descriptor = undefined
  }

  remove(): void {
    this.close()
    rmSync(this.#path, { force: true })
    this.#size = 0
  }

  #open(): number {
    if (this.#descriptor !== undefined) return this.#descriptor
    const descriptor = openSync(this.#path, existsSync(this.#path) ? 'r+' : 'w+')
    this.#size = fstatSync(descriptor).size
    this.#descriptor = descriptor
    return descriptor
  }
}
