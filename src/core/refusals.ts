import type { CastellanError, ErrorCode } from './errors.js'
import type { MonotonicClock, RecordFailure } from './model.js'
import { shortened } from './printable.js'
import { RecentRate } from './recent-rate.js'

/** Different reasons that are counted one by one. Further ones are counted under `other`. */
const MAX_REASONS = 100
const OTHER = { reason: 'other', setting: undefined }

/** A record that is refused before Kafka is asked. */
export function recordRefusal(code: ErrorCode, message: string, retriable: boolean): RecordFailure {
  return { type: 'failed', code, errorCode: undefined, message, persisted: 'no', retriable }
}

/** Why something was refused: an error, or the failure of a record. */
export interface RefusalReason {
  readonly code: CastellanError['code']
  readonly message: string
  readonly setting?: string | undefined
}

/** The unit that was refused: whole requests, before their bodies were used, or single records. */
export type Refused = 'requests' | 'records'

/** Requests or records that were refused for one reason. */
export interface RefusalCount {
  /** A code of docs/errors.md. */
  readonly reason: string
  readonly what: Refused
  /** The setting that the error names. */
  readonly setting: string | undefined
  readonly count: number
  /** Refusals per second in the last seconds. */
  readonly perSecond: number
  /** Monotonic milliseconds of the last one. */
  readonly lastAt: number
  /** The message of the last one. */
  readonly message: string
}

/** Requests that were answered 5xx by one API for one reason. */
export interface FailedAnswers {
  readonly api: string
  readonly status: number
  /** A code of docs/errors.md; `unknown`: the API has noted none. */
  readonly reason: string
  readonly count: number
  readonly perSecond: number
  readonly lastAt: number
}

type CountedRow<Row extends { perSecond: number }> = {
  -readonly [Field in keyof Omit<Row, 'perSecond'>]: Row[Field]
} & {
  readonly rate: RecentRate
}

/** Takes what was refused. */
export interface RefusalNotes {
  note(reason: RefusalReason, times?: number, what?: Refused): void
}

/** Counts requests and records that were refused, by reason and by setting. */
export class RefusalCounts implements RefusalNotes {
  readonly #clock: MonotonicClock
  readonly #counts = new Map<string, CountedRow<RefusalCount>>()
  readonly #answers = new Map<string, CountedRow<FailedAnswers>>()

  constructor(clock: MonotonicClock) {
    this.#clock = clock
  }

  note({ code, message, setting }: RefusalReason, times = 1, what: Refused = 'requests'): void {
    const nowMs = this.#clock()
    const count = entryOf(this.#counts, `${what} ${code} ${setting}`, `${what} other`, isKnown => {
      const named = isKnown ? { reason: code, setting } : OTHER
      return { ...named, what, count: 0, lastAt: 0, message: '', rate: new RecentRate(nowMs) }
    })
    addTo(count, times, nowMs)
    count.message = message
  }

  answered(api: string, status: number, code = 'unknown'): void {
    const nowMs = this.#clock()
    const count = entryOf(this.#answers, `${api} ${status} ${code}`, 'other', isKnown => {
      const named = isKnown ? { api, status, reason: code } : { api: OTHER.reason, status, reason: OTHER.reason }
      return { ...named, count: 0, lastAt: 0, rate: new RecentRate(nowMs) }
    })
    addTo(count, 1, nowMs)
  }

  /** The requests that were answered 5xx, each with a reason. */
  answers(): readonly FailedAnswers[] {
    const nowMs = this.#clock()
    return Array.from(this.#answers.values(), ({ rate, ...count }) => ({ ...count, perSecond: rate.perSecond(nowMs) }))
  }

  /** Messages are cut to a length that fits on a page. */
  all(): readonly RefusalCount[] {
    const nowMs = this.#clock()
    return Array.from(this.#counts.values(), ({ rate, ...count }) => ({
      ...count,
      perSecond: rate.perSecond(nowMs),
      message: shortened(count.message)
    }))
  }
}

/** The entry of a key. When there are too many keys, all further ones share one entry. */
function entryOf<Entry>(
  entries: Map<string, Entry>,
  key: string,
  others: string,
  make: (isKnown: boolean) => Entry
): Entry {
  const isKnown = entries.has(key) || entries.size < MAX_REASONS
  const found = entries.get(isKnown ? key : others)
  if (found !== undefined) return found
  const made = make(isKnown)
  entries.set(isKnown ? key : others, made)
  return made
}

function addTo(
  entry: { count: number; lastAt: number; readonly rate: RecentRate },
  times: number,
  nowMs: number
): void {
  entry.count += times
  entry.lastAt = nowMs
  entry.rate.add(times, nowMs)
}
