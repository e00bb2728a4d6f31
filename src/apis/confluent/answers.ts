import type { IncomingMessage } from 'node:http'
import { CastellanError, type ErrorCode, ForbiddenError, UnauthenticatedError } from '../../core/errors.js'
import type { RecordOutcome } from '../../core/model.js'
import { persistedText } from '../../gateway/persisted.js'
import { refusalHeaders, refusalStatus } from '../../http/access/access.js'
import type { RefusedByApi } from '../../http/api/refused-records.js'
import { type Answers, type AnswerTemplate, noteFailure, unreadBodyHeaders } from '../../http/exchange/answers.js'
import { type Asked, sentUrlOf } from '../../http/exchange/exchange.js'
import type { Known } from '../../http/exchange/modern-answers.js'
import { failedProblemOf, type Problem, reasonOf } from './failures.js'
import { errorTypeOf, JSON_TYPE, typeOf, V2_TYPE, type Version } from './media-types.js'

/** The code and the text of a record that is refused. */
export interface RecordProblem {
  readonly code: number
  readonly message: string
}

export interface ErrorOptions {
  /** Absent: follows from the route, or from `Accept` where there is none. */
  readonly type?: string | undefined
  /** Only produce requests have it. Default for them: `no`. */
  readonly persisted?: string | undefined
  /** Whether the body has been read, or there is none. Default: true. */
  readonly isRead?: boolean
  readonly headers?: Readonly<Record<string, string>>
  /** The records that this error refuses were counted one by one. Default: it counts as one, as they may not have been read. */
  readonly isCounted?: boolean
}

/** The rest of an unwanted body is not read: the connection ends with the answer. */
const CLOSE = { connection: 'close' }
const NOT_PERSISTED = persistedText(['no'])

export const errorBody = (code: number, message: string): string =>
  `{"error_code":${code},"message":${JSON.stringify(message)}}`

/** Writes answers as Confluent's REST Proxy does. */
export class ConfluentAnswers {
  readonly #answers: Answers
  readonly #templates: Readonly<Record<Version, AnswerTemplate>>
  readonly #refused: RefusedByApi

  constructor(answers: Answers, refused: RefusedByApi) {
    this.#answers = answers
    this.#refused = refused
    this.#templates = { v2: answers.template(200, V2_TYPE), v3: answers.template(200, JSON_TYPE) }
  }

  /** 200 with JSON. @param persisted absent for requests that produce nothing */
  ok({ response, requestId }: Asked, version: Version, body: string, persisted?: string): void {
    if (!response.destroyed) this.#templates[version].send(response, { requestId, persisted }, body)
  }

  /** Any other answer with a body. */
  send(
    { response, requestId }: Asked,
    status: number,
    version: Version,
    body: string,
    options: { readonly persisted?: string; readonly headers?: Readonly<Record<string, string>> } = {}
  ): void {
    const headers = { requestId, persisted: options.persisted }
    this.#answers.send(response, status, typeOf(version), body, headers, options.headers)
  }

  /** 200 of a type that the client asks for. */
  typed({ response, requestId }: Asked, type: string, body: string | Buffer): void {
    this.#answers.send(response, 200, type, body, { requestId, persisted: undefined })
  }

  noContent({ response, requestId }: Asked): void {
    this.#answers.send(response, 204, undefined, '', { requestId, persisted: undefined })
  }

  /** The modern answer to a produce request, in the form that all APIs have in common. */
  outcomes(asked: Asked, known: readonly Known[]): void {
    this.#answers.outcomes(asked, known)
  }

  error(asked: Asked, { status, code, message }: Problem, options: ErrorOptions = {}): void {
    const { response, requestId } = asked
    const { req } = response
    const produces = isProduce(req)
    const { type = typeOfRoute(req), persisted = produces ? NOT_PERSISTED : undefined, isRead = true } = options
    if (persisted === NOT_PERSISTED && options.isCounted !== true) this.#refused.add({ code: reasonOf(code), message })
    const headers = { ...options.headers, ...(!isRead && CLOSE) }
    this.#answers.send(response, status, type, errorBody(code, message), { requestId, persisted }, headers)
  }

  /** Refuses a request for a reason of {@link refusalStatus}. */
  refuse({ response, requestId }: Asked, error: CastellanError, isRead = false): void {
    const produces = isProduce(response.req)
    const persisted = produces ? NOT_PERSISTED : undefined
    const headers = { ...refusalHeaders(error), ...(!isRead && unreadBodyHeaders(response, error)) }
    const status = refusalStatus(error)!
    const code = refusalCodeOf(error)
    if (produces) this.#refused.add(error, 1, true)
    const body = errorBody(code, error.message)
    const type = typeOfRoute(response.req)
    this.#answers.send(response, status, type, body, { requestId, persisted, cause: error }, headers)
  }

  /** @returns false: it is a bug, and nothing is answered. @param topic that the request names */
  failed(asked: Asked, error: unknown, topic?: string): boolean {
    const problem = failedProblemOf(error, topic)
    if (problem === undefined) return false
    if (error instanceof CastellanError) this.note(asked, error.code)
    this.error(asked, problem)
    return true
  }

  /** Counts records that are refused one by one, with an answer of their own. */
  settled(outcomes: readonly RecordOutcome[], problems: readonly RecordProblem[]): void {
    this.#refused.addFailed(outcomes)
    for (const { code, message } of problems) this.#refused.add({ code: reasonOf(code), message })
  }

  /** Notes for the log why a request fails. */
  note({ response }: Asked, code: ErrorCode | undefined): void {
    noteFailure(response, code)
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

/** Whether a request produces records. The head of the request decides, before its path is parsed. */
export const isProduce = (request: IncomingMessage): boolean =>
  request.method === 'POST' &&
  /^(?:\/topics\/[^/?#]+(?:\/partitions\/[^/?#]+)?|\/v3\/clusters\/[^/?#]+\/topics\/[^/?#]+\/records(?:(?::|%3a)batch)?)\/?(?:[?#]|$)/i.test(
    pathOf(request)
  )
