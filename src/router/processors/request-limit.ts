/** Full calls that must be answered before a larger one is tried: first, and most. The number doubles with every failure. */
const CALLS_TO_GROW = 16
const MOST_CALLS_TO_GROW = 4_096

/**
 * How many bytes one produce request to a broker may have. A broker closes the connection without an answer when a request
 * is larger than its `socket.request.max.bytes`, a limit that clients cannot ask for. So the limit is halved when a call of
 * several batches ends like that. It doubles again after successful calls, of which more are needed each time.
 */
export class RequestLimit {
  readonly #maxBytes: number
  #bytes: number
  #goodCalls = 0
  #callsToGrow = CALLS_TO_GROW

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
    this.#bytes = maxBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  /** The connection was closed without an answer to a call of several batches. */
  connectionLost(callBytes: number): void {
    if (this.#bytes < this.#maxBytes) this.#callsToGrow = Math.min(MOST_CALLS_TO_GROW, this.#callsToGrow * 2)
    this.#bytes = Math.max(1, Math.min(this.#bytes, callBytes) >> 1)
    this.#goodCalls = 0
  }

  /** Only calls that used more than half of the limit show that more may be possible. */
  answered(callBytes: number): void {
    if (this.#bytes === this.#maxBytes || callBytes <= this.#bytes >> 1) return
    if (++this.#goodCalls < this.#callsToGrow) return
    this.#bytes = Math.min(this.#maxBytes, this.#bytes * 2)
    this.#goodCalls = 0
  }
}
