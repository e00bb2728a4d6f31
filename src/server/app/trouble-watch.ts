import { DAY_MS, type Logger, type MonotonicClock } from '../../core/model.js'
import type { Trouble } from '../../http/status/status.js'

/** Writes trouble of this process that no request meets into the log: at once, and then once a day. */
export class TroubleWatch {
  readonly #read: () => readonly Trouble[]
  readonly #log: Logger
  readonly #clock: MonotonicClock
  /** When each subject was told. */
  readonly #toldAt = new Map<string, number>()

  constructor(read: () => readonly Trouble[], log: Logger, clock: MonotonicClock) {
    this.#read = read
    this.#log = log
    this.#clock = clock
  }

  look(): void {
    const now = this.#clock()
    for (const { kind, subject, cause, next, see } of this.#read()) {
      if (now - (this.#toldAt.get(subject) ?? Number.NEGATIVE_INFINITY) < DAY_MS) continue
      this.#toldAt.set(subject, now)
      this.#log.warn({ kind, subject, see }, `${subject}: ${cause} ${next}`)
    }
  }

  /** Settings and certificates were read again: what is still wrong is told again. */
  reloaded(): void {
    this.#toldAt.clear()
    this.look()
  }
}
