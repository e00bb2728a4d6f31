import { type CastellanError, ProtocolError, TimedOutError } from '../core/errors.js'

/** A request in flight. Exactly one of `onPayload` and `onError` is called, once. */
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
interface Sent {
  readonly request: OutgoingRequest
  readonly timer: NodeJS.Timeout
}

/**
 * The requests of one connection. Kafka answers in order, so an answer belongs to the oldest request in flight. An answer
 * with any other correlation id means that the connection cannot be trusted any more.
 *
 * Each request has a timer. A request that times out breaks the connection, because its late answer could not be told from
 * the next one. While the broker throttles the client (KIP-219), requests wait unsent. The time limit for an answer begins
 * when the request is sent.
 */
export class InFlightRequests {
  readonly #breakConnection: (error: CastellanError) => void
  #inFlight: Sent[] = []
  #throttled: OutgoingRequest[] = []
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
    if (this.#throttleTimer !== undefined) this.#throttled.push(request)
    else this.#write(request)
  }

  /** @throws ProtocolError when it answers another request than the oldest */
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

  /** Sends nothing for this time. Of several pauses the one that ends last counts. */
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

  /** Fails all requests in flight with this error. */
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

  /** If the event loop was held up, the answer may be in the socket already, so it is read first. */
  #onTimeout(sent: Sent): void {
    setImmediate(() => {
      if (!this.#inFlight.includes(sent)) return
      const { apiName, timeoutMs } = sent.request
      this.#breakConnection(new TimedOutError(apiName, timeoutMs))
    })
  }
}
