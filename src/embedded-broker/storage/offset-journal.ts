import { topicPartitionKey } from '../../core/model.js'
import { FILE_MODE, type FileSystem } from './file-system.js'
import type { StoredOffset } from './storage.js'

/** The journal is rewritten when it has this many lines more than there are offsets. */
const STALE_LINES = 20_000

/** Committed offsets, one JSON object per line; the last line for a group and partition counts. */
export class OffsetJournal {
  readonly #path: string
  readonly #files: FileSystem
  readonly #offsets = new Map<string, StoredOffset>()
  #descriptor: number
  #lines = 0
  #sizeBytes = 0

  constructor(path: string, files: FileSystem) {
    this.#path = path
    this.#files = files
    if (files.existsSync(path)) for (const line of files.readFileSync(path, 'utf8').split('\n')) this.#load(line)
    this.#descriptor = this.#rewrite()
  }

  all(): StoredOffset[] {
    return [...this.#offsets.values()]
  }

  /** @throws Error when they could not be written; then none of them counts. */
  save(offsets: readonly StoredOffset[]): void {
    this.#append(Buffer.from(linesOf(offsets)))
    for (const offset of offsets) this.#put(offset)
    this.#lines += offsets.length
    if (this.#lines - this.#offsets.size > STALE_LINES) this.#shorten()
  }

  close(): void {
    this.#files.closeSync(this.#descriptor)
  }

  /** All or nothing: half a line would spoil the next one. */
  #append(bytes: Buffer): void {
    try {
      for (let written = 0; written < bytes.length; ) {
        const at = this.#sizeBytes + written
        written += this.#files.writeSync(this.#descriptor, bytes, written, bytes.length - written, at)
      }
    } catch (error) {
      try {
        this.#files.ftruncateSync(this.#descriptor, this.#sizeBytes)
      } catch {}
      throw error
    }
    this.#sizeBytes += bytes.length
  }

  /** The existing journal stays valid; when there is no room for a shorter one, it goes on growing. */
  #shorten(): void {
    const old = this.#descriptor
    try {
      this.#descriptor = this.#rewrite()
      this.#files.closeSync(old)
    } catch {
      this.#lines = this.#offsets.size
    }
  }

  #load(line: string): void {
    try {
      const stored = JSON.parse(line) as StoredOffset
      if (isStoredOffset(stored)) this.#put(stored)
    } catch {
      // Empty, or torn by a crash: it was not acknowledged.
    }
  }

  #put(stored: StoredOffset): void {
    const key = `${topicPartitionKey(stored.topic, stored.partition)}/${stored.groupId}`
    if (stored.offset >= 0) this.#offsets.set(key, stored)
    else this.#offsets.delete(key)
  }

  #rewrite(): number {
    const text = linesOf(this.#offsets.values())
    this.#files.writeFileSync(`${this.#path}.new`, text, { mode: FILE_MODE })
    this.#files.renameSync(`${this.#path}.new`, this.#path)
    this.#lines = this.#offsets.size
    this.#sizeBytes = Buffer.byteLength(text)
    return this.#files.openSync(this.#path, 'r+', FILE_MODE)
  }
}

const isStoredOffset = ({ groupId, topic, partition, offset, leaderEpoch, metadata }: StoredOffset): boolean =>
  typeof groupId === 'string' &&
  typeof topic === 'string' &&
  typeof metadata === 'string' &&
  [partition, offset, leaderEpoch].every(Number.isSafeInteger)

const linesOf = (offsets: Iterable<StoredOffset>): string =>
  [...offsets].map(offset => `${JSON.stringify(offset)}\n`).join('')
