/** Counts the turns of the event loop: in each, every socket that has something is read. */
export class Ticks {
  current = 0
  #isRunning = true
  readonly #waiting = new Map<number, (() => void)[]>()

  constructor() {
    this.#next()
  }

  /** Resolves after so many ticks; 0: at once. */
  pass(count: number): Promise<undefined> {
    if (count <= 0) return Promise.resolve(undefined)
    const at = this.current + count
    return new Promise(resolve => {
      const waiting = this.#waiting.get(at)
      const wake = (): void => resolve(undefined)
      if (waiting === undefined) this.#waiting.set(at, [wake])
      else waiting.push(wake)
    })
  }

  stop(): void {
    this.#isRunning = false
  }

  #next(): void {
    setImmediate(() => {
      this.current++
      const waiting = this.#waiting.get(this.current)
      this.#waiting.delete(this.current)
      if (waiting !== undefined) for (const wake of waiting) wake()
      if (this.#isRunning) this.#next()
    })
  }
}
