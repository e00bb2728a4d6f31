import type { MonotonicClock } from '../core/model.js'

const SHORTEST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 60_000

export interface PaceOptions {
  readonly maxInFlight: number
  readonly clock: MonotonicClock
  /** [0, 1) */
  readonly random: () => number
}

/** How fast an endpoint is asked.
 *
 * The window is the limit of the attempts under way. It begins with 1, grows by 1 with each 2xx that came while it was full, and is
 * halved by a failure of the endpoint, once for all attempts that had begun before. A failure while it is 1 begins a pause, which
 * a 2xx ends.
 */
export class Pace {
  #options: PaceOptions
  #window = 1
  #inFlight = 0
  /** Number of attempts that have begun. */
  #begun = 0
  /** The value of `#begun` when a failure last counted. */
  #halvedAt = 0
  #pausedUntil = Number.NEGATIVE_INFINITY
  /** The end of the longest `Retry-After`, which no 2xx shortens. */
  #heldUntil = Number.NEGATIVE_INFINITY
  /** Pauses in a row. */
  #pauses = 0

  constructor(options: PaceOptions) {
    this.#options = options
  }

  /** @param maxInFlight the new limit of the window */
  configure(maxInFlight: number): void {
    this.#options = { ...this.#options, maxInFlight }
    this.#window = Math.min(this.#window, maxInFlight)
  }

  get window(): number {
    return this.#window
  }
  get inFlight(): number {
    return this.#inFlight
  }

  /** When the pause ends, by the clock; `undefined`: there is none. */
  get pausedUntil(): number | undefined {
    const until = Math.max(this.#pausedUntil, this.#heldUntil)
    return until > this.#options.clock() ? until : undefined
  }

  get mayBegin(): boolean {
    return this.#inFlight < this.#window && this.pausedUntil === undefined
  }

  /** An attempt begins. @returns its number, for {@link failed} */
  begin(): number {
    this.#inFlight++
    return ++this.#begun
  }

  /** Frees the place of the attempt in the window, whether a request was sent or not. To be called once, after {@link succeeded} or {@link failed}. */
  end(): void {
    this.#inFlight--
  }

  succeeded(): void {
    if (this.#inFlight >= this.#window) this.#window = Math.min(this.#window + 1, this.#options.maxInFlight)
    this.#pauses = 0
    this.#pausedUntil = Number.NEGATIVE_INFINITY
  }

  /** @param attempt the number of the attempt */
  failed(attempt: number): void {
    if (attempt <= this.#halvedAt) return
    const { clock, random } = this.#options
    this.#halvedAt = this.#begun
    if (this.#window === 1) {
      const longest = Math.min(LONGEST_PAUSE_MS, SHORTEST_PAUSE_MS * 2 ** ++this.#pauses)
      this.#pausedUntil = clock() + SHORTEST_PAUSE_MS + random() * (longest - SHORTEST_PAUSE_MS)
    } else this.#window = Math.floor(this.#window / 2)
  }

  /** No attempt begins for so long. */
  hold(ms: number): void {
    if (ms > 0) this.#heldUntil = Math.max(this.#heldUntil, this.#options.clock() + ms)
  }

  /** Forgets all about the endpoint, because it was replaced by another one. */
  reset(): void {
    this.#window = 1
    this.#pauses = 0
    this.#pausedUntil = this.#heldUntil = Number.NEGATIVE_INFINITY
  }
}
