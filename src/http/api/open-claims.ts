import type { ServerResponse } from 'node:http'
import type { ClaimedKey } from '../../producer/keys/claimed-key.js'

interface OpenClaim {
  readonly response: ServerResponse
  /** Its API should have answered by this time. */
  readonly untilMs: number
}

const LOOK_EVERY_MS = 10_000
/** An API may take this much longer than its time limit. */
const MARGIN_MS = 60_000

/**
 * Keys of requests that their API has not answered yet. An API answers each request, also when its client has left. Where
 * one does not, by a defect, its key must not be locked for the rest of its life: it is given back some time after the
 * client has left or has another answer.
 */
export class OpenClaims {
  readonly #claims = new Map<ClaimedKey, OpenClaim>()
  #lookedAtMs = 0

  get size(): number {
    return this.#claims.size
  }

  /** @param limitMs how long the API may take */
  add(key: ClaimedKey, response: ServerResponse, limitMs: number): void {
    this.#claims.set(key, { response, untilMs: performance.now() + limitMs + MARGIN_MS })
  }

  /** The API has answered. */
  delete(key: ClaimedKey): void {
    this.#claims.delete(key)
  }

  /** Gives back the keys whose time is up. To be called before a key is claimed: a request that comes again needs it then. */
  look(): void {
    const nowMs = performance.now()
    if (nowMs - this.#lookedAtMs < LOOK_EVERY_MS) return
    this.#lookedAtMs = nowMs
    for (const [key, { response, untilMs }] of this.#claims) {
      const hasEnded = response.writableEnded || response.destroyed
      if (hasEnded && nowMs > untilMs && key.abandon()) this.#claims.delete(key)
    }
  }
}
