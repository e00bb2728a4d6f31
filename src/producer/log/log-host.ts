import type { LogStats, Refusal } from './availability.js'
import type { DestinationBacklog, DestinationSearch, FoundDestinations } from './backlog.js'
import { toBuffer } from './bytes.js'
import type { DeadLetterReason, DeadLetters } from './dead-letters.js'
import type { StoredEntry } from './entry.js'
import type { CommitResult, EntryStates, LogStore } from './log-store.js'
import type { OutcomeSearch } from './outcome-store.js'
import type { ReadRequest, ReadResult } from './requested-entries.js'
import type { SequenceRange } from './segment.js'

/** A small value that is kept by key; an empty one removes the key. */
export interface Note {
  readonly key: string
  readonly value: Uint8Array
}

/** The result of a group, and the memory that holds its entries as they stand in the log. */
export interface CommittedGroup extends CommitResult {
  /** One piece for each {@link LogHost.stage} of the group, then the piece of the commit. Belongs to the caller. */
  readonly memory: readonly Buffer[]
}

/** The log together with its dead letters, synchronous. Byte arrays may come from another thread. */
export class LogCore {
  readonly #store: LogStore
  readonly #deadLetters: DeadLetters
  #staged: Buffer[] = []

  constructor(store: LogStore, deadLetters: DeadLetters) {
    this.#store = store
    this.#deadLetters = deadLetters
  }

  stage(bytes: Buffer): void {
    this.#staged.push(bytes)
    this.#store.stage(bytes)
  }

  commit(bytes: Buffer): CommittedGroup {
    const memory = [...this.#staged, bytes]
    this.#staged = []
    return { ...this.#store.commit(bytes), memory }
  }

  /**
   * @param rows the outcomes of the entries
   * @returns how many entries had been open
   */
  complete(ranges: readonly SequenceRange[], rows?: Uint8Array): number {
    return this.#store.complete(ranges, rows && toBuffer(rows))
  }

  openRuns(range: SequenceRange): readonly SequenceRange[] {
    return this.#store.openRuns(range)
  }

  states(search: OutcomeSearch): EntryStates {
    return this.#store.states(search)
  }

  /** True when the notes survive the death of the process. */
  note(notes: readonly Note[]): boolean {
    return notes.map(({ key, value }) => this.#store.note(key, toBuffer(value))).every(Boolean)
  }

  read(request: ReadRequest): ReadResult {
    return this.#store.read(request)
  }

  backlog(): ReadonlyMap<string, DestinationBacklog> {
    return this.#store.backlog()
  }

  search(request: DestinationSearch): FoundDestinations {
    return this.#store.search(request)
  }

  /**
   * Keeps the entry among the dead letters, then completes it in the log: a crash in between leaves it in both.
   *
   * @returns why it could not be kept; the entry then stays in the log
   */
  deadLetter(entry: StoredEntry, reason: DeadLetterReason): Refusal | undefined {
    const refusal = this.#deadLetters.add(entry, reason)
    if (refusal) return refusal
    const { sequence, destination } = entry
    this.#store.completeDead({ type: 'deadLetter', sequence, destination, ...reason })
    return undefined
  }

  sync(): boolean {
    return this.#store.sync()
  }

  tick(): LogStats {
    this.#store.tick()
    this.#deadLetters.tick()
    return { ...this.#store.stats, deadLetters: this.#deadLetters.count, ...this.#store.outcomeStats }
  }

  close(): void {
    this.#store.close()
    this.#deadLetters.close()
  }
}

/** Calls of {@link LogCore} that need no memory of their own, by name. */
export type LogCalls = Omit<LogCore, 'stage' | 'commit'>
export type LogCallName = keyof LogCalls

/** Runs a {@link LogCore}: on a thread of its own, or in place in simulations. Calls are made in the order in which they come. */
export interface LogHost {
  /** Memory for entries that are going to be staged or committed, of exactly this size. */
  memory(sizeBytes: number): Buffer
  /**
   * Writes a part of a group; {@link commit} has the result.
   *
   * @param bytes unstamped entries, from the beginning of a {@link memory} that the caller must no longer use
   */
  stage(bytes: Buffer): void
  /** Writes the last part of a group, and makes the group as durable as the settings say. */
  commit(bytes: Buffer): Promise<CommittedGroup>
  /** Takes back the memory of a group: {@link memory} may give it again. */
  reuse(memory: readonly Buffer[]): void
  call<Name extends LogCallName>(name: Name, ...args: Parameters<LogCalls[Name]>): Promise<ReturnType<LogCalls[Name]>>
}
