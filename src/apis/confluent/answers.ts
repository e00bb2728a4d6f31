import type { IncomingMessage } from 'node:http'
import { errorCodeOf } from '../../core/error-code-of.js'
import { type CastellanError, ForbiddenError, UnauthenticatedError } from '../../core/errors.js'
import { DeserializeError } from '../../core/json/json-reader.js'
import { refusalStatus } from '../../http/access/access.js'
import { ApiError, type ErrorAnswer, ErrorAnswers } from '../../http/api/api-answers.js'
import type { MadeList } from '../../http/api/long-lists.js'
import { AnswerTemplate } from '../../http/exchange/answers.js'
import { type Reply, sentUrlOf } from '../../http/exchange/exchange.js'
import { codeOfStatus, JSON_TYPE } from '../../http/exchange/modern-answers.js'
import { problemOf, RETRIABLE, RETRY_OF_REGISTRY, reasonOf, type Version } from './failures.js'
import { errorTypeOf, V2_TYPE } from './media-types.js'

export const errorObjectJson = (code: number, message: string): string =>
  `{"error_code":${code},"message":${JSON.stringify(message)}}`

/** Writes answers as Confluent's REST Proxy does. */
export class ConfluentAnswers extends ErrorAnswers {
  readonly okOf = { v2: new AnswerTemplate(200, V2_TYPE), v3: new AnswerTemplate(200, JSON_TYPE) } as const

  ok({ response, requestId }: Reply, version: Version, body: string): void {
    if (!response.destroyed) this.okOf[version].send(response, { requestId, persisted: undefined }, body)
  }

  long(asked: Reply, version: Version, { body, held }: MadeList): void {
    if (typeof body === 'string') this.ok(asked, version, body)
    else this.send(asked, 200, version === 'v2' ? V2_TYPE : JSON_TYPE, body, { held })
  }

  override answerTo(error: unknown, asked: Reply): ErrorAnswer | undefined {
    const isUnreadable = error instanceof DeserializeError
    return super.answerTo(isUnreadable ? new ApiError(400, `the body: ${error.message}`) : error, asked)
  }

  protected write({ status, message, details }: ApiError, { response }: Reply): ErrorAnswer {
    const { code = status, type = typeOfRoute(response.req), cause: given } = details
    const told = given === undefined ? reasonOf(code) : errorCodeOf(given)
    const isUsual = given === undefined && told === codeOfStatus(status)
    const cause = isUsual ? undefined : { code: told, retriable: RETRIABLE.has(told) }
    const headers = status === 503 && told === 'registryUnreachable' ? RETRY_OF_REGISTRY : undefined
    return { status, type, body: errorObjectJson(code, message), headers, cause }
  }

  protected toApiError(error: CastellanError): ApiError {
    const status = refusalStatus(error)
    return status === undefined ? problemOf(error) : new ApiError(status, error.message, { code: refusalCodeOf(error) })
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
