import type { SequenceRange } from './done-set.js'
import type { ReadRequest } from './log-reader.js'
import type { CommitResult, LogStats, LogStore, ReadResult } from './log-store.js'

/** A small value kept by key; an empty one forgets the key. */
export interface Note {
  readonly key: string
  readonly value: Buffer
}

/** Where the log's synchronous core runs: on a thread of its own, or in place for simulations. */
export interface LogHost {
  /** @param bytes unstamped entries; they must not be touched until the result is there */
  commit(bytes: Buffer): Promise<CommitResult>
  complete(ranges: readonly SequenceRange[]): Promise<number>
  /** True when the notes survive the death of the process. */
  note(notes: readonly Note[]): Promise<boolean>
  read(request: ReadRequest): Promise<ReadResult>
  sync(): Promise<boolean>
  tick(): Promise<LogStats>
  close(): Promise<void>
}

/** Runs the core in place: every call blocks the caller for as long as the disk takes. */
export class InlineLogHost implements LogHost {
  readonly #store: LogStore

  constructor(store: LogStore) {
    this.#store = store
  }

  async commit(bytes: Buffer): Promise<CommitResult> {
    return this.#store.commit(bytes)
  }
  async complete(ranges: readonly SequenceRange[]): Promise<number> {
    return this.#store.complete(ranges)
  }
  async note(notes: readonly Note[]): Promise<boolean> {
    return notes.map(({ key, value }) => this.#store.note(key, value)).every(Boolean)
  }
  async read(request: ReadRequest): Promise<ReadResult> {
    return this.#store.read(request)
  }
  async sync(): Promise<boolean> {
    return this.#store.sync()
  }
  async tick(): Promise<LogStats> {
    this.#store.tick()
    return this.#store.stats
  }
  async close(): Promise<void> {
    this.#store.close()
  }
}
