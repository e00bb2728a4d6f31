import { CastellanError, KafkaError, StacklessError } from '../../core/errors.js'
import { refusalHeaders, refusalStatus } from '../../http/access/access.js'
import { Answers, unreadBodyHeaders } from '../../http/exchange/answers.js'
import type { Asked } from '../../http/exchange/exchange.js'
import { codesOf, errorCodes } from '../../kafka/error-codes.js'

export const V2_TYPE = 'application/vnd.kafka.v2+json'
/** The format of keys and values. */
export type Format = 'json' | 'binary' | 'text'
export const RECORD_TYPES: Readonly<Record<Format, string>> = {
  json: 'application/vnd.kafka.json.v2+json',
  binary: 'application/vnd.kafka.binary.v2+json',
  text: 'application/vnd.kafka.text.v2+json'
}

/** An error as clients see it. */
export interface Problem {
  readonly status: number
  readonly message: string
  /** What the schema of the body does not allow. */
  readonly validationErrors?: readonly string[]
}

/** A request is answered with this problem. */
export class ProblemError extends StacklessError {
  readonly problem: Problem

  constructor(status: number, message: string, validationErrors?: readonly string[]) {
    super(message)
    this.problem = { status, message, ...(validationErrors && { validationErrors }) }
  }
}

/** What the schema of a request does not allow; the bridge checks it before everything else. */
export const schemaProblem = (...validationErrors: string[]): ProblemError =>
  new ProblemError(400, 'Validation error on: Schema validation error', validationErrors)

export const problemJson = ({ status, message, validationErrors }: Problem): object => ({
  error_code: status,
  message,
  ...(validationErrors && { validation_errors: validationErrors })
})

export interface AnswerOptions {
  /** Default: that of the bridge's answers; `undefined` without a body. */
  readonly type?: string
  /** Whether the body has been read, or there is none. Default: true. */
  readonly isRead?: boolean
  readonly headers?: Readonly<Record<string, string>>
  /** Why the request fails. */
  readonly cause?: CastellanError
}

/** The rest of an unwanted body is not read: the connection ends with the answer. */
const CLOSE = { connection: 'close' }

/** Writes answers as the bridge does. */
export class StrimziAnswers {
  readonly #answers: Answers

  /** @param now epoch milliseconds, for the header `date` */
  constructor(now: () => number) {
    this.#answers = new Answers(now)
  }

  /** An answer with a body, or without one. */
  send({ response, requestId }: Asked, status: number, body: string | Buffer, options: AnswerOptions = {}): void {
    const { isRead = true } = options
    const type = body.length === 0 ? undefined : (options.type ?? V2_TYPE)
    const headers = { ...options.headers, ...(!isRead && CLOSE) }
    this.#answers.send(response, status, type, body, { requestId, persisted: undefined, cause: options.cause }, headers)
  }

  ok(asked: Asked, value: unknown): void {
    this.send(asked, 200, JSON.stringify(value))
  }

  noContent(asked: Asked): void {
    this.send(asked, 204, '')
  }

  problem(asked: Asked, problem: Problem, options: AnswerOptions = {}): void {
    this.send(asked, problem.status, JSON.stringify(problemJson(problem)), options)
  }

  /** Refuses a request for a reason of {@link refusalStatus}. */
  refuse(asked: Asked, error: CastellanError, isRead = false): void {
    const unread = isRead ? {} : unreadBodyHeaders(asked.response, error)
    const problem = { status: refusalStatus(error)!, message: error.message }
    this.problem(asked, problem, { headers: { ...refusalHeaders(error), ...unread }, cause: error })
  }

  /** @returns false: it is a bug, and nothing is answered */
  failed(asked: Asked, error: unknown): boolean {
    const problem = problemOf(error)
    if (problem === undefined) return false
    this.problem(asked, problem, error instanceof CastellanError ? { cause: error } : {})
    return true
  }
}

const CLIENTS_OWN = codesOf(
  'INVALID_TOPIC_EXCEPTION',
  'INVALID_PARTITIONS',
  'INVALID_REPLICATION_FACTOR',
  'INVALID_CONFIG',
  'INVALID_REQUEST',
  'POLICY_VIOLATION'
)
const DENIED = codesOf('TOPIC_AUTHORIZATION_FAILED', 'GROUP_AUTHORIZATION_FAILED', 'CLUSTER_AUTHORIZATION_FAILED')

/** `undefined`: a bug. */
function problemOf(error: unknown): Problem | undefined {
  if (error instanceof ProblemError) return error.problem
  return error instanceof CastellanError ? { status: statusOf(error), message: error.message } : undefined
}

function statusOf(error: CastellanError): number {
  if (error instanceof KafkaError) {
    const { errorCode } = error
    if (errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION) return 404
    if (errorCode === errorCodes.TOPIC_ALREADY_EXISTS) return 409
    if (CLIENTS_OWN.has(errorCode)) return 422
    if (DENIED.has(errorCode)) return 403
  }
  switch (error.code) {
    case 'unknownTopic':
    case 'unknownPartition':
      return 404
    case 'invalidRequest':
    case 'invalidTopic':
    case 'invalidConfig':
      return 422
    case 'notAuthorized':
    case 'forbidden':
      return 403
    case 'quotaExceeded':
      return 429
    case 'overloaded':
    case 'shuttingDown':
    case 'logUnavailable':
      return 503
    default:
      return 500
  }
}
