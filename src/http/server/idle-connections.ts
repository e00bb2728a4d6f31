import type { MonotonicClock } from '../../core/model.js'

/** At most this many connections are read again per tick; the next tick shows how much they bring. */
const MAX_WOKEN_PER_TURN = 16
/**
 * At most this many connections that have rested for the longest time are read again per tick while memory is still
 * short. Most of their requests will be refused, and refusing must not take all the time.
 */
const MAX_LAPSED_PER_TURN = 4
/** Interval of the search for connections that have rested for the longest time. */
const TICK_MS = 50

/** A connection that can rest: it is not read between two of its requests, until it is woken. */
export interface RestingConnection {
  wake(): void
}

/**
 * Connections that rest between two of their requests, because waiting requests already hold much memory. Node reads the
 * beginning of a body, up to 64 KiB, along with the headers, so reading has to stop before the headers. The bytes that
 * clients send stay in the operating system. Connections are read again in the order in which they came.
 */
export class RestingConnections {
  readonly #maxRestMs: number
  readonly #isCrowded: () => boolean
  readonly #clock: MonotonicClock
  /** Resting connections with the time at which the rest ends, oldest first. */
  readonly #connections = new Map<RestingConnection, number>()
  #isWakingSoon = false
  #ticker: NodeJS.Timeout | undefined

  /**
   * @param maxRestMs longest rest; afterwards a connection is read even if memory is short, a few per tick
   * @param isCrowded whether the requests that wait hold too much
   */
  constructor(maxRestMs: number, isCrowded: () => boolean, clock: MonotonicClock) {
    this.#maxRestMs = maxRestMs
    this.#isCrowded = isCrowded
    this.#clock = clock
  }

  get size(): number {
    return this.#connections.size
  }

  /** @returns true: the connection rests until {@link RestingConnection.wake} is called, once */
  add(connection: RestingConnection): boolean {
    // Connections that rest already are read before this one.
    if (!this.#isCrowded() && this.#connections.size === 0) return false
    this.#connections.set(connection, this.#clock() + this.#maxRestMs)
    this.#ticker ??= setInterval(() => this.freed(), TICK_MS)
    this.freed()
    return true
  }

  /** A connection has ended. It is not woken. */
  delete(connection: RestingConnection): void {
    this.#connections.delete(connection)
    this.#stopWhenEmpty()
  }

  /** Called often: wakes connections if memory is free or their rest is over. */
  freed(): void {
    if (this.#connections.size === 0 || this.#isWakingSoon) return
    this.#isWakingSoon = true
    setImmediate(() => {
      this.#isWakingSoon = false
      if (this.#wakeSome() > 0) this.freed()
    })
  }

  #wakeSome(): number {
    if (!this.#isCrowded()) return this.#wake((_, at) => at < MAX_WOKEN_PER_TURN)
    const nowMs = this.#clock()
    return this.#wake((until, at) => until <= nowMs && at < MAX_LAPSED_PER_TURN)
  }

  /** Ends all rests. @returns how many */
  wakeAll(): number {
    return this.#wake(() => true)
  }

  #wake(mayWake: (until: number, at: number) => boolean): number {
    let woken = 0
    for (const [connection, until] of this.#connections) {
      if (!mayWake(until, woken)) break
      this.#connections.delete(connection)
      connection.wake()
      woken++
    }
    this.#stopWhenEmpty()
    return woken
  }

  #stopWhenEmpty(): void {
    if (this.#connections.size > 0) return
    clearInterval(this.#ticker)
    this.#ticker = undefined
  }
}
