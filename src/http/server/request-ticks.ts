/** Most requests of one connection that are handled in one turn of the event loop. */
const MAX_REQUESTS_PER_TURN = 8
/** After so long no further one of those that were deferred is handled in the same turn. */
const MAX_TICK_MS = 2

/** Numbers the turns of the event loop, as far as anything happens in them. */
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
 * Spreads the pipelined requests of one connection over turns of the event loop. One chunk from a socket may hold more than
 * a thousand requests; handled at once, they would hold up all other connections.
 */
export class RequestTicks {
  readonly #turns: LoopTicks
  readonly #waiting: (() => void)[] = []
  #turn = 0
  #handledInTurn = 0
  #isScheduled = false

  constructor(turns: LoopTicks) {
    this.#turns = turns
  }

  /** Whether a request may be handled now; otherwise it has to be given to {@link defer}. */
  mayHandle(): boolean {
    if (this.#waiting.length > 0) return false
    const { current } = this.#turns
    if (current !== this.#turn) this.#handledInTurn = 0
    this.#turn = current
    return ++this.#handledInTurn <= MAX_REQUESTS_PER_TURN
  }

  /** @param handle called in a later turn, after those that were given before */
  defer(handle: () => void): void {
    this.#waiting.push(handle)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isScheduled || this.#waiting.length === 0) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#handleSome()
    })
  }

  #handleSome(): void {
    const untilMs = performance.now() + MAX_TICK_MS
    try {
      for (let left = MAX_REQUESTS_PER_TURN; left > 0 && performance.now() < untilMs; left--) this.#waiting.shift()?.()
    } finally {
      this.#schedule()
    }
  }
}
