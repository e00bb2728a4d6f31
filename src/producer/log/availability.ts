import { CastellanError } from '../../core/errors.js'
import type { MonotonicClock } from '../../core/model.js'
import { codeOf, messageOf } from '../../core/node-errors.js'

/** Why the log took no entry. */
type RefusalKind =
  /** The disk, or the log's limit, is full. The log resumes by itself when there is space. */
  | 'full'
  /** The disk failed. A new segment is tried from time to time. */
  | 'failed'
  | 'closed'
  /** The entry is larger than a segment: it will never fit. */
  | 'tooLarge'

/** The log did not take entries. */
export interface LogRefusal {
  readonly kind: RefusalKind
  readonly message: string
  /** False when the entries may reappear after a power cut, because the failed write could not be undone for certain. */
  readonly isCertain: boolean
  /** The setting to change; absent: there is none. */
  readonly setting?: string | undefined
}

/** A refusal of entries that are certainly not in the log. */
export const refuse = (kind: RefusalKind, message: string): LogRefusal => ({ kind, message, isCertain: true })

export const tooMuchWaits = (maxBytes: number): LogRefusal => ({
  ...refuse('full', `${maxBytes} bytes wait for the disk already (advanced.wal.maxWaitingBytes)`),
  setting: 'advanced.wal.maxWaitingBytes'
})

/** The directory cannot be used as a durable log; the message says why and what to do. */
export class LogUnusableError extends CastellanError {
  override readonly name = 'LogUnusableError'
  constructor(message: string, cause?: unknown, setting?: string) {
    super('invalidConfig', message, false, cause, setting)
  }
}

const FULL_CODES: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

/** No space, as the disk, a quota or a limit on file sizes reports it. */
export const isFullDisk = (error: unknown): boolean => FULL_CODES.has(codeOf(error))

export type LogState = 'ok' | 'full' | 'failed' | 'closed'

const RETRY_AFTER_FULL_MS = 1_000
const RETRY_AFTER_FAILURE_MS = 10_000

/** Whether the log takes appends now. After a failure, appends are tried again after a pause. */
export class Availability {
  readonly #clock: MonotonicClock
  #state: LogState = 'ok'
  #retryAt = 0
  #lastError = ''

  constructor(clock: MonotonicClock) {
    this.#clock = clock
  }

  get state(): LogState {
    return this.#state
  }

  /** Why appends are refused without trying; `undefined`: they are tried. */
  get refusal(): LogRefusal | undefined {
    if (this.#state === 'closed') return refuse('closed', 'the durable log is closed')
    if (this.#state === 'ok' || this.#clock() >= this.#retryAt) return undefined
    return refuse(this.#state, this.#lastError)
  }

  /** A write failed; the log may still accept entries. @returns the message of the failure */
  failed(error: unknown): string {
    this.#lastError = `the durable log could not be written: ${messageOf(error)}`
    return this.#lastError
  }

  /** Refuses appends for a while because of `error`. */
  pause(error: unknown): void {
    const isFull = isFullDisk(error)
    this.#state = isFull ? 'full' : 'failed'
    this.#retryAt = this.#clock() + (isFull ? RETRY_AFTER_FULL_MS : RETRY_AFTER_FAILURE_MS)
  }

  resume(): void {
    this.#state = 'ok'
  }

  close(): void {
    this.#state = 'closed'
  }
}

/** Statistics of the log without its dead letters. */
export interface StoreStats {
  readonly state: LogState
  readonly segmentCount: number
  /** Disk space of the log without dead letters. */
  readonly sizeBytes: number
  /** Entries that are not completed. */
  readonly openEntries: number
  /** Entries that were open when the log was opened, and those appended since. */
  readonly enqueued: number
  /** Entries that were completed since. */
  readonly completed: number
  /** Entries lost to damage, as far as damage was found. */
  readonly damagedEntries: number
  /** Syncs of files since the log was opened. */
  readonly syncs: number
  readonly quarantinedSegments: number
  /** Open entries that the disk cannot read: they wait in `quarantine/` for an operator. */
  readonly setAsideEntries: number
  /** Receipts of completed entries are kept. */
  readonly hasOutcomes: boolean
  /** Disk space of what became of completed entries. */
  readonly outcomeBytes: number
  /** Entries whose outcome could not be written. */
  readonly lostOutcomes: number
  /** Files of receipts and keys in which damage was found. */
  readonly damagedFiles: number
}

/** Statistics of the log. */
export interface LogStats extends StoreStats {
  readonly deadLetters: number
  /** Destinations with the most dead letters, and their number: `['default/orders', 3]`. */
  readonly deadDestinations: readonly (readonly [destination: string, letters: number])[]
}
