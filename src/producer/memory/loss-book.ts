import type { MonotonicClock, RecordFailure } from '../../core/model.js'
import { RecentRate } from '../../core/recent-rate.js'

export interface Loss extends Pick<RecordFailure, 'code' | 'message'> {
  readonly topic?: string | undefined
}

/** Different pages of the book. The losses of further topics are written on one page for each API and reason. */
const MAX_PAGES = 100

/** Lost records of one topic that one API had accepted, for one reason. */
export interface LossView {
  /** The API that had accepted the records. */
  readonly api: string
  /** `undefined`: several topics. */
  readonly topic: string | undefined
  /** A code of docs/errors.md. */
  readonly reason: string
  /** The message of the last one. */
  readonly message: string
  readonly records: number
  /** As of the last seconds. */
  readonly perSecond: number
  /** Monotonic milliseconds. */
  readonly firstAt: number
  readonly lastAt: number
}

interface Page {
  readonly api: string
  readonly topic: string | undefined
  readonly reason: string
  message: string
  records: number
  readonly rate: RecentRate
  readonly firstAt: number
  lastAt: number
}

/** Keeps what was lost, by API, topic and reason, for people who look. */
export class LossBook {
  readonly #clock: MonotonicClock
  readonly #pages = new Map<string, Page>()
  /** Many records are lost at the same moment, mostly for the same reason. */
  #last: Page | undefined

  constructor(clock: MonotonicClock) {
    this.#clock = clock
  }

  add(api: string, loss: Loss, records: number): void {
    const nowMs = this.#clock()
    const page = this.#pageOf(api, loss, nowMs)
    page.records += records
    page.rate.add(records, nowMs)
    page.lastAt = nowMs
    page.message = loss.message
  }

  views(): readonly LossView[] {
    const nowMs = this.#clock()
    return Array.from(this.#pages.values(), ({ rate, ...page }) => ({ ...page, perSecond: rate.perSecond(nowMs) }))
  }

  #pageOf(api: string, { code, topic }: Loss, nowMs: number): Page {
    const last = this.#last
    if (last !== undefined && last.api === api && last.topic === topic && last.reason === code) return last
    const key = `${api} ${code} ${topic ?? ''}`
    const known =
      this.#pages.get(key) ?? (this.#pages.size < MAX_PAGES ? undefined : this.#pages.get(`${api} ${code} `))
    if (known !== undefined) {
      this.#last = known
      return known
    }
    const isFull = this.#pages.size >= MAX_PAGES
    const page: Page = {
      api,
      topic: isFull ? undefined : topic,
      reason: code,
      message: '',
      records: 0,
      rate: new RecentRate(nowMs),
      firstAt: nowMs,
      lastAt: nowMs
    }
    this.#pages.set(isFull ? `${api} ${code} ` : key, page)
    this.#last = page
    return page
  }
}
