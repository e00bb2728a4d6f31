const MAX_REMEMBERED = 10_000

/**
 * What other processes have ended, and which may come after its end: calls have connections of their own. It then does nothing.
 * The oldest is forgotten first.
 */
export class EndedIds {
  /** Until when each is remembered. */
  readonly #until = new Map<string, number>()
  readonly #lastsMs: number

  /** @param lastsMs how long an end is remembered */
  constructor(lastsMs: number) {
    this.#lastsMs = lastsMs
  }

  has(id: string, now: number): boolean {
    return (this.#until.get(id) ?? 0) > now
  }

  add(id: string, now: number): void {
    for (const [old, until] of this.#until) {
      if (until > now && this.#until.size < MAX_REMEMBERED) break
      this.#until.delete(old)
    }
    this.#until.delete(id)
    this.#until.set(id, now + this.#lastsMs)
  }

  /** Forgets the ids that begin so. */
  forget(start: string): void {
    for (const id of [...this.#until.keys()]) if (id.startsWith(start)) this.#until.delete(id)
  }
}
