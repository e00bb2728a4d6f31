import type { MonotonicClock } from '../../core/model.js'

/** A topic's configuration may change: after so long a batch of full size is tried again. */
const BELIEVED_FOR_MS = 600_000
const SMALLEST_BYTES = 1024

/**
 * How large a batch of one topic may be. Starts with the setting; a batch that the broker refuses as too large halves
 * it, so that the next batches are not refused as well.
 */
export class BatchLimit {
  readonly #maxBytes: number
  readonly #clock: MonotonicClock
  #learntBytes = Number.POSITIVE_INFINITY
  #believedUntil = 0

  constructor(maxBytes: number, clock: MonotonicClock) {
    this.#maxBytes = maxBytes
    this.#clock = clock
  }

  /** Of a whole batch, before compression. */
  get bytes(): number {
    if (this.#learntBytes === Number.POSITIVE_INFINITY) return this.#maxBytes
    if (this.#clock() >= this.#believedUntil) this.#learntBytes = Number.POSITIVE_INFINITY
    return Math.min(this.#maxBytes, this.#learntBytes)
  }

  /** A batch of several records with so many bytes was too large. */
  refused(bytes: number): void {
    this.#learntBytes = Math.min(this.#learntBytes, Math.max(SMALLEST_BYTES, bytes >> 1))
    this.#believedUntil = this.#clock() + BELIEVED_FOR_MS
  }
}
