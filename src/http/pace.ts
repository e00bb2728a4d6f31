/** How fast a body must come. */
export interface PaceLimits {
  /** Fewest bytes a second, on average over the grace; 0: any pace will do. */
  readonly minBytesPerSecond: number
  readonly graceMs: number
}

/**
 * How fast the body comes that a connection is receiving, measured at regular looks rather than with every piece.
 *
 *   window   graceMs long; one with too few bytes in it makes the body too slow, else the next begins
 *   recent   the bytes since the last look but one
 */
export class Pace {
  #body: object | undefined
  #windowStartedAt = 0
  #windowFromBytes = 0
  #lookedAtBytes = 0
  /** Bytes between the last two looks; `undefined` until there were two at the same body. */
  recentBytes: number | undefined

  /**
   * @param body identity of the body being received; `undefined` while there is none, or while it is not the client
   *   who keeps it from coming
   * @param readBytes all that came over the connection until now
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
