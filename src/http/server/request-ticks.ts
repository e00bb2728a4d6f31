/** At most this many requests of one connection are handled in one tick. */
const MAX_REQUESTS_PER_TURN = 8
/** After this time, no further deferred request is handled in the same tick. */
const MAX_TICK_MS = 2

/** Numbers the ticks in which requests are handled. */
export class LoopTicks {
  #number = 0
  #isWatched = false

  get current(): number {
    if (!this.#isWatched) {
      this.#isWatched = true
      setImmediate(() => {
        this.#isWatched = false
        this.#number++
      })
    }
    return this.#number
  }
}

/**
 * Spreads the pipelined requests of one connection over several ticks. One chunk from a socket may hold more
 * than a thousand requests; handled at once, they would hold up all other connections.
 */
export class RequestTicks {
  readonly #turns: LoopTicks
  readonly #mayGoOn: () => boolean
  readonly #waiting: (() => unknown)[] = []
  #turn = 0
  #handledInTurn = 0
  #isScheduled = false

  /** @param mayGoOn whether the next request may be handled; when it may again, call {@link goOn} */
  constructor(turns: LoopTicks, mayGoOn: () => boolean = () => true) {
    this.#turns = turns
    this.#mayGoOn = mayGoOn
  }

  /** Whether a request may be handled now; otherwise it has to be given to {@link defer}. */
  mayHandle(): boolean {
    if (this.#waiting.length > 0 || !this.#mayGoOn()) return false
    const { current } = this.#turns
    if (current !== this.#turn) this.#handledInTurn = 0
    this.#turn = current
    return ++this.#handledInTurn <= MAX_REQUESTS_PER_TURN
  }

  /**
   * @param handle called in a later tick, after the functions that were given before; returns `false` when the next one
   * must wait for another tick
   */
  defer(handle: () => unknown): void {
    this.#waiting.push(handle)
    this.goOn()
  }

  goOn(): void {
    if (this.#isScheduled || this.#waiting.length === 0 || !this.#mayGoOn()) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#handleSome()
    })
  }

  #handleSome(): void {
    const untilMs = performance.now() + MAX_TICK_MS
    try {
      let left = MAX_REQUESTS_PER_TURN
      do if (this.#waiting.shift()?.() === false) return
      while (--left > 0 && performance.now() < untilMs && this.#mayGoOn())
    } finally {
      this.goOn()
    }
  }
}
