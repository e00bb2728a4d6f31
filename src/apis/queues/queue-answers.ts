import { errorCodeOf } from '../../core/error-code-of.js'
import type { CastellanError } from '../../core/errors.js'
import type { MonotonicClock } from '../../core/model.js'
import type { RecordBudget } from '../../core/record-budget.js'
import type { Shares } from '../../core/shares.js'
import { refusalStatus } from '../../http/access/access.js'
import { ApiError, type ErrorAnswer, ErrorAnswers, type ErrorDetails } from '../../http/api/api-answers.js'
import type { EndpointBase } from '../../http/api/endpoint.js'
import type { BufferPool } from '../../http/exchange/body-collector.js'
import type { Reply } from '../../http/exchange/exchange.js'
import { type Cause, JSON_TYPE, problemAnswer, statusByCode } from '../../http/exchange/modern-answers.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { Decoding } from '../../schemas/record-json.js'
import { DeadLettersError, type Verbs } from '../../verbs/verbs.js'

/** The common members of an error and of a failure that is an answer. */
interface Failed extends Cause {
  readonly message: string
  /** Kafka's; absent: it is a failure of Castellan. */
  readonly errorCode?: number | undefined
}

export const queueProblemOf = (failure: Failed, members?: ErrorDetails['members']): ApiError =>
  new ApiError(statusOf(failure), failure.message, { cause: failure, members })

export class QueueAnswers extends ErrorAnswers {
  protected write({ status, message, details: { cause, members } }: ApiError): ErrorAnswer {
    const { errorCode } = cause ?? {}
    const told = status === 403 && cause?.code === 'kafka' ? NOT_AUTHORIZED : cause
    const further = { ...(errorCode !== undefined && { errorCode }), ...members }
    const answer = problemAnswer(status, message, undefined, told, further)
    // The client may soon repeat a request that was refused with one of these statuses.
    return { ...answer, headers: status === 429 || status === 503 ? { 'retry-after': '1' } : undefined, cause: told }
  }

  protected toApiError(error: CastellanError): ApiError {
    const status = error instanceof DeadLettersError ? 409 : (refusalStatus(error) ?? statusOf(error))
    return new ApiError(status, error.message, { cause: error })
  }

  ok(asked: Reply, body: string, status = 200): void {
    this.send(asked, status, JSON_TYPE, body)
  }
}

const NOT_AUTHORIZED = { code: 'notAuthorized', retriable: false } as const

/** Statuses by codes of Kafka; all others are 502. */
const statusByKafka: ReadonlyMap<number | undefined, number> = new Map([
  [errorCodes.INVALID_CONFIG, 400],
  [errorCodes.INVALID_GROUP_ID, 400],
  [errorCodes.TOPIC_AUTHORIZATION_FAILED, 403],
  [errorCodes.GROUP_AUTHORIZATION_FAILED, 403],
  [errorCodes.UNKNOWN_TOPIC_OR_PARTITION, 404],
  [errorCodes.NON_EMPTY_GROUP, 409],
  // The group is of another kind.
  [errorCodes.GROUP_ID_NOT_FOUND, 409],
  [errorCodes.INCONSISTENT_GROUP_PROTOCOL, 409],
  [errorCodes.UNSUPPORTED_VERSION, 501],
  [errorCodes.GROUP_MAX_SIZE_REACHED, 503],
  [errorCodes.SHARE_SESSION_LIMIT_REACHED, 503]
])

const statusOf = ({ code, errorCode }: Failed): number =>
  (code === 'kafka' ? statusByKafka.get(errorCode) : undefined) ?? statusByCode[errorCodeOf({ code })]

export interface QueueParts extends EndpointBase {
  readonly answers: QueueAnswers
  readonly pool: BufferPool
  readonly lookUps: Shares
  readonly records: RecordBudget
  readonly clock: MonotonicClock
  /** Prefix of the API's paths on the shared port. */
  readonly prefix: string
  readonly maxBodyBytes: number
  readonly maxLockMs: number
  /** Absent: no schema registry is configured. */
  readonly schemas?: Decoding | undefined
  readonly verbsByCluster: ReadonlyMap<string, Verbs>
}
