import { type Amount, type MonotonicClock, SECOND_MS, type TellProgress } from '../../core/model.js'
import { bytesText, countOf, durationText } from '../../http/status/units.js'

/** Between two lines of a log. */
const TELL_EVERY_MS = 10_000

/** Goes to the begin of a line of a terminal, and removes it. */
export const ANEW = '\r\u001b[K'

/**
 * Says how far long work is: records, bytes, rate, and what is left. Says nothing of work that ends before the first
 * pause, or that stands still.
 */
export class ProgressTeller {
  readonly #say: (text: string) => void
  readonly #now: MonotonicClock
  readonly #everyMs: number
  /** The part of the work that was told of last. */
  #of: string | undefined
  #startedAt: number
  #calledAt: number
  #toldAt: number
  #told: Amount = { records: 0, bytes: 0 }

  constructor(say: (text: string) => void, now: MonotonicClock, everyMs = TELL_EVERY_MS) {
    this.#say = say
    this.#now = now
    this.#everyMs = everyMs
    this.#startedAt = this.#calledAt = this.#toldAt = now()
  }

  readonly tell: TellProgress = (done, left, of) => {
    const nowMs = this.#now()
    if (of !== this.#of) this.#startedAt = this.#calledAt
    this.#of = of
    this.#calledAt = nowMs
    const isAsBefore = done.records === this.#told.records && done.bytes === this.#told.bytes
    if (nowMs - this.#toldAt < this.#everyMs || isAsBefore) return
    this.#toldAt = nowMs
    this.#told = { ...done }
    this.#say(textOf(done, left, nowMs - this.#startedAt))
  }
}

/** `12 345 records, 4.8 GiB, 310 MiB/s; 1.2 GiB left, 4 s` */
function textOf(done: Amount, left: Amount, tookMs: number): string {
  const perMs = { records: done.records / tookMs, bytes: done.bytes / tookMs }
  const rate = done.bytes > 0 ? bytesText(perMs.bytes * SECOND_MS) : countOf(perMs.records * SECOND_MS, 'record')
  const [rest, restMs] =
    left.bytes > 0
      ? [bytesText(left.bytes), left.bytes / perMs.bytes]
      : [countOf(left.records, 'record'), left.records / perMs.records]
  const bytes = done.bytes > 0 ? `, ${bytesText(done.bytes)}` : ''
  return `${countOf(done.records, 'record')}${bytes}, ${rate}/s; ${rest} left, ${durationText(Math.ceil(restMs))}`
}
