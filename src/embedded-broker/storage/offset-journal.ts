import { topicPartitionKey } from '../../core/model.js'
import { FILE_MODE, type FileSystem, writeWhole } from './file-bytes.js'
import { isForgotten, type StoredOffset } from './storage.js'

/** The journal is rewritten when the number of its lines exceeds the number of offsets by this number. */
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

  /** @throws Error when the offsets could not be written; none of them is stored then */
  save(offsets: readonly StoredOffset[]): void {
    const bytes = Buffer.from(linesOf(offsets))
    writeWhole(this.#files, this.#descriptor, bytes, this.#sizeBytes, this.#sizeBytes)
    this.#sizeBytes += bytes.length
    for (const offset of offsets) this.#put(offset)
    this.#lines += offsets.length
    if (this.#lines - this.#offsets.size > STALE_LINES) this.#shorten()
  }

  close(): void {
    this.#files.closeSync(this.#descriptor)
  }

  /** Rewrites the journal. If the disk has no space for the new file, the old file stays valid and grows further. */
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
      // The line is empty or was torn by a crash. Its offsets were not acknowledged.
    }
  }

  #put(stored: StoredOffset): void {
    const key = `${topicPartitionKey(stored.topic, stored.partition)}/${stored.groupId}`
    if (isForgotten(stored)) this.#offsets.delete(key)
    else this.#offsets.set(key, stored)
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
