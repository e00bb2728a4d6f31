import type { IncomingMessage } from 'node:http'
import { CastellanError, ForbiddenError, UnauthenticatedError } from '../../core/errors.js'
import { refusalHeaders, refusalStatus } from '../../http/access/access.js'
import { type Answers, type AnswerTemplate, noteFailure, unreadBodyHeaders } from '../../http/exchange/answers.js'
import { type Asked, sentUrlOf } from '../../http/exchange/exchange.js'
import { failedProblemOf, type Problem } from './failures.js'
import { errorTypeOf, JSON_TYPE, typeOf, V2_TYPE, type Version } from './media-types.js'

export interface ErrorOptions {
  /** Whether the body has been read, or there is none. Default: true. */
  readonly isRead?: boolean
  readonly headers?: Readonly<Record<string, string>>
}

/** The rest of an unwanted body is not read: the connection ends with the answer. */
const CLOSE = { connection: 'close' }

export const errorBody = (code: number, message: string): string =>
  `{"error_code":${code},"message":${JSON.stringify(message)}}`

/** Writes answers to requests that produce nothing, as Confluent's REST Proxy does. */
export class ConfluentAnswers {
  readonly #answers: Answers
  readonly #templates: Readonly<Record<Version, AnswerTemplate>>

  constructor(answers: Answers) {
    this.#answers = answers
    this.#templates = { v2: answers.template(200, V2_TYPE), v3: answers.template(200, JSON_TYPE) }
  }

  /** 200 with JSON. */
  ok({ response, requestId }: Asked, version: Version, body: string): void {
    if (!response.destroyed) this.#templates[version].send(response, { requestId, persisted: undefined }, body)
  }

  /** Any other answer with a body. */
  send(
    { response, requestId }: Asked,
    status: number,
    version: Version,
    body: string,
    headers: Readonly<Record<string, string>> = {}
  ): void {
    this.#answers.send(response, status, typeOf(version), body, { requestId, persisted: undefined }, headers)
  }

  /** 200 of a type that the client asks for. */
  typed({ response, requestId }: Asked, type: string, body: string | Buffer): void {
    this.#answers.send(response, 200, type, body, { requestId, persisted: undefined })
  }

  noContent({ response, requestId }: Asked): void {
    this.#answers.send(response, 204, undefined, '', { requestId, persisted: undefined })
  }

  error(asked: Asked, { status, code, message, type }: Problem, options: ErrorOptions = {}): void {
    const { response, requestId } = asked
    const { isRead = true } = options
    const headers = { ...options.headers, ...(!isRead && CLOSE) }
    const body = errorBody(code, message)
    this.#answers.send(
      response,
      status,
      type ?? typeOfRoute(response.req),
      body,
      { requestId, persisted: undefined },
      headers
    )
  }

  /** Refuses a request for a reason of {@link refusalStatus}. */
  refuse({ response, requestId }: Asked, error: CastellanError, isRead = false): void {
    const headers = { ...refusalHeaders(error), ...(!isRead && unreadBodyHeaders(response, error)) }
    const body = errorBody(refusalCodeOf(error), error.message)
    const known = { requestId, persisted: undefined, cause: error }
    this.#answers.send(response, refusalStatus(error)!, typeOfRoute(response.req), body, known, headers)
  }

  /** @returns false: it is a bug, and nothing is answered. @param topic that the request names */
  failed(asked: Asked, error: unknown, topic?: string): boolean {
    const problem = failedProblemOf(error, topic)
    if (problem === undefined) return false
    if (error instanceof CastellanError) noteFailure(asked.response, error.code)
    this.error(asked, problem)
    return true
  }
}

/** Confluent's code for a reason of {@link refusalStatus}. */
export function refusalCodeOf(error: CastellanError): number {
  if (error instanceof UnauthenticatedError) return 40101
  return error instanceof ForbiddenError ? 40301 : (refusalStatus(error) ?? 500)
}

/** The path below the prefix of the API, whichever port it came by. Version 3 is served below `/kafka`, too. */
const pathOf = (request: IncomingMessage): string =>
  sentUrlOf(request)
    .replace(/^\/confluent(?=[/?#]|$)/, '')
    .replace(/^\/kafka(?=\/v3(?:[/?#]|$))/, '')

const isV3 = (path: string): boolean => /^\/v3(?:[/?#]|$)/.test(path)

/** The type of errors follows from the path. */
function typeOfRoute(request: IncomingMessage): string {
  const path = pathOf(request)
  if (isV3(path)) return JSON_TYPE
  return /^\/(?:topics|brokers|consumers)(?:[/?#]|$)/.test(path) ? V2_TYPE : errorTypeOf(request.headers.accept)
}
