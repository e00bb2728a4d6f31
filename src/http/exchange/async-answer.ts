import type { IncomingMessage, ServerResponse } from 'node:http'
import { MAX_TIMER_MS } from '../../core/model.js'
import { noteWait } from './exchange.js'

/** RFC 7240: the client would rather have an answer soon than wait for the outcome. */
const RESPOND_ASYNC = /(?:^|,)\s*respond-async\s*(?:$|[,;])/i
const WAIT = /(?:^|[,;])\s*wait\s*=\s*"?(\d{1,6})"?\s*(?:$|[,;])/i

type Preferring = IncomingMessage & { asyncAnswer?: AsyncAnswer }

/** The receipt of a request, each of whose records is in the durable log. */
export interface AcceptedRequest {
  readonly id: string
  readonly records: number
}

/** Sends the answer to a request whose outcome is not awaited any more. */
type SendEarly = (accepted: AcceptedRequest, further: Readonly<Record<string, string>>) => void

/**
 * The early answer to a synchronous request whose client prefers that (`Prefer: respond-async, wait=N`): 202 with the place
 * of the receipt, once all its records are safe and N seconds have passed. The response then has an answer, so what the API
 * answers afterwards is dropped. A request with a key has another response for its API, whose answer is kept for the key.
 */
export class AsyncAnswer {
  readonly #response: ServerResponse
  readonly #waitMs: number
  readonly #send: SendEarly
  #timer: NodeJS.Timeout | undefined
  readonly further: Record<string, string> = {}

  private constructor(response: ServerResponse, waitMs: number, send: SendEarly) {
    this.#response = response
    this.#waitMs = waitMs
    this.#send = send
  }

  /** Takes note of the preference of a request, if it has this one. */
  static note(request: Preferring, response: ServerResponse, send: SendEarly): void {
    const prefer = request.headers.prefer
    const text = Array.isArray(prefer) ? prefer.join(',') : prefer
    if (text === undefined || !RESPOND_ASYNC.test(text)) return
    const [, seconds = '0'] = WAIT.exec(text) ?? []
    const waitMs = Number(seconds) * 1_000
    noteWait(request, waitMs)
    request.asyncAnswer = new AsyncAnswer(response, waitMs, send)
  }

  static of(request: Preferring): AsyncAnswer | undefined {
    return request.asyncAnswer
  }

  /** The records are in the durable log. An API that does not wait for Kafka answers by itself before the next tick. */
  accepted(accepted: AcceptedRequest): void {
    if (this.#isOver) return
    // The receipt of an earlier request with the key may have been waiting to be sent.
    clearTimeout(this.#timer)
    if (this.#timer === undefined) this.#response.once('close', () => clearTimeout(this.#timer))
    this.#timer = setTimeout(() => this.send(accepted), Math.min(this.#waitMs, MAX_TIMER_MS))
  }

  /** Answers now, unless there is an answer. */
  send(accepted: AcceptedRequest): void {
    if (!this.#isOver) this.#send(accepted, this.further)
  }

  get #isOver(): boolean {
    const { headersSent, writableEnded, destroyed, closed } = this.#response
    return headersSent || writableEnded || destroyed || closed
  }
}
