/** How long a claim may be on its way: calls take less time. */
const MAX_LATE_MS = 90_000
const MAX_CLAIMS = 16_384

/** Claims that have ended, for as long as one of them may still arrive: it must not be granted to a request that has given up. */
export class EndedClaims {
  readonly #now: () => number
  /** When they ended, in that order. */
  readonly #atMs = new Map<number, number>()

  /** @param now milliseconds of any clock that does not go back */
  constructor(now: () => number) {
    this.#now = now
  }

  get size(): number {
    return this.#atMs.size
  }

  add(claim: number): void {
    const nowMs = this.#now()
    this.#atMs.delete(claim)
    this.#atMs.set(claim, nowMs)
    for (const [oldest, atMs] of this.#atMs) {
      if (nowMs - atMs <= MAX_LATE_MS && this.#atMs.size <= MAX_CLAIMS) break
      this.#atMs.delete(oldest)
    }
  }

  has(claim: number): boolean {
    const atMs = this.#atMs.get(claim)
    return atMs !== undefined && this.#now() - atMs <= MAX_LATE_MS
  }
}
