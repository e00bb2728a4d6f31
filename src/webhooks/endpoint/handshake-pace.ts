import { onAbort } from '../../core/ending.js'
import type { MonotonicClock } from '../../core/model.js'

/** Handshakes of TLS that a process begins in a second: each costs a millisecond or more of the event loop. */
const HANDSHAKES_PER_SECOND = 50
const SECOND_MS = 1_000

/** Says when a handshake may begin: so many in a second, for one owner after another. */
export class HandshakePace {
  readonly #clock: MonotonicClock
  /** By owner, in the order of their turns. */
  readonly #waiting = new Map<unknown, Set<() => void>>()
  #allowance = HANDSHAKES_PER_SECOND
  #countedAt: number
  #timer: NodeJS.Timeout | undefined

  constructor(clock: MonotonicClock) {
    this.#clock = clock
    this.#countedAt = clock()
  }

  /** Resolves when it is its turn; rejects with the reason of the signal. */
  turn(owner: unknown, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const begin = (): void => {
        leave()
        resolve()
      }
      const own = this.#waiting.get(owner) ?? new Set()
      this.#waiting.set(owner, own.add(begin))
      const leave = onAbort(signal, () => {
        own.delete(begin)
        reject(signal.reason)
      })
      this.#serve()
    })
  }

  #serve(): void {
    const now = this.#clock()
    this.#allowance = Math.min(
      HANDSHAKES_PER_SECOND,
      this.#allowance + ((now - this.#countedAt) * HANDSHAKES_PER_SECOND) / SECOND_MS
    )
    this.#countedAt = now
    for (const [owner, waiting] of this.#waiting) {
      const [first] = waiting
      if (first !== undefined && this.#allowance < 1) break
      // Behind all others, if it has more.
      this.#waiting.delete(owner)
      if (first === undefined) continue
      waiting.delete(first)
      if (waiting.size > 0) this.#waiting.set(owner, waiting)
      this.#allowance--
      first()
    }
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#waiting.size > 0) this.#timer = setTimeout(() => this.#serve(), SECOND_MS / HANDSHAKES_PER_SECOND)
  }
}
