import type { Persisted } from '../../core/model.js'
import type { LogRefusal, LogStats } from './availability.js'
import { encodeEntry, type StoredEntry } from './entry.js'
import { LogStore, type LogStoreOptions } from './log-store.js'
import type { SequenceRange } from './segment.js'

/** Why a record will not be delivered. */
export interface DeadLetterReason {
  /** Kafka's error name or one of Castellan's, e.g. `MESSAGE_TOO_LARGE`. */
  readonly code: string
  readonly message: string
  /** Epoch milliseconds. */
  readonly diedAtMs: number
  /** Whether Kafka may have it from an earlier attempt; absent in files of earlier versions. */
  readonly persisted?: Persisted | undefined
}

/** A record that Kafka refused for good, with everything needed to send it again. */
export interface DeadLetter {
  /** Position among the dead letters, which is not the former sequence in the log. */
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
  /** Sequence from which the next call continues. */
  readonly nextSequence: number
  readonly isAtEnd: boolean
}

/** Directory of dead letters, below that of the log. */
export const DEAD_LETTER_DIRECTORY = 'dead'
const LENGTH_BYTES = 4
const MAX_DESTINATIONS = 50

/**
 * Records that were acknowledged but can never be delivered. They are kept in a log of their own below the log's
 * directory until an operator replays or discards them. That log is opened when the first dead letter is made.
 *
 * The body of an entry is the length of the reason (u32), the reason as JSON, and the body the entry had in the log.
 */
export class DeadLetters {
  readonly #options: LogStoreOptions
  #store: LogStore | undefined
  #counts: Map<string, number> | undefined

  /** @param options those of the log itself; `maxBytes` limits the dead letters alone */
  constructor(options: LogStoreOptions) {
    this.#options = options
  }

  get count(): number {
    if (!this.#store && !this.#options.directory.directory(DEAD_LETTER_DIRECTORY, true)) return 0
    return this.#opened.stats.openEntries
  }

  /** Keeps a record, synced. @returns why it could not be kept; the record must then stay in the log */
  add({ destination, acceptedAtMs, body }: StoredEntry, reason: DeadLetterReason): LogRefusal | undefined {
    const why = Buffer.from(JSON.stringify(reason))
    const length = Buffer.alloc(LENGTH_BYTES)
    length.writeUInt32BE(why.length)
    const entry = encodeEntry(destination, Buffer.concat([length, why, body]), acceptedAtMs)
    const { refusal } = this.#opened.commit(entry)
    if (refusal === undefined) this.#counts?.set(destination, (this.#counts.get(destination) ?? 0) + 1)
    return refusal
  }

  /** Destinations with most dead letters, and how many each has. The indexes of all segments are read the first time only. */
  get destinations(): LogStats['deadDestinations'] {
    if (this.count === 0) return []
    this.#counts ??= new Map([...this.#opened.backlog()].map(([name, { openEntries }]) => [name, openEntries]))
    return [...this.#counts].sort(([, one], [, other]) => other - one).slice(0, MAX_DESTINATIONS)
  }

  /** The dead letters from `fromSequence` on, oldest first. */
  list(fromSequence: number, maxBytes: number): DeadLetterList {
    const { entries, isAtEnd, nextSequence } = this.#opened.read({ fromSequence, maxBytes })
    return { letters: entries.map(toDeadLetter), isAtEnd, nextSequence }
  }

  /** Removes dead letters that were replayed or discarded. @returns how many */
  forget(ranges: readonly SequenceRange[]): number {
    this.#counts = undefined
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
      syncTakes: true,
      receipts: undefined
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
    reason: JSON.parse(body.toString('utf8', LENGTH_BYTES, reasonEnd)),
    body: body.subarray(reasonEnd)
  }
}
