/** Waits for one event, each with its own limit. Nothing is left of a wait that has ended. */
export class Waiters {
  readonly #waiting = new Set<() => void>()

  get size(): number {
    return this.#waiting.size
  }

  /** @returns whether the event came in time */
  wait(limitMs: number): Promise<boolean> {
    return new Promise(resolve => {
      const end = (isInTime: boolean): void => {
        clearTimeout(timer)
        this.#waiting.delete(wake)
        resolve(isInTime)
      }
      const wake = (): void => end(true)
      const timer = setTimeout(() => end(false), limitMs)
      this.#waiting.add(wake)
    })
  }

  /** The event has come. */
  wake(): void {
    for (const wake of [...this.#waiting]) wake()
  }
}
