import { type CastellanError, ProtocolError, TimedOutError } from '../core/errors.js'

/** A request in flight. Exactly one of `onPayload` and `onError` is called, once. */
export interface OutgoingRequest {
  readonly correlationId: number
  /** Kafka's name of the call, for example `Fetch`, for error messages. */
  readonly apiName: string
  readonly timeoutMs: number
  write(): void
  /** Gets the response without its correlation id. The bytes are valid during the call only. Must not throw. */
  onPayload(payload: Buffer): void
  onError(error: Error): void
}
interface Sent {
  readonly request: OutgoingRequest
  readonly timer: NodeJS.Timeout
}

/**
 * The requests of one connection. Kafka answers in order, so an answer belongs to the oldest request in flight. An
 * answer with another correlation id breaks the connection.
 *
 * Each request has a timer, which starts when the request is sent. A request that times out breaks the connection,
 * because a late answer could be taken for the answer to the next request. While the broker throttles the client
 * (KIP-219), requests wait unsent.
 */
export class InFlightRequests {
  readonly #breakConnection: (error: CastellanError) => void
  #inFlight: Sent[] = []
  #throttled: OutgoingRequest[] = []
  #throttleTimer: NodeJS.Timeout | undefined
  #throttledUntil = 0

  /** @param breakConnection closes the connection and calls `failAll` */
  constructor(breakConnection: (error: CastellanError) => void) {
    this.#breakConnection = breakConnection
  }

  /** Number of requests that have no answer yet. */
  get count(): number {
    return this.#inFlight.length + this.#throttled.length
  }

  send(request: OutgoingRequest): void {
    if (this.#throttleTimer !== undefined) this.#throttled.push(request)
    else this.#write(request)
  }

  /** @throws ProtocolError when the answer is not for the oldest request */
  answer(correlationId: number, payload: Buffer): void {
    const oldest = this.#inFlight[0]
    if (oldest?.request.correlationId !== correlationId) {
      const expected = oldest === undefined ? 'none' : oldest.request.correlationId
      throw new ProtocolError(`a response has correlation id ${correlationId}, expected ${expected}`)
    }
    this.#inFlight.shift()
    clearTimeout(oldest.timer)
    oldest.request.onPayload(payload)
  }

  /** Holds back requests for this time. When pauses overlap, the latest end counts. */
  throttle(durationMs: number): void {
    const until = performance.now() + durationMs
    if (durationMs <= 0 || until <= this.#throttledUntil) return
    this.#throttledUntil = until
    clearTimeout(this.#throttleTimer)
    this.#throttleTimer = setTimeout(() => {
      this.#throttleTimer = undefined
      for (const request of this.#throttled.splice(0)) this.#write(request)
    }, durationMs)
  }

  failAll(error: Error): void {
    clearTimeout(this.#throttleTimer)
    this.#throttleTimer = undefined
    const sent = this.#inFlight.splice(0)
    for (const { timer } of sent) clearTimeout(timer)
    for (const request of [...sent.map(({ request }) => request), ...this.#throttled.splice(0)]) request.onError(error)
  }

  #write(request: OutgoingRequest): void {
    const sent = { request, timer: setTimeout(() => this.#onTimeout(sent), request.timeoutMs) }
    this.#inFlight.push(sent)
    request.write()
  }

  /** Lets Node read the socket first, because the answer may have arrived while the event loop was blocked. */
  #onTimeout(sent: Sent): void {
    setImmediate(() => {
      if (!this.#inFlight.includes(sent)) return
      const { apiName, timeoutMs } = sent.request
      this.#breakConnection(new TimedOutError(apiName, timeoutMs))
    })
  }
}
