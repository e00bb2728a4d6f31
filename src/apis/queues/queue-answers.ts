import type { MonotonicClock } from '../../core/model.js'
import type { RecordBudget } from '../../core/record-budget.js'
import type { Shares } from '../../core/shares.js'
import { ApiError, type ErrorAnswer, type FailureCause, ProblemAnswers } from '../../http/api/api-answers.js'
import { answerWork, type EndpointBase } from '../../http/api/endpoint.js'
import type { LongLists } from '../../http/api/long-lists.js'
import type { BufferPool } from '../../http/exchange/body-collector.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import { JSON_TYPE } from '../../http/exchange/modern-answers.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { Decoding } from '../../schemas/record-json.js'
import { DeadLettersError, type Verbs } from '../../verbs/verbs.js'

export class QueueAnswers extends ProblemAnswers {
  protected override readonly repeatedSoon = [429, 503]

  override write({ status, message, details: { cause, members } }: ApiError): ErrorAnswer {
    const { errorCode } = cause ?? {}
    const told = status === 403 && cause?.code === 'kafka' ? NOT_AUTHORIZED : cause
    const further = { ...(errorCode !== undefined && { errorCode }), ...members }
    return super.write(new ApiError(status, message, { cause: told, members: further }))
  }

  protected override statusOf(failure: FailureCause): number {
    if (failure instanceof DeadLettersError) return 409
    return (failure.code === 'kafka' ? statusByKafka.get(failure.errorCode) : undefined) ?? super.statusOf(failure)
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

export interface QueueParts extends EndpointBase {
  readonly answers: QueueAnswers
  readonly pool: BufferPool
  readonly lookUps: Shares
  readonly longLists: LongLists
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

/** Asks Kafka, and answers with what it says: long lists are made in portions. */
export const answerFound = (parts: QueueParts, exchange: Exchange, look: () => Promise<object>): void =>
  answerWork(parts, exchange, async client =>
    parts.longLists.answerObject(await look(), client, exchange.response, ({ body, held }) =>
      parts.answers.send(exchange, 200, JSON_TYPE, body, { held })
    )
  )
