/** Gives `perSecond` tokens per second. After a second without use, `perSecond` tokens can be taken at once. */
export class TokenBucket {
  readonly #perSecond: number
  #tokens: number
  #countedAt: number

  constructor(perSecond: number, now: number) {
    this.#perSecond = perSecond
    this.#tokens = perSecond
    this.#countedAt = now
  }

  available(now: number): number {
    this.#tokens = Math.min(this.#perSecond, this.#tokens + ((now - this.#countedAt) * this.#perSecond) / 1_000)
    this.#countedAt = now
    return Math.floor(this.#tokens)
  }

  /** Takes up to `wanted` tokens. Returns how many were taken. */
  take(wanted: number, now: number): number {
    const taken = Math.min(wanted, this.available(now))
    this.#tokens -= taken
    return taken
  }

  /** Milliseconds until so many tokens can be taken. */
  untilNextMs(now: number, wanted = 1): number {
    return this.available(now) >= wanted ? 0 : ((wanted - this.#tokens) * 1_000) / this.#perSecond
  }
}
