import { type GroupBytes, PROMISED_ID_BYTES } from './group-bytes.js'

/**
 * Member ids that were given out and have not joined yet. A rebalance waits for them, for one session time-out at
 * most.
 */
export class PromisedIds {
  readonly #timers = new Map<string, NodeJS.Timeout>()
  readonly #bytes: GroupBytes

  constructor(bytes: GroupBytes) {
    this.#bytes = bytes
  }

  get isEmpty(): boolean {
    return this.#timers.size === 0
  }

  add(memberId: string, timeoutMs: number, forgotten: () => void): void {
    const forget = () => {
      this.take(memberId)
      forgotten()
    }
    this.#bytes.add(PROMISED_ID_BYTES)
    this.#timers.set(memberId, setTimeout(forget, timeoutMs))
  }

  /** True when the id was given out; it is forgotten by this call. */
  take(memberId: string): boolean {
    clearTimeout(this.#timers.get(memberId))
    if (!this.#timers.delete(memberId)) return false
    this.#bytes.add(-PROMISED_ID_BYTES)
    return true
  }

  close(): void {
    for (const memberId of [...this.#timers.keys()]) this.take(memberId)
  }
}
