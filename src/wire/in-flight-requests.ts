import { type CastellanError, ProtocolError, TimedOutError } from '../errors.js'

/** A request on its way. Exactly one of `onPayload` and `onError` is called, once. */
export interface OutgoingRequest {
  readonly correlationId: number
  /** `Fetch`, for messages. */
  readonly apiName: string
  readonly timeoutMs: number
  /** Hands the bytes to the socket. */
  write(): void
  /** The response behind its correlation id; the bytes are valid during the call only. Must not throw. */
  onPayload(payload: Buffer): void
  onError(error: Error): void
}
interface Waiting {
  readonly request: OutgoingRequest
  readonly timer: NodeJS.Timeout
}

/**
 * The requests of one connection. Kafka answers in order, so the oldest in flight is the one an answer belongs to, and
 * an answer with any other correlation id means that the connection cannot be trusted any more.
 *
 * One timer per request and none without; a request that times out breaks the connection, for its late answer could
 * not be told from the next one's. While the broker throttles us (KIP-219) requests wait, their timers running.
 */
export class InFlightRequests {
  readonly #breakConnection: (error: CastellanError) => void
  #inFlight: Waiting[] = []
  #throttled: Waiting[] = []
  #throttleTimer: NodeJS.Timeout | undefined
  #throttledUntil = 0

  /** @param breakConnection has to call `failAll`, sooner or later */
  constructor(breakConnection: (error: CastellanError) => void) {
    this.#breakConnection = breakConnection
  }

  /** Requests without an answer so far. */
  get count(): number {
    return this.#inFlight.length + this.#throttled.length
  }

  send(request: OutgoingRequest): void {
    const waiting = { request, timer: setTimeout(() => this.#onTimeout(waiting), request.timeoutMs) }
    if (this.#throttleTimer !== undefined) this.#throttled.push(waiting)
    else this.#write(waiting)
  }

  /** @throws ProtocolError when it answers another request than the oldest */
  answer(correlationId: number, payload: Buffer): void {
    const waiting = this.#inFlight[0]
    if (waiting?.request.correlationId !== correlationId) {
      const expected = waiting === undefined ? 'none' : waiting.request.correlationId
      throw new ProtocolError(`a response has correlation id ${correlationId}, expected ${expected}`)
    }
    this.#inFlight.shift()
    clearTimeout(waiting.timer)
    waiting.request.onPayload(payload)
  }

  /** Nothing is sent for so long. A later end wins. */
  throttle(durationMs: number): void {
    const until = performance.now() + durationMs
    if (durationMs <= 0 || until <= this.#throttledUntil) return
    this.#throttledUntil = until
    clearTimeout(this.#throttleTimer)
    this.#throttleTimer = setTimeout(() => {
      this.#throttleTimer = undefined
      for (const waiting of this.#throttled.splice(0)) this.#write(waiting)
    }, durationMs)
  }

  /** Every request without an answer gets this one. */
  failAll(error: Error): void {
    clearTimeout(this.#throttleTimer)
    this.#throttleTimer = undefined
    const waiting = [...this.#inFlight.splice(0), ...this.#throttled.splice(0)]
    for (const { timer } of waiting) clearTimeout(timer)
    for (const { request } of waiting) request.onError(error)
  }

  #write(waiting: Waiting): void {
    this.#inFlight.push(waiting)
    waiting.request.write()
  }

  /** When the loop was held up, the answer may lie in the socket: let it be read before judging. */
  #onTimeout(waiting: Waiting): void {
    setImmediate(() => {
      if (!this.#inFlight.includes(waiting) && !this.#throttled.includes(waiting)) return
      const { apiName, timeoutMs } = waiting.request
      this.#breakConnection(new TimedOutError(apiName, timeoutMs))
    })
  }
}
