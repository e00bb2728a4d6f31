import type { CastellanError } from '../../core/errors.js'
import { refusalHeaders, refusalStatus } from '../../http/access/access.js'
import { type Answers, type AnswerTemplate, noteFailure } from '../../http/exchange/answers.js'
import type { Asked } from '../../http/exchange/exchange.js'
import { type AnyFailure, failureAnswerOf, SHUTTING_DOWN } from './failure-texts.js'
import { goString } from './go-json.js'

export const JSON_TYPE = 'application/json'
const TEXT_TYPE = 'text/plain; charset=utf-8'
const NO_SNIFFING = { 'x-content-type-options': 'nosniff' }
/** The rest of an unwanted body is not read: the connection ends with the answer. */
const CLOSE = { connection: 'close' }
const RETRY = { 'retry-after': '1' }
/** Value for requests that produce nothing. */
const NO_PRODUCE = undefined

export interface ErrorOptions {
  /** Whether the body has been read, or there is none. Default: true. */
  readonly isRead?: boolean
}

/** Writes answers as Kafka-Pixy does. */
export class PixyAnswers {
  readonly #answers: Answers
  readonly #ok: AnswerTemplate

  constructor(answers: Answers) {
    this.#answers = answers
    this.#ok = answers.template(200, JSON_TYPE)
  }

  /** 200 with JSON, indented as Go does. */
  ok({ response, requestId }: Asked, body: string): void {
    if (!response.destroyed) this.#ok.send(response, { requestId, persisted: NO_PRODUCE }, body)
  }

  /** 200 with one message, and headers of its record. */
  message({ response, requestId }: Asked, body: string, headers: Readonly<Record<string, readonly string[]>>): void {
    this.#answers.send(response, 200, JSON_TYPE, body, { requestId, persisted: NO_PRODUCE }, headers)
  }

  error(asked: Asked, status: number, text: string, options: ErrorOptions = {}): void {
    const { response, requestId } = asked
    const { isRead = true } = options
    const headers = { ...((status === 429 || status === 503) && RETRY), ...(!isRead && CLOSE) }
    this.#answers.send(response, status, JSON_TYPE, errorBody(text), { requestId, persisted: NO_PRODUCE }, headers)
  }

  /**
   * The failure of an operation, in the words of the original.
   *
   * @param isReady whether any broker can be reached
   */
  failure(asked: Asked, failure: AnyFailure, isReady: boolean): void {
    const { status, text } = failureAnswerOf(failure, isReady)
    noteFailure(asked.response, failure.code)
    this.error(asked, status, text)
  }

  /** Refuses a request for a reason of {@link refusalStatus}. */
  refuse({ response, requestId }: Asked, error: CastellanError, isRead = false): void {
    const headers = { ...refusalHeaders(error), ...(!isRead && CLOSE) }
    const text = error.code === 'shuttingDown' ? SHUTTING_DOWN : error.message
    const status = refusalStatus(error)!
    this.#answers.send(
      response,
      status,
      JSON_TYPE,
      errorBody(text),
      { requestId, persisted: NO_PRODUCE, cause: error },
      headers
    )
  }

  pong({ response, requestId }: Asked): void {
    this.#answers.send(response, 200, TEXT_TYPE, 'pong', { requestId, persisted: NO_PRODUCE })
  }

  notFound({ response, requestId }: Asked): void {
    const headers = { requestId, persisted: NO_PRODUCE }
    this.#answers.send(response, 404, TEXT_TYPE, '404 page not found\n', headers, NO_SNIFFING)
  }

  /** A path that cannot be decoded. */
  badRequest({ response, requestId }: Asked): void {
    const headers = { requestId, persisted: NO_PRODUCE }
    this.#answers.send(response, 400, TEXT_TYPE, '400 Bad Request', headers, CLOSE)
  }

  methodNotAllowed(asked: Asked): void {
    this.#empty(asked, 405)
  }

  moved(asked: Asked, location: string): void {
    this.#empty(asked, 301, { location })
  }

  #empty({ response, requestId }: Asked, status: number, headers?: Record<string, string>): void {
    this.#answers.send(response, status, undefined, '', { requestId, persisted: NO_PRODUCE }, headers)
  }
}

export const errorBody = (text: string): string => `{\n  "error": ${goString(text)}\n}`
