import { CastellanError, type ErrorCode, KafkaError, StacklessError } from '../../core/errors.js'
import { refusalStatus } from '../../http/access/access.js'
import { type AnswerOptions, ApiAnswers, refusalOptions } from '../../http/api/api-answers.js'
import type { EndpointBase } from '../../http/api/endpoint.js'
import type { BufferPool } from '../../http/exchange/body-collector.js'
import type { Asked } from '../../http/exchange/exchange.js'
import { problemAnswer } from '../../http/exchange/modern-answers.js'
import { errorCodes } from '../../kafka/error-codes.js'

export class EventProblem extends StacklessError {
  readonly status: number
  /** Further lines about single events: a member of the problem document. */
  readonly errors: readonly object[] | undefined

  constructor(status: number, message: string, errors?: readonly object[]) {
    super(message)
    this.status = status
    this.errors = errors
  }
}

export const RETRY_HEADER = { 'retry-after': '1' }

interface ProblemOptions extends AnswerOptions {
  /** Further lines about single events. */
  readonly errors?: readonly object[] | undefined
}

/** Writes answers: events, and problem documents (RFC 9457). */
export class EventAnswers extends ApiAnswers {
  problem(asked: Asked, status: number, detail: string, options: ProblemOptions = {}): void {
    const { cause, errors } = options
    const { type, body } = problemAnswer(status, detail, undefined, cause, errors && { errors })
    this.send(asked, status, type, body, {
      ...options,
      headers: { ...(status === 503 && RETRY_HEADER), ...options.headers }
    })
  }

  /** Refuses a request for a reason of {@link refusalStatus}. */
  refuse(asked: Asked, error: CastellanError, isRead = false): void {
    this.problem(asked, refusalStatus(error)!, error.message, refusalOptions(asked, error, isRead))
  }

  /** @returns false: it is a bug, and nothing is answered */
  failed(asked: Asked, error: unknown): boolean {
    if (error instanceof EventProblem) this.problem(asked, error.status, error.message, { errors: error.errors })
    else if (!(error instanceof CastellanError)) return false
    else if (refusalStatus(error) !== undefined) this.refuse(asked, error, true)
    else {
      const isMissing = error instanceof KafkaError && error.errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION
      this.problem(asked, isMissing ? 404 : eventStatusByCode[error.code], error.message, { cause: error })
    }
    return true
  }
}

export const eventStatusByCode: Readonly<Record<ErrorCode, number>> = {
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

export interface EventParts extends EndpointBase {
  readonly answers: EventAnswers
  readonly pool: BufferPool
}
