import { onAbort } from '../../core/ending.js'
import { HeldAmount } from '../../core/held-amount.js'

/** A limited number of places, for those who wait in their order. */
export class Places {
  readonly #max: () => number
  readonly #taken: HeldAmount
  readonly #waiting = new Set<() => void>()

  /** @param max may change @param name what they are, in the plural */
  constructor(max: () => number, name: string) {
    this.#max = max
    this.#taken = new HeldAmount(name)
  }

  /**
   * A place at once, if there is one.
   *
   * @returns a function that releases it; from its second call on it does nothing
   */
  tryTake(): (() => void) | undefined {
    return this.#taken.value < this.#max() ? this.#taken.take(1, () => this.wake()) : undefined
  }

  /** Waits for a place. Rejects with the reason of the signal. */
  take(signal: AbortSignal): Promise<() => void> {
    return new Promise((resolve, reject) => {
      const enter = (): void => {
        leave()
        this.#waiting.delete(enter)
        resolve(this.tryTake()!)
      }
      this.#waiting.add(enter)
      const leave = onAbort(signal, () => {
        this.#waiting.delete(enter)
        reject(signal.reason)
      })
      this.wake()
    })
  }

  /** Lets those in who wait, as far as there are places. */
  wake(): void {
    for (const enter of this.#waiting) {
      if (this.#taken.value >= this.#max()) return
      enter()
    }
  }
}
