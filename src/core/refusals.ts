import type { MonotonicClock } from './model.js'
import { shortened } from './printable.js'

/** Different reasons that are counted one by one. Further ones are counted under `other`. */
const MAX_REASONS = 100
const OTHER = { reason: 'other', setting: undefined }

/** Names of settings as they stand in the messages of errors: `delivery.maxBytes`. */
const SETTING =
  /\b(?:advanced\.)?(?:access|apis|auth|consumer|delivery|http|management|quotas|router|wal|workers)\.[a-z]\w*(?:\.\w+)*/
/** Sections that an error names as a whole. */
const SECTION = /\((quotas|access\.rules)\)/

/** Requests or records that were refused for one reason. */
export interface RefusalCount {
  /** A code of docs/errors.md. */
  readonly reason: string
  /** The setting that the error names; `undefined`: it names none. */
  readonly setting: string | undefined
  readonly count: number
  /** Monotonic milliseconds of the last one. */
  readonly lastAt: number
  /** The message of the last one. */
  readonly message: string
}

/** Counts requests and records that were refused, by reason and by the setting that the error names. */
export class Refusals {
  readonly #clock: MonotonicClock
  readonly #counts = new Map<string, { -readonly [Field in keyof RefusalCount]: RefusalCount[Field] }>()

  constructor(clock: MonotonicClock) {
    this.#clock = clock
  }

  note({ code, message }: { readonly code: string; readonly message: string }, times = 1): void {
    const setting = SETTING.exec(message)?.[0] ?? SECTION.exec(message)?.[1]
    const key = `${code} ${setting}`
    let count = this.#counts.get(key)
    if (count === undefined) {
      const isKnown = this.#counts.size < MAX_REASONS
      const named = isKnown ? { reason: code, setting } : OTHER
      count = this.#counts.get(isKnown ? key : OTHER.reason) ?? { ...named, count: 0, lastAt: 0, message: '' }
      this.#counts.set(isKnown ? key : OTHER.reason, count)
    }
    count.count += times
    count.lastAt = this.#clock()
    count.message = message
  }

  /** Messages are cut to a length that fits on a page. */
  all(): readonly RefusalCount[] {
    return Array.from(this.#counts.values(), count => ({ ...count, message: shortened(count.message) }))
  }
}
