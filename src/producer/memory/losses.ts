import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { Logger, MonotonicClock, RecordFailure } from '../../core/model.js'
import { RecentRate } from '../../core/recent-rate.js'

/** Views of losses that are kept. The losses of further topics are in one view for each API and reason. */
const MAX_VIEWS = 100
/** Pause between log lines about losses for the same reason; each line has the sum since the last one. */
const LOG_EVERY_MS = 10_000

export interface Loss extends Pick<RecordFailure, 'code' | 'message'> {
  readonly topic?: string | undefined
}

/** Lost records of one topic that one API had accepted, for one reason. */
interface LossView {
  /** The API that had accepted the records. */
  readonly api: string
  /** `undefined`: several topics. */
  readonly topic: string | undefined
  /** A code of docs/errors.md. */
  readonly reason: string
  /** The message of the last one. */
  readonly message: string
  readonly records: number
  /** Losses per second in the last seconds. */
  readonly perSecond: number
  /** Monotonic milliseconds. */
  readonly firstAt: number
  readonly lastAt: number
}

type Kept = { -readonly [Field in keyof Omit<LossView, 'perSecond'>]: LossView[Field] } & { readonly rate: RecentRate }

export interface LossesDeps {
  readonly metrics: MetricsLogger
  readonly log: Logger
  readonly clock: MonotonicClock
}

/** Losses of one API for one reason. */
interface Account {
  readonly api: string
  readonly reason: string
  /** Losses that are not in the metric yet. */
  uncounted: number
  /** Losses that were not logged yet. */
  untold: number
  toldAt: number
  last: Loss
}

/**
 * Counts lost records of one cluster: an API has told its client that they are accepted, no caller waits for their outcome, and
 * they are not known to be in Kafka. Many records may be lost at the same moment, so metric and log get sums.
 */
export class Losses {
  readonly #deps: LossesDeps
  readonly #accounts = new Map<string, Account>()
  /** Losses by API, reason and topic, for the status page. */
  readonly #kept = new Map<string, Kept>()
  /** The entry of the last loss: many records are lost at the same moment, mostly for the same reason. */
  #last: Kept | undefined
  records = 0
  #isScheduled = false
  #timer: NodeJS.Timeout | undefined

  constructor(deps: LossesDeps) {
    this.#deps = deps
  }

  views(): readonly LossView[] {
    const nowMs = this.#deps.clock()
    return Array.from(this.#kept.values(), ({ rate, ...kept }) => ({ ...kept, perSecond: rate.perSecond(nowMs) }))
  }

  add(api: string, loss: Loss, records = 1): void {
    this.records += records
    this.#keep(api, loss, records)
    const account = this.#accountOf(api, loss)
    account.uncounted += records
    account.untold += records
    account.last = loss
    if (this.#isScheduled) return
    this.#isScheduled = true
    queueMicrotask(() => this.#report(false))
  }

  close(): void {
    this.#report(true)
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #keep(api: string, loss: Loss, records: number): void {
    const nowMs = this.#deps.clock()
    const kept = this.#keptOf(api, loss, nowMs)
    kept.records += records
    kept.rate.add(records, nowMs)
    kept.lastAt = nowMs
    kept.message = loss.message
    this.#last = kept
  }

  #keptOf(api: string, { code, topic }: Loss, nowMs: number): Kept {
    const last = this.#last
    if (last !== undefined && last.api === api && last.topic === topic && last.reason === code) return last
    const found = this.#kept.get(`${api} ${code} ${topic ?? ''}`)
    if (found !== undefined) return found
    const place = this.#kept.size < MAX_VIEWS ? topic : undefined
    const key = `${api} ${code} ${place ?? ''}`
    const rate = new RecentRate(nowMs)
    const empty = { api, topic: place, reason: code, message: '', records: 0, rate, firstAt: nowMs, lastAt: nowMs }
    const kept = this.#kept.get(key) ?? empty
    this.#kept.set(key, kept)
    return kept
  }

  #accountOf(api: string, loss: Loss): Account {
    const key = `${api} ${loss.code}`
    let account = this.#accounts.get(key)
    if (account === undefined) {
      account = { api, reason: loss.code, uncounted: 0, untold: 0, toldAt: Number.NEGATIVE_INFINITY, last: loss }
      this.#accounts.set(key, account)
    }
    return account
  }

  #report(isLast: boolean): void {
    this.#isScheduled = false
    for (const account of this.#accounts.values()) {
      const { api, reason, uncounted } = account
      if (uncounted > 0) this.#deps.metrics.count('delivery', 'lost_records', { api, reason }, uncounted)
      account.uncounted = 0
      if (account.untold > 0) this.#tell(account, isLast)
    }
  }

  #tell(account: Account, isLast: boolean): void {
    const { clock, log } = this.#deps
    const nowMs = clock()
    if (!isLast && nowMs - account.toldAt < LOG_EVERY_MS) {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined
        this.#report(false)
      }, LOG_EVERY_MS).unref()
      return
    }
    const { api, reason, untold: records, last } = account
    account.untold = 0
    account.toldAt = nowMs
    const fields = { records, api, reason, topic: last.topic, lostRecords: this.records }
    const what =
      records === 1 ? `1 record that ${api} had accepted is` : `${records} records that ${api} had accepted are`
    // The numbers make each line different, so that none is suppressed as a repetition.
    log.error(fields, `${what} lost, ${this.records} in all since the start: ${last.message}`)
  }
}
