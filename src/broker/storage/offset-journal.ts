import { closeSync, existsSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs'
import { topicPartitionKey } from '../../model.js'
import type { StoredOffset } from './storage.js'

/** Rewritten when it has grown to so many lines more than there are offsets. */
const STALE_LINES = 20_000

/** Committed offsets, one JSON object per line; the last line for a group and partition counts. */
export class OffsetJournal {
  readonly #path: string
  readonly #offsets = new Map<string, StoredOffset>()
  #descriptor: number
  #lines = 0

  constructor(path: string) {
    this.#path = path
    if (existsSync(path)) for (const line of readFileSync(path, 'utf8').split('\n')) this.#load(line)
    this.#descriptor = this.#rewrite()
  }

  all(): StoredOffset[] {
    return [...this.#offsets.values()]
  }

  save(offsets: readonly StoredOffset[]): void {
    for (const offset of offsets) this.#put(offset)
    writeSync(this.#descriptor, linesOf(offsets))
    this.#lines += offsets.length
    if (this.#lines - this.#offsets.size > STALE_LINES) {
      closeSync(this.#descriptor)
      this.#descriptor = this.#rewrite()
    }
  }

  close(): void {
    closeSync(this.#descriptor)
  }

  #load(line: string): void {
    try {
      this.#put(JSON.parse(line) as StoredOffset)
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
    writeFileSync(`${this.#path}.new`, linesOf(this.#offsets.values()))
    renameSync(`${this.#path}.new`, this.#path)
    this.#lines = this.#offsets.size
    return openSync(this.#path, 'a')
  }
}

const linesOf = (offsets: Iterable<StoredOffset>): string =>
  [...offsets].map(offset => `${JSON.stringify(offset)}\n`).join('')
