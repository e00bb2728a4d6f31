import type { IncomingMessage } from 'node:http'
import { CastellanError, ForbiddenError, UnauthenticatedError } from '../../core/errors.js'
import { refusalStatus } from '../../http/access/access.js'
import { type AnswerOptions, ApiAnswers, refusalOptions } from '../../http/api/api-answers.js'
import { noteFailure } from '../../http/exchange/answers.js'
import { type Asked, sentUrlOf } from '../../http/exchange/exchange.js'
import { failedProblemOf, type Problem, type Version } from './failures.js'
import { errorTypeOf, JSON_TYPE, V2_TYPE } from './media-types.js'

export const errorObjectJson = (code: number, message: string): string =>
  `{"error_code":${code},"message":${JSON.stringify(message)}}`

/** Writes answers to requests that produce nothing, as Confluent's REST Proxy does. */
export class ConfluentAnswers extends ApiAnswers {
  readonly #templates = { v2: this.template(200, V2_TYPE), v3: this.template(200, JSON_TYPE) }

  /** 200 with JSON. */
  ok({ response, requestId }: Asked, version: Version, body: string): void {
    if (!response.destroyed) this.#templates[version].send(response, { requestId, persisted: undefined }, body)
  }

  error(asked: Asked, { status, code, message, type }: Problem, options?: AnswerOptions): void {
    this.send(asked, status, type ?? typeOfRoute(asked.response.req), errorObjectJson(code, message), options)
  }

  /** Refuses a request for a reason of {@link refusalStatus}. */
  refuse(asked: Asked, error: CastellanError, isRead = false): void {
    const problem = { status: refusalStatus(error)!, code: refusalCodeOf(error), message: error.message }
    this.error(asked, problem, refusalOptions(asked, error, isRead))
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
