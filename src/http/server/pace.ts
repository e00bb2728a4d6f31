/** The minimum pace at which a body has to arrive. */
export interface PaceLimits {
  /** Minimum bytes per second, on average over `graceMs`; 0: no minimum. */
  readonly minBytesPerSecond: number
  readonly graceMs: number
}

/**
 * Measures how fast the current body of a connection arrives, at regular checks rather than for every chunk.
 *
 *   window   graceMs long; with too few bytes in it the body is too slow, otherwise the next window begins
 *   recent   the bytes since the last check but one
 */
export class Pace {
  #body: object | undefined
  #windowStartedAt = 0
  #windowFromBytes = 0
  #lookedAtBytes = 0
  /** Bytes between the last two checks; `undefined` before there were two for the same body. */
  recentBytes: number | undefined

  /**
   * @param body identity of the current body; `undefined` while there is none, or while the client is not the one that
   * delays it
   * @param readBytes all bytes read from the connection until now
   * @returns whether the body is too slow
   */
  look(body: object | undefined, readBytes: number, now: number, limits: PaceLimits): boolean {
    const isSame = body !== undefined && body === this.#body
    this.recentBytes = isSame ? readBytes - this.#lookedAtBytes : undefined
    this.#lookedAtBytes = readBytes
    if (!isSame) {
      this.#body = body
      this.#restart(readBytes, now)
      return false
    }
    const elapsedMs = now - this.#windowStartedAt
    if (elapsedMs < limits.graceMs) return false
    const isTooSlow = (readBytes - this.#windowFromBytes) * 1_000 < limits.minBytesPerSecond * elapsedMs
    this.#restart(readBytes, now)
    return isTooSlow
  }

  #restart(readBytes: number, now: number): void {
    this.#windowStartedAt = now
    this.#windowFromBytes = readBytes
  }
}
