/** Member ids that were handed out and have not joined yet. A rebalance waits for them, for a session time at most. */
export class PromisedIds {
  readonly #timers = new Map<string, NodeJS.Timeout>()

  get isEmpty(): boolean {
    return this.#timers.size === 0
  }

  add(memberId: string, timeoutMs: number, forgotten: () => void): void {
    const forget = () => {
      this.#timers.delete(memberId)
      forgotten()
    }
    this.#timers.set(memberId, setTimeout(forget, timeoutMs))
  }

  /** True when it was promised; it is not any more. */
  take(memberId: string): boolean {
    clearTimeout(this.#timers.get(memberId))
    return this.#timers.delete(memberId)
  }

  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer)
    this.#timers.clear()
  }
}
