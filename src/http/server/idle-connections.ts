import type { MonotonicClock } from '../../core/model.js'

/** As many connections are read again in one turn of the event loop; what they bring shows in the next turn. */
const MAX_WOKEN_PER_TURN = 16
/**
 * The same for those whose rest is over although there is no room: most will be refused, and a process that is busy with
 * refusing does nothing else. Fewer than are let in, in a turn.
 */
const MAX_LAPSED_PER_TURN = 4
/** The ends of rests are looked for this often. */
const TICK_MS = 50

/** A connection that is not read for a while between two of its requests. */
export interface RestingConnection {
  wake(): void
}

/**
 * Connections that are not read between two requests, because requests that wait to be admitted hold much memory
 * already: Node reads the beginning of a body, up to 64 KiB, along with the headers, so it has to stop before the headers.
 * What their clients send stays in the operating system. They are read again in the order in which they came.
 */
export class RestingConnections {
  readonly #maxRestMs: number
  readonly #isCrowded: () => boolean
  readonly #clock: MonotonicClock
  /** With the end of the rest, oldest first. */
  readonly #connections = new Map<RestingConnection, number>()
  #isWakingSoon = false
  #ticker: NodeJS.Timeout | undefined

  /**
   * @param maxRestMs a connection is read again after so long, whatever waits, as soon as the event loop has time
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

  /** @returns whether it rests: {@link RestingConnection.wake} will be called, once */
  add(connection: RestingConnection): boolean {
    // Those that rest already go first.
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

  /** Some may have to be woken: requests that wait hold less, for example. Called often. */
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
