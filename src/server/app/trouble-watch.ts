import { setNewest } from '../../core/maps.js'
import { DAY_MS, type Logger, type MonotonicClock } from '../../core/model.js'
import type { Trouble } from '../../http/status/status.js'

/** Limit of reported troubles that are remembered. */
const MAX_TOLD = 1_000

/** Writes trouble of this process that no request meets into the log: at once, and then once a day. */
export class TroubleWatch {
  readonly #read: () => readonly Trouble[]
  readonly #log: Logger
  readonly #clock: MonotonicClock
  /** When each kind of trouble was told of each subject. */
  readonly #toldAt = new Map<string, number>()

  constructor(read: () => readonly Trouble[], log: Logger, clock: MonotonicClock) {
    this.#read = read
    this.#log = log
    this.#clock = clock
  }

  look(): void {
    const now = this.#clock()
    for (const { kind, subject, cause, next, see } of this.#read()) {
      const what = `${kind} ${subject}`
      if (now - (this.#toldAt.get(what) ?? Number.NEGATIVE_INFINITY) < DAY_MS) continue
      // Topics and groups come and go, so what was told long ago is dropped.
      setNewest(this.#toldAt, what, now, MAX_TOLD)
      this.#log.warn({ kind, subject, see }, `${subject}: ${cause} ${next}`)
    }
  }

  /** Settings and certificates were read again: what is still wrong is told again. */
  reloaded(): void {
    this.#toldAt.clear()
    this.look()
  }
}
