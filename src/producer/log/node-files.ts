import {
  closeSync,
  existsSync,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  statfsSync,
  unlinkSync,
  writeSync
} from 'node:fs'
import { join } from 'node:path'
import { makeDirectory } from '../../core/files/make-directory.js'
import { LogUnusableError } from './availability.js'
import { journalIdOf, type LogDirectory, type LogFile, segmentIdOf } from './files.js'

/**
 * One `write` of several MiB took seven times as long as the same bytes in pieces of this size, at offsets that are
 * multiples of it.
 */
const WRITE_PIECE_BYTES = 256 * 1024

const FLAGS = { read: 'r', write: 'r+', create: 'wx+' } as const

/** Whether the log is incomplete without this file. */
const isNeeded = (name: string): boolean => (segmentIdOf(name) ?? journalIdOf(name)) !== undefined

/** A directory of the real file system, private to its owner. Created when missing. */
export class NodeDirectory implements LogDirectory {
  readonly path: string

  constructor(path: string) {
    this.path = path
    makeDirectory(path)
  }

  list(): readonly string[] {
    const entries = readdirSync(this.path, { withFileTypes: true })
    const odd = entries.find(entry => !entry.isFile() && isNeeded(entry.name))
    if (odd !== undefined) {
      throw new LogUnusableError(
        `${odd.name} in ${this.path} is no regular file; links are not followed: put the file itself there, or take the name away`
      )
    }
    return entries.filter(entry => entry.isFile()).map(({ name }) => name)
  }

  open(name: string, mode: keyof typeof FLAGS): LogFile {
    return new NodeFile(openSync(join(this.path, name), FLAGS[mode], 0o600))
  }

  rename(from: string, to: string, into: LogDirectory = this): void {
    renameSync(join(this.path, from), join(into.path, to))
  }

  remove(name: string): void {
    unlinkSync(join(this.path, name))
  }

  sync(): void {
    const descriptor = openSync(this.path, 'r')
    try {
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
  }

  directory(name: string): LogDirectory
  directory(name: string, mustExist: true): LogDirectory | undefined
  directory(name: string, mustExist = false): LogDirectory | undefined {
    const path = join(this.path, name)
    return mustExist && !existsSync(path) ? undefined : new NodeDirectory(path)
  }

  freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.path)
    return bavail * bsize
  }
}

class NodeFile implements LogFile {
  readonly #descriptor: number

  constructor(descriptor: number) {
    this.#descriptor = descriptor
  }

  get sizeBytes(): number {
    return fstatSync(this.#descriptor).size
  }

  write(bytes: Uint8Array, position: number): void {
    for (let written = 0; written < bytes.length; ) {
      const toBoundary = WRITE_PIECE_BYTES - ((position + written) % WRITE_PIECE_BYTES)
      const length = Math.min(toBoundary, bytes.length - written)
      // A full disk shows as a short write first: Node reports it as a success.
      const count = writeSync(this.#descriptor, bytes, written, length, position + written)
      if (count === 0) throw Object.assign(new Error('the disk took no more bytes'), { code: 'ENOSPC' })
      written += count
    }
  }

  read(position: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafeSlow(length)
    let read = 0
    while (read < length) {
      const count = readSync(this.#descriptor, bytes, read, length - read, position + read)
      if (count === 0) break
      read += count
    }
    return bytes.subarray(0, read)
  }

  sync(): void {
    fdatasyncSync(this.#descriptor)
  }

  syncLater(): void {
    fdatasync(this.#descriptor, () => undefined)
  }

  truncate(sizeBytes: number): void {
    ftruncateSync(this.#descriptor, sizeBytes)
  }

  close(): void {
    closeSync(this.#descriptor)
  }
}
