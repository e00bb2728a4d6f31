import type { SequenceRange } from './done-set.js'
import { encodeEntry, type StoredEntry } from './entry.js'
import type { Refusal } from './log-error.js'
import { LogStore, type LogStoreOptions } from './log-store.js'

/** Why a record will not be delivered. */
export interface DeadLetterReason {
  /** Kafka's error name or one of Castellan's, e.g. `MESSAGE_TOO_LARGE`. */
  readonly code: string
  readonly message: string
  /** Epoch milliseconds. */
  readonly diedAtMs: number
}

/** A record that Kafka refused for good, with everything needed to send it again. */
export interface DeadLetter {
  /** Its place among the dead letters; not the sequence it had in the log. */
  readonly sequence: number
  readonly destination: string
  /** When the gateway accepted the record, epoch milliseconds. */
  readonly acceptedAtMs: number
  readonly reason: DeadLetterReason
  /** The record, as `readLoggedRecord` reads it. */
  readonly body: Buffer
}

export interface DeadLetterList {
  readonly letters: readonly DeadLetter[]
  /** Where to go on. */
  readonly nextSequence: number
  readonly isAtEnd: boolean
}

/** Below the log's directory. */
export const DEAD_LETTER_DIRECTORY = 'dead'
const LENGTH_BYTES = 4

/**
 * Records that were acknowledged but can never be delivered. They are kept, in a log of their own below the log's
 * directory, until an operator sends them again or drops them. Opened with the first of them.
 *
 * The body of an entry is the length of the reason (u32), the reason as JSON, and the body the entry had in the log.
 */
export class DeadLetters {
  readonly #options: LogStoreOptions
  #store: LogStore | undefined

  /** @param options those of the log itself; `maxBytes` limits the dead letters alone */
  constructor(options: LogStoreOptions) {
    this.#options = options
  }

  get count(): number {
    const isThere = this.#store !== undefined || this.#options.directory.hasDirectory(DEAD_LETTER_DIRECTORY)
    return isThere ? this.#opened.stats.openEntries : 0
  }

  /** Keeps a record, synced. Returns why it could not be kept; it must stay in the log then. */
  add({ destination, acceptedAtMs, body }: StoredEntry, reason: DeadLetterReason): Refusal | undefined {
    const why = Buffer.from(JSON.stringify(reason))
    const length = Buffer.alloc(LENGTH_BYTES)
    length.writeUInt32BE(why.length)
    const entry = encodeEntry(destination, Buffer.concat([length, why, body]), acceptedAtMs)
    return this.#opened.commit(entry).refusal
  }

  /** The dead letters from `fromSequence` on, oldest first. */
  list(fromSequence: number, maxBytes: number): DeadLetterList {
    const { entries, isAtEnd, nextSequence } = this.#opened.read({ fromSequence, maxBytes })
    return { letters: entries.map(toDeadLetter), isAtEnd, nextSequence }
  }

  /** Forgets dead letters that were sent again or are not wanted. Returns how many. */
  forget(ranges: readonly SequenceRange[]): number {
    return this.#opened.complete(ranges)
  }

  tick(): void {
    this.#store?.tick()
  }

  close(): void {
    this.#store?.close()
  }

  get #opened(): LogStore {
    this.#store ??= new LogStore({
      ...this.#options,
      directory: this.#options.directory.directory(DEAD_LETTER_DIRECTORY),
      syncPuts: true,
      syncTakes: true
    })
    return this.#store
  }
}

export function toDeadLetter({ sequence, destination, acceptedAtMs, body }: StoredEntry): DeadLetter {
  const reasonEnd = LENGTH_BYTES + body.readUInt32BE(0)
  return {
    sequence,
    destination,
    acceptedAtMs,
    reason: JSON.parse(body.toString('utf8', LENGTH_BYTES, reasonEnd)) as DeadLetterReason,
    body: body.subarray(reasonEnd)
  }
}
