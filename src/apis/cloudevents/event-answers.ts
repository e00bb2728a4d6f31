import { CastellanError, type ErrorCode, KafkaError, StacklessError } from '../../core/errors.js'
import { refusalHeaders, refusalStatus } from '../../http/access/access.js'
import { type EndpointBase, fail, type Receive, withBytes } from '../../http/api/endpoint.js'
import { Answers, unreadBodyHeaders } from '../../http/exchange/answers.js'
import type { BufferPool } from '../../http/exchange/body-collector.js'
import type { Asked } from '../../http/exchange/exchange.js'
import { problemAnswer } from '../../http/exchange/modern-answers.js'
import { errorCodes } from '../../kafka/error-codes.js'

export class ProblemError extends StacklessError {
  readonly status: number
  /** Further lines about single events: a member of the problem document. */
  readonly errors: readonly object[] | undefined

  constructor(status: number, message: string, errors?: readonly object[]) {
    super(message)
    this.status = status
    this.errors = errors
  }
}

interface AnswerOptions {
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  /** Whether the body has been read, or there is none. Default: true. */
  readonly isRead?: boolean
  readonly cause?: Pick<CastellanError, 'code' | 'retriable'> | undefined
  readonly errors?: readonly object[] | undefined
}

/** The rest of an unwanted body is not read: the connection ends with the answer. */
const CLOSE = { connection: 'close' }
export const RETRY = { 'retry-after': '1' }

/** Writes answers: events, and problem documents (RFC 9457). */
export class EventAnswers {
  readonly #answers: Answers

  /** @param now epoch milliseconds, for the header `date` */
  constructor(now: () => number) {
    this.#answers = new Answers(now)
  }

  /** @param type `undefined`: no content type */
  send(
    asked: Asked,
    status: number,
    type: string | undefined,
    body: string | Buffer,
    options: AnswerOptions = {}
  ): void {
    const { response, requestId } = asked
    const { isRead = true, cause } = options
    const headers = { ...options.headers, ...(!isRead && CLOSE) }
    this.#answers.send(response, status, type, body, { requestId, persisted: undefined, cause }, headers)
  }

  noContent(asked: Asked, options: AnswerOptions = {}): void {
    this.send(asked, 204, undefined, '', options)
  }

  problem(asked: Asked, status: number, detail: string, options: AnswerOptions = {}): void {
    const { cause, errors } = options
    const { type, body } = problemAnswer(status, detail, undefined, cause, errors && { errors })
    const headers = { ...(status === 503 && RETRY), ...options.headers }
    this.send(asked, status, type, body, { ...options, headers })
  }

  /** Refuses a request for a reason of {@link refusalStatus}. */
  refuse(asked: Asked, error: CastellanError, isRead = false): void {
    const unread = isRead ? {} : unreadBodyHeaders(asked.response, error)
    const headers = { ...refusalHeaders(error), ...unread }
    this.problem(asked, refusalStatus(error)!, error.message, { headers, cause: error })
  }

  /** @returns false: it is a bug, and nothing is answered */
  failed(asked: Asked, error: unknown): boolean {
    if (error instanceof ProblemError) this.problem(asked, error.status, error.message, { errors: error.errors })
    else if (!(error instanceof CastellanError)) return false
    else if (refusalStatus(error) !== undefined) this.refuse(asked, error, true)
    else {
      const isMissing = error instanceof KafkaError && error.errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION
      this.problem(asked, isMissing ? 404 : statusOf[error.code], error.message, { cause: error })
    }
    return true
  }
}

export const statusOf: Readonly<Record<ErrorCode, number>> = {
  invalidRequest: 400,
  invalidTopic: 400,
  invalidConfig: 500,
  recordTooLarge: 413,
  recordRejected: 422,
  batchTooLarge: 500,
  unknownTopic: 404,
  unknownPartition: 404,
  notAuthorized: 403,
  authenticationFailed: 503,
  unauthenticated: 401,
  forbidden: 403,
  quotaExceeded: 429,
  issuerUnreachable: 503,
  overloaded: 503,
  logUnavailable: 503,
  shuttingDown: 503,
  brokerUnreachable: 503,
  clusterChanged: 502,
  noLeader: 503,
  timedOut: 504,
  protocol: 502,
  kafka: 502
}

export interface EndpointParts extends EndpointBase {
  readonly answers: EventAnswers
  readonly pool: BufferPool
}

/** Calls a handler, and answers what it throws. */
export const guarded =
  (parts: EndpointParts, receive: Receive): Receive =>
  (exchange, params) => {
    try {
      receive(exchange, params)
    } catch (error) {
      fail(parts, exchange, error)
    }
  }

/** More is not read of a body that means nothing. */
const IGNORED_BYTES = 64 * 1024

/** Calls a handler once the body has come, which means nothing: clients send an empty one in pieces. */
export const afterBody =
  (parts: EndpointParts, receive: Receive): Receive =>
  (exchange, params) => {
    const tooLarge = (): void =>
      parts.answers.problem(exchange, 413, 'a request of this kind has no body', { isRead: false })
    withBytes(parts, exchange, IGNORED_BYTES, tooLarge, () => receive(exchange, params))
  }
