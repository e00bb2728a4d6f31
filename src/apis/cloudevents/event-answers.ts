import { errorCodeOf } from '../../core/error-code-of.js'
import { type CastellanError, KafkaError } from '../../core/errors.js'
import { refusalStatus } from '../../http/access/access.js'
import { ApiError, type ErrorAnswer, ErrorAnswers } from '../../http/api/api-answers.js'
import type { EndpointBase } from '../../http/api/endpoint.js'
import type { BufferPool } from '../../http/exchange/body-collector.js'
import type { Reply } from '../../http/exchange/exchange.js'
import { type Cause, problemAnswer, statusByCode } from '../../http/exchange/modern-answers.js'
import { errorCodes } from '../../kafka/error-codes.js'

/** @param failure of Kafka, or of Castellan */
export function eventProblemOf(
  failure: Cause & { readonly message: string; readonly errorCode?: number | undefined }
): ApiError {
  const isOtherKind = failure.errorCode === errorCodes.INCONSISTENT_GROUP_PROTOCOL
  return new ApiError(isOtherKind ? 409 : statusByCode[errorCodeOf(failure)], failure.message, { cause: failure })
}

/** Writes answers: events, and problem documents (RFC 9457). */
export class EventAnswers extends ErrorAnswers {
  protected write(error: ApiError, _: Reply, persisted?: string): ErrorAnswer {
    const { status, message, details } = error
    const { cause, members } = details
    return eventProblem(status, message, persisted, cause, members)
  }

  protected toApiError(error: CastellanError): ApiError {
    const isMissing = error instanceof KafkaError && error.errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION
    const status = refusalStatus(error) ?? (isMissing ? 404 : statusByCode[errorCodeOf(error)])
    return new ApiError(status, error.message, { cause: error })
  }
}

/** @param further members of the document, such as lines about single events */
export function eventProblem(
  status: number,
  detail: string,
  persisted: string | undefined,
  cause?: Cause,
  further?: object
): ErrorAnswer {
  const answer = problemAnswer(status, detail, persisted, cause, further)
  return { ...answer, headers: status === 503 ? { 'retry-after': '1' } : undefined, cause }
}

export interface EventParts extends EndpointBase {
  readonly answers: EventAnswers
  readonly pool: BufferPool
}
