/** More connections wait when one was accepted in each of so many turns. */
const CROWDED_TURNS = 8
const MAX_READ_AGAIN_PER_TURN = 2

/**
 * Node accepts one connection in a turn of the event loop (libuv from 1.45 on). While more wait, few of those that have begun
 * a request are read again in a turn. Else each turn takes as long as a request of all, and the last waits for all turns.
 */
export class AcceptTurns {
  readonly #waiting = new Set<() => void>()
  #turns = 0
  #hasAccepted = false

  get areCrowded(): boolean {
    return this.#turns >= CROWDED_TURNS
  }

  accepted(): void {
    if (this.#turns === 0 && !this.#hasAccepted) setImmediate(this.#turn)
    this.#hasAccepted = true
  }

  /** Calls in a later turn; while connections wait to be accepted, a few in each. */
  later(goOn: () => void): void {
    if (this.areCrowded) this.#waiting.add(goOn)
    else setImmediate(goOn)
  }

  readonly #turn = (): void => {
    this.#turns = this.#hasAccepted ? this.#turns + 1 : 0
    this.#hasAccepted = false
    if (this.#turns > 0) setImmediate(this.#turn)
    let left = this.areCrowded ? MAX_READ_AGAIN_PER_TURN : this.#waiting.size
    for (const goOn of this.#waiting) {
      if (left-- === 0) return
      this.#waiting.delete(goOn)
      goOn()
    }
  }
}
