import type { MonotonicClock } from '../../core/model.js'
import { Places } from '../../core/places.js'
import { TokenBucket } from '../../core/token-bucket.js'

/** Handshakes of TLS that a process begins in a second: each costs a millisecond or more of the event loop. */
const HANDSHAKES_PER_SECOND = 50

/** Says when a handshake may begin: so many in a second, for one owner after another. */
export class HandshakePace {
  readonly #clock: MonotonicClock
  readonly #allowed: TokenBucket
  /** One place: who takes it begins, and it is free when the next one may begin. */
  readonly #place = new Places<unknown>(() => 1, 'next handshakes of webhooks')

  constructor(clock: MonotonicClock) {
    this.#clock = clock
    this.#allowed = new TokenBucket(HANDSHAKES_PER_SECOND, clock())
  }

  /** Resolves when it is its turn; rejects with the reason of the signal. */
  async turn(owner: unknown, signal: AbortSignal): Promise<void> {
    const release = this.#place.tryTake() ?? (await this.#place.take({ client: owner, signal }))
    this.#allowed.take(1, this.#clock())
    this.#releaseInTime(release)
  }

  #releaseInTime(release: () => void): void {
    const pauseMs = this.#allowed.untilNextMs(this.#clock())
    if (pauseMs === 0) release()
    else setTimeout(() => this.#releaseInTime(release), Math.ceil(pauseMs))
  }
}
