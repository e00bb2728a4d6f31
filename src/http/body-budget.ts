import { Transform, type TransformCallback } from 'node:stream'
import { OverloadedError } from '../errors.js'
import type { Cell } from '../metrics/family.js'

/** Counts the bytes of all request bodies in the process, from before they are read until their request is answered. */
export class BodyBudget {
  readonly #maxBytes: number
  readonly #gauge: Cell
  #usedBytes = 0

  constructor(maxBytes: number, gauge: Cell) {
    this.#maxBytes = maxBytes
    this.#gauge = gauge
  }

  /** Takes room; false when there is none. A single body always fits into an empty budget. */
  take(sizeBytes: number): boolean {
    if (this.#usedBytes > 0 && this.#usedBytes + sizeBytes > this.#maxBytes) return false
    this.#gauge.value = this.#usedBytes += sizeBytes
    return true
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

/** A chunked body does not say how long it is, so its bytes are counted as they come. */
export class CountedBody extends Transform {
  readonly #budget: BodyBudget
  /** Fastify compares it with the content length; a chunked body has none, but the property must be there. */
  receivedEncodedLength = 0
  takenBytes = 0

  constructor(budget: BodyBudget) {
    super()
    this.#budget = budget
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    if (!this.#budget.take(chunk.length)) {
      done(this.#budget.error)
      return
    }
    this.takenBytes += chunk.length
    this.receivedEncodedLength += chunk.length
    done(null, chunk)
  }
}
