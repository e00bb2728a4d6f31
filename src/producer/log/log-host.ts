import type { LogRefusal, LogStats } from './availability.js'
import { type DeadLetterReason, DeadLetters } from './dead-letters.js'
import type { StoredEntry } from './entry.js'
import { LogStore, type LogStoreOptions } from './log-store.js'

/** The log together with its dead letters, synchronous. Byte arrays may come from another thread. */
export class LogCore extends LogStore {
  readonly #deadLetters: DeadLetters

  /**
   * @param maxDeadLetterBytes disk space for dead letters
   * @throws LogUnusableError when the directory belongs to another release or cannot be read
   */
  constructor(options: LogStoreOptions, maxDeadLetterBytes: number) {
    super(options)
    this.#deadLetters = new DeadLetters({ ...options, maxBytes: maxDeadLetterBytes })
  }

  /**
   * Keeps the entry among the dead letters, then completes it in the log: a crash in between leaves it in both.
   *
   * @returns why it could not be kept; the entry then stays in the log
   */
  deadLetter(entry: StoredEntry, reason: DeadLetterReason): LogRefusal | undefined {
    const refusal = this.#deadLetters.add(entry, reason)
    if (refusal) return refusal
    const { sequence, destination } = entry
    this.settle([{ first: sequence, count: 1 }], [{ type: 'deadLetter', sequence, destination, ...reason }])
    return undefined
  }

  /** Called about once a second. */
  look(): LogStats {
    this.tick()
    this.#deadLetters.tick()
    return { ...this.stats, deadLetters: this.#deadLetters.count, deadDestinations: this.#deadLetters.destinations }
  }

  override close(): void {
    super.close()
    this.#deadLetters.close()
  }
}

export type LogCallName =
  | 'commit'
  | 'complete'
  | 'openRuns'
  | 'states'
  | 'note'
  | 'read'
  | 'backlog'
  | 'search'
  | 'deadLetter'
  | 'sync'
  | 'look'
  | 'close'

/** Calls of {@link LogCore}, by name. */
export type LogCalls = Pick<LogCore, LogCallName>

/** Runs a {@link LogCore}: on a thread of its own, or in place in simulations. */
export interface LogHost {
  /** Makes a call, after those before it. The memory that `commit` is given belongs to the log until its result has it. */
  call<Name extends LogCallName>(name: Name, ...args: Parameters<LogCalls[Name]>): Promise<ReturnType<LogCalls[Name]>>
}
