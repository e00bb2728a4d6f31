const MAX_REMEMBERED = 10_000

/** The key of what another process has begun, which has a number there. */
export const keyOfBegun = (from: unknown, id: number): string => `${from}/${id}`

/**
 * Remembers what other processes have ended. The message that begins it may come later, over another connection, and
 * then does nothing. About the last 10,000 ends are kept, and forgotten in large groups: it is slow to remove the first
 * entry of a large Map each time.
 */
export class EndedIds {
  /** Ended keys => the time until which they are remembered. `#young` has those since `#beganAt`. */
  #young = new Map<string, number>()
  #old = new Map<string, number>()
  #beganAt = Number.NEGATIVE_INFINITY
  readonly #lastsMs: number

  /** @param lastsMs how long an end is remembered */
  constructor(lastsMs: number) {
    this.#lastsMs = lastsMs
  }

  has(id: string, now: number): boolean {
    return (this.#young.get(id) ?? this.#old.get(id) ?? 0) > now
  }

  add(id: string, now: number): void {
    if (this.#young.size >= MAX_REMEMBERED || now - this.#beganAt >= this.#lastsMs) {
      this.#old = this.#young
      this.#young = new Map()
      this.#beganAt = now
    }
    this.#young.set(id, now + this.#lastsMs)
  }
}
