import type { DestinationBacklog } from './backlog.js'
import type { DeadLetterList, DeadLetterReason, DeadLetters } from './dead-letters.js'
import type { DestinationSearch, FoundDestinations } from './destination-search.js'
import type { SequenceRange } from './done-set.js'
import type { StoredEntry } from './entry.js'
import type { Refusal } from './log-error.js'
import type { LogStats } from './log-stats.js'
import type { CommitResult, LogStore } from './log-store.js'
import type { ReadRequest, ReadResult } from './read-request.js'

/** A small value kept by key; an empty one forgets the key. */
export interface Note {
  readonly key: string
  readonly value: Buffer
}

/** What became of a group, and the memory that it came in: its entries stand there as they do in the log. */
export interface CommittedGroup extends CommitResult {
  /** One piece for each {@link LogHost.stage} of the group, and the one of the commit. Belongs to the caller. */
  readonly memory: readonly Buffer[]
}

/** Where the log's synchronous core runs: on a thread of its own, or in place for simulations. */
export interface LogHost {
  /** Memory for entries that are going to be staged or committed, of exactly this size. */
  memory(sizeBytes: number): Buffer
  /**
   * Writes a part of a group; {@link commit} tells what became of it.
   *
   * @param bytes unstamped entries, from the beginning of a {@link memory} that must not be touched any more
   */
  stage(bytes: Buffer): void
  /** Writes the last part of a group, and makes the group as durable as the settings say. */
  commit(bytes: Buffer): Promise<CommittedGroup>
  /** Takes back the memory of a group: {@link memory} may give it again. */
  reuse(memory: readonly Buffer[]): void
  complete(ranges: readonly SequenceRange[]): Promise<number>
  /** True when the notes survive the death of the process. */
  note(notes: readonly Note[]): Promise<boolean>
  read(request: ReadRequest): Promise<ReadResult>
  /** Who has entries that are not completed. */
  backlog(): Promise<ReadonlyMap<string, DestinationBacklog>>
  /** Which destinations have entries that are not completed, from some sequence on. */
  search(request: DestinationSearch): Promise<FoundDestinations>
  /** Makes a dead letter of an entry: kept, synced, and completed in the log. Otherwise it stays where it is. */
  deadLetter(entry: StoredEntry, reason: DeadLetterReason): Promise<Refusal | undefined>
  listDeadLetters(fromSequence: number, maxBytes: number): Promise<DeadLetterList>
  forgetDeadLetters(ranges: readonly SequenceRange[]): Promise<number>
  sync(): Promise<boolean>
  tick(): Promise<LogStats>
  close(): Promise<void>
}

/** Runs the core in place: every call blocks the caller for as long as the disk takes. */
export class InlineLogHost implements LogHost {
  readonly #store: LogStore
  readonly #deadLetters: DeadLetters
  #staged: Buffer[] = []

  constructor(store: LogStore, deadLetters: DeadLetters) {
    this.#store = store
    this.#deadLetters = deadLetters
  }

  memory(sizeBytes: number): Buffer {
    return Buffer.allocUnsafeSlow(sizeBytes)
  }
  stage(bytes: Buffer): void {
    this.#staged.push(bytes)
    this.#store.stage(bytes)
  }
  async commit(bytes: Buffer): Promise<CommittedGroup> {
    const memory = [...this.#staged, bytes]
    this.#staged = []
    return { ...this.#store.commit(bytes), memory }
  }
  reuse(): void {}
  async complete(ranges: readonly SequenceRange[]): Promise<number> {
    return this.#store.complete(ranges)
  }
  async note(notes: readonly Note[]): Promise<boolean> {
    return notes.map(({ key, value }) => this.#store.note(key, value)).every(Boolean)
  }
  async read(request: ReadRequest): Promise<ReadResult> {
    return this.#store.read(request)
  }
  async backlog(): Promise<ReadonlyMap<string, DestinationBacklog>> {
    return this.#store.backlog()
  }
  async search(request: DestinationSearch): Promise<FoundDestinations> {
    return this.#store.search(request)
  }
  async deadLetter(entry: StoredEntry, reason: DeadLetterReason): Promise<Refusal | undefined> {
    return deadLetter(this.#store, this.#deadLetters, entry, reason)
  }
  async listDeadLetters(fromSequence: number, maxBytes: number): Promise<DeadLetterList> {
    return this.#deadLetters.list(fromSequence, maxBytes)
  }
  async forgetDeadLetters(ranges: readonly SequenceRange[]): Promise<number> {
    return this.#deadLetters.forget(ranges)
  }
  async sync(): Promise<boolean> {
    return this.#store.sync()
  }
  async tick(): Promise<LogStats> {
    this.#store.tick()
    this.#deadLetters.tick()
    return { ...this.#store.stats, deadLetters: this.#deadLetters.count }
  }
  async close(): Promise<void> {
    this.#store.close()
    this.#deadLetters.close()
  }
}

/** First kept among the dead letters, then completed in the log: a crash in between keeps both. */
export function deadLetter(
  store: LogStore,
  deadLetters: DeadLetters,
  entry: StoredEntry,
  reason: DeadLetterReason
): Refusal | undefined {
  const refusal = deadLetters.add(entry, reason)
  if (!refusal) store.complete([{ first: entry.sequence, count: 1 }])
  return refusal
}
