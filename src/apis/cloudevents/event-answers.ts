import { errorCodeOf } from '../../core/error-code-of.js'
import { CastellanError, KafkaError, StacklessError } from '../../core/errors.js'
import { refusalStatus } from '../../http/access/access.js'
import { type ErrorAnswer, ErrorAnswers } from '../../http/api/api-answers.js'
import type { EndpointBase } from '../../http/api/endpoint.js'
import type { BufferPool } from '../../http/exchange/body-collector.js'
import type { Reply } from '../../http/exchange/exchange.js'
import { type Cause, problemAnswer, statusByCode } from '../../http/exchange/modern-answers.js'
import { errorCodes } from '../../kafka/error-codes.js'

export class EventProblem extends StacklessError {
  readonly status: number
  /** Further lines about single events: a member of the problem document. */
  readonly errors: readonly object[] | undefined
  /** `undefined`: follows from the status. */
  readonly reason: Cause | undefined

  constructor(status: number, message: string, errors?: readonly object[], reason?: Cause) {
    super(message)
    this.status = status
    this.errors = errors
    this.reason = reason
  }

  static of(failure: Cause & { readonly message: string; readonly errorCode?: number | undefined }): EventProblem {
    const isOtherKind = failure.errorCode === errorCodes.INCONSISTENT_GROUP_PROTOCOL
    const status = isOtherKind ? 409 : statusByCode[errorCodeOf(failure)]
    return new EventProblem(status, failure.message, undefined, failure)
  }
}

/** Writes answers: events, and problem documents (RFC 9457). */
export class EventAnswers extends ErrorAnswers {
  protected readonly bug = new EventProblem(500, 'internal error')

  answerTo(error: unknown, _: Reply, persisted?: string): ErrorAnswer | undefined {
    if (error instanceof EventProblem)
      return eventProblem(error.status, error.message, persisted, error.reason, error.errors)
    if (!(error instanceof CastellanError)) return undefined
    const isMissing = error instanceof KafkaError && error.errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION
    const status = refusalStatus(error) ?? (isMissing ? 404 : statusByCode[errorCodeOf(error)])
    return eventProblem(status, error.message, persisted, error)
  }
}

/** @param errors further lines about single events */
export function eventProblem(
  status: number,
  detail: string,
  persisted: string | undefined,
  cause?: Cause,
  errors?: readonly object[]
): ErrorAnswer {
  const answer = problemAnswer(status, detail, persisted, cause, errors && { errors })
  return { ...answer, headers: status === 503 ? { 'retry-after': '1' } : undefined, cause }
}

export interface EventParts extends EndpointBase {
  readonly answers: EventAnswers
  readonly pool: BufferPool
}
