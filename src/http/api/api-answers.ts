import { errorCodeOf } from '../../core/error-code-of.js'
import { CastellanError, StacklessError } from '../../core/errors.js'
import type { Logger } from '../../core/model.js'
import type { HeldRecords } from '../../core/record-budget.js'
import { refusalHeaders, refusalStatus } from '../access/access.js'
import { sendAnswer, unreadBodyHeaders } from '../exchange/answers.js'
import type { Reply } from '../exchange/exchange.js'
import { type Cause, JSON_TYPE, problemAnswer, statusByCode } from '../exchange/modern-answers.js'
import type { AnswerBody } from '../exchange/pieced-body.js'

export interface AnswerOptions {
  readonly headers?: Readonly<Record<string, string | readonly string[]>> | undefined
  /** Whether the body has been read, or there is none; false: the connection ends with the answer. Default: true. */
  readonly isRead?: boolean
  readonly cause?: Cause | undefined
  /** The records of the answer. The bytes of the compressed answer are added. */
  readonly held?: HeldRecords | undefined
}

/** The rest of an unwanted body is not read. */
const CLOSE = { connection: 'close' }

/** Writes answers to requests that produce nothing. */
export class ApiAnswers {
  /** @param type `undefined`: no content type */
  send(
    { response, requestId }: Reply,
    status: number,
    type: string | undefined,
    body: AnswerBody,
    { headers, isRead = true, cause, held }: AnswerOptions = {}
  ): void {
    const further = isRead ? headers : { ...headers, ...CLOSE }
    sendAnswer(response, status, type, body, { requestId, persisted: undefined, cause, held }, further)
  }

  noContent(asked: Reply, options?: AnswerOptions): void {
    this.send(asked, 204, undefined, '', options)
  }
}

export interface ErrorAnswer {
  readonly status: number
  readonly type: string
  readonly body: string
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Why the request fails. Absent: follows from the error. */
  readonly cause?: Cause | undefined
}

/** Details of an error that only some APIs tell, in forms of their own. */
export interface ErrorDetails {
  /** Why the request fails, in modern answers and counts. Absent: follows from the status. */
  readonly cause?: (Cause & { readonly errorCode?: number | undefined }) | undefined
  /** The code of Confluent, or of JSON-RPC. Absent: follows from the status. */
  readonly code?: number | undefined
  /** The content type. Absent: that of the API, or of the route. */
  readonly type?: string | undefined
  /** The setting whose limit refuses the request. */
  readonly setting?: string | undefined
  /** Members of the body besides those of every error. */
  readonly members?: Readonly<Record<string, unknown>> | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** True: records may be written, whose outcome the answer does not report. Default: false. */
  readonly isUnknown?: boolean
}

/** A request of an API is answered with this status and text, in the form of the API. */
export class ApiError extends StacklessError {
  readonly status: number
  readonly details: ErrorDetails

  /** The setting of the limit, for counts of refused records. */
  get setting(): string | undefined {
    return this.details.setting
  }

  constructor(status: number, message: string, details: ErrorDetails = {}) {
    super(message)
    this.status = status
    this.details = details
  }
}

/** Answers of an API that has one form for all of its errors, whatever request they are about. */
export abstract class ErrorAnswers extends ApiAnswers {
  readonly #log: Logger
  /** The error with which a client is answered after a bug. */
  protected readonly bug: Error = new ApiError(500, 'internal error')

  constructor(log: Logger) {
    super()
    this.#log = log
  }

  /** The form of the API. @param persisted of a request to produce */
  protected abstract write(error: ApiError, asked: Reply, persisted: string | undefined): ErrorAnswer
  /** Translates a failure that no endpoint has translated. */
  protected abstract toApiError(error: CastellanError): ApiError

  /** @param persisted of a request to produce @returns `undefined`: the error is a bug */
  answerTo(error: unknown, asked: Reply, persisted?: string): ErrorAnswer | undefined {
    const known = error instanceof CastellanError ? this.toApiError(error) : error
    return known instanceof ApiError ? this.write(known, asked, persisted) : undefined
  }

  /** The answer to a client after a bug. @param persisted of a request to produce */
  broken(asked: Reply, persisted?: string): ErrorAnswer {
    return this.answerTo(this.bug, asked, persisted)!
  }

  /** Answers a request that is refused, or has failed. @param isRead whether its body has been read, or there is none */
  fail(asked: Reply, error: unknown, isRead = true, further?: AnswerOptions['headers']): void {
    const { requestId, response } = asked
    const known = this.answerTo(error, asked)
    if (known === undefined) this.#log.error({ err: error, requestId }, 'a request failed unexpectedly')
    const { status, type, body, headers, cause } = known ?? this.broken(asked)
    this.send(asked, status, type, body, {
      headers: {
        ...(!isRead && unreadBodyHeaders(response, error)),
        ...(refusalStatus(error) !== undefined && refusalHeaders(error)),
        ...headers,
        ...further
      },
      cause: cause ?? (error instanceof CastellanError ? error : undefined)
    })
  }
}

/** The common members of an error and of a failure that is an answer. */
export interface FailureCause extends Cause {
  readonly message: string
  /** Kafka's; absent: it is a failure of Castellan. */
  readonly errorCode?: number | undefined
}

/** Answers of an API whose errors are problem documents (RFC 9457). */
export class ProblemAnswers extends ErrorAnswers {
  /** A client may soon repeat a request that was refused with one of these statuses. */
  protected readonly repeatedSoon: readonly number[] = []

  ok(asked: Reply, body: object, status = 200): void {
    this.send(asked, status, JSON_TYPE, JSON.stringify(body))
  }

  problemOf(failure: FailureCause, members?: ErrorDetails['members']): ApiError {
    return new ApiError(this.statusOf(failure), failure.message, { cause: failure, members })
  }

  write(error: ApiError, _?: Reply, persisted?: string): ErrorAnswer {
    const { status, message, details } = error
    const { cause, members } = details
    const headers = this.repeatedSoon.includes(status) ? { 'retry-after': '1' } : details.headers
    return { ...problemAnswer(status, message, persisted, cause, members), headers, cause }
  }

  protected toApiError(error: CastellanError): ApiError {
    return new ApiError(refusalStatus(error) ?? this.statusOf(error), error.message, { cause: error })
  }

  /** The status of a failure that is no refusal. */
  protected statusOf(failure: FailureCause): number {
    return statusByCode[errorCodeOf(failure)]
  }
}
