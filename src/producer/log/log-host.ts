import type { LogStats, Refusal } from './availability.js'
import { toBuffer } from './bytes.js'
import { type DeadLetterReason, DeadLetters } from './dead-letters.js'
import type { StoredEntry } from './entry.js'
import { type CommitResult, LogStore, type LogStoreOptions } from './log-store.js'

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
export class LogCore extends LogStore {
  readonly #deadLetters: DeadLetters
  #staged: Buffer[] = []

  /**
   * @param maxDeadLetterBytes disk space for dead letters
   * @throws LogUnusableError when the directory belongs to another release or cannot be read
   */
  constructor(options: LogStoreOptions, maxDeadLetterBytes: number) {
    super(options)
    this.#deadLetters = new DeadLetters({ ...options, maxBytes: maxDeadLetterBytes })
  }

  override stage(bytes: Buffer): void {
    this.#staged.push(bytes)
    super.stage(bytes)
  }

  /** Stages the last part, too. */
  override commit(bytes: Buffer): CommittedGroup {
    const result = super.commit(bytes)
    const memory = this.#staged
    this.#staged = []
    return { ...result, memory }
  }

  /** True when the notes survive the death of the process. */
  noteAll(notes: readonly Note[]): boolean {
    return notes.map(({ key, value }) => this.note(key, toBuffer(value))).every(Boolean)
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
    this.completeDead({ type: 'deadLetter', sequence, destination, ...reason })
    return undefined
  }

  /** Called about once a second. */
  look(): LogStats {
    this.tick()
    this.#deadLetters.tick()
    return { ...this.stats, deadLetters: this.#deadLetters.count, ...this.outcomeStats }
  }

  override close(): void {
    super.close()
    this.#deadLetters.close()
  }
}

/** Calls of {@link LogCore} that need no memory of their own, by name. */
export type LogCalls = Pick<
  LogCore,
  | 'complete'
  | 'openRuns'
  | 'states'
  | 'noteAll'
  | 'read'
  | 'backlog'
  | 'search'
  | 'deadLetter'
  | 'sync'
  | 'look'
  | 'close'
>
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
