import { OverloadedError } from '../../core/errors.js'
import type { Cell } from '../../core/metrics/family.js'

/** Counts the bytes of all request bodies in the process, from their arrival until their request is answered. */
export class BodyBudget {
  readonly #maxBytes: number
  readonly #gauge: Cell
  #usedBytes = 0

  constructor(maxBytes: number, gauge: Cell) {
    this.#maxBytes = maxBytes
    this.#gauge = gauge
  }

  /**
   * Reserves bytes; false when there is no room.
   *
   * @param ownBytes what the same body holds already: a single body always fits into an otherwise empty budget
   */
  take(sizeBytes: number, ownBytes: number): boolean {
    if (!this.hasCapacity(sizeBytes, ownBytes)) return false
    this.#gauge.value = this.#usedBytes += sizeBytes
    return true
  }

  hasCapacity(sizeBytes: number, ownBytes: number): boolean {
    return this.#usedBytes <= ownBytes || this.#usedBytes + sizeBytes <= this.#maxBytes
  }

  give(sizeBytes: number): void {
    this.#gauge.value = this.#usedBytes -= sizeBytes
  }

  get error(): OverloadedError {
    return new OverloadedError(
      `request bodies of ${this.#usedBytes} bytes are in flight (limit ${this.#maxBytes}; http.maxBodiesInFlightBytes)`
    )
  }
}
