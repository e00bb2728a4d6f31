/** How many connections may be open at a time, over all nodes. */
export class ConnectionLimit {
  readonly #limit: number
  #taken = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  get taken(): number {
    return this.#taken
  }

  /** False: all are taken. */
  take(): boolean {
    if (this.#taken >= this.#limit) return false
    this.#taken++
    return true
  }

  release(): void {
    this.#taken--
  }
}
