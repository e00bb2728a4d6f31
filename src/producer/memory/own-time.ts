import { aheadMsOf } from '../../core/clocks.js'
import type { Logger, MonotonicClock } from '../../core/model.js'
import type { Notice } from '../../core/notice.js'

const FIRST_STEP_MS = 1_000
/** 17 years: if Kafka refuses this, too, its reason is not the clock of this machine. */
const MOST_MS = 2 ** 29 * 1_000
/** The clock of this machine counts as set when it has moved so far. */
const SET_MS = 30_000
/** The time of a broker's clock counts for this long after the broker has told it. */
const TOLD_MS = 600_000

/**
 * The times of records whose caller has given none. Kafka refuses those that are too far ahead of the broker's clock
 * (message.timestamp.after.max.ms, an hour by default), and tells no time of its own. So a refused batch is sent again with
 * times that are set back by more and more; what Kafka takes applies to later records until the clock is set.
 */
export class OwnTime {
  readonly #wallClock: () => number
  readonly #clock: MonotonicClock
  readonly #log: Logger
  #setBackMs = 0
  /** Difference of the two clocks when `#setBackMs` was computed. */
  #difference = 0
  #aheadMs = 0
  #toldAt = Number.NEGATIVE_INFINITY

  constructor({ now, clock, log }: { now: () => number; clock: MonotonicClock; log: Logger }) {
    this.#wallClock = now
    this.#clock = clock
    this.#log = log
  }

  /** Milliseconds by which timestamps are set back. */
  get setBackMs(): number {
    if (this.#setBackMs === 0) return 0
    if (Math.abs(this.#wallClock() - this.#clock() - this.#difference) > SET_MS) this.#setBackMs = 0
    return this.#setBackMs
  }

  /** Epoch milliseconds, set back. */
  readonly now = (): number => this.#wallClock() - this.setBackMs

  /** Epoch milliseconds, set back by as much as is tried. */
  at(setBackMs: number): number {
    return this.#wallClock() - setBackMs
  }

  /**
   * The next value to try after Kafka has refused timestamps. @param setBackMs the one tried; `undefined`: times of acceptance
   */
  nextAfter(setBackMs: number | undefined): number {
    const known = this.setBackMs
    return setBackMs === undefined || known > setBackMs ? known : Math.max(FIRST_STEP_MS, 2 * setBackMs)
  }

  accepted(setBackMs: number): void {
    if (setBackMs <= this.setBackMs) return
    this.#setBackMs = setBackMs
    this.#difference = this.#wallClock() - this.#clock()
    this.#log.warn({ setBackMs }, this.#warning)
  }

  /**
   * A broker has appended records at a time of its own clock, within the last `withinMs`. Brokers tell it for topics
   * with `message.timestamp.type=LogAppendTime` only.
   */
  appended(logAppendTimeMs: number, withinMs: number): void {
    this.#aheadMs = aheadMsOf(logAppendTimeMs, this.#wallClock(), withinMs)
    this.#toldAt = this.#clock()
  }

  /** How far the clock of this machine is ahead of that of a broker, as far as known; negative: behind. */
  get clockAheadMs(): number | undefined {
    if (this.setBackMs > 0) return this.setBackMs
    return this.#clock() - this.#toldAt <= TOLD_MS ? this.#aheadMs : undefined
  }

  /** Warnings for operators while timestamps are set back. */
  get warnings(): readonly Notice[] {
    return this.setBackMs === 0 ? [] : [{ kind: 'clockAhead', text: this.#warning }]
  }

  get #warning(): string {
    const seconds = this.#setBackMs / 1_000
    const much = seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`
    return `the clock of this machine is ahead of that of the brokers: kafka takes its records only with times that are set back by ${much}, so they are (message.timestamp.after.max.ms: topics allow an hour unless they set it)`
  }
}

/** Whether there is more to try. */
export const canSetBackFurther = (setBackMs: number | undefined): boolean => (setBackMs ?? 0) < MOST_MS
