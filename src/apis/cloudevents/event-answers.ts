import { type FailureCause, ProblemAnswers } from '../../http/api/api-answers.js'
import type { EndpointBase } from '../../http/api/endpoint.js'
import type { BufferPool } from '../../http/exchange/body-collector.js'
import { errorCodes } from '../../kafka/error-codes.js'

const statusByKafka: ReadonlyMap<number | undefined, number> = new Map([
  [errorCodes.UNKNOWN_TOPIC_OR_PARTITION, 404],
  [errorCodes.INCONSISTENT_GROUP_PROTOCOL, 409]
])

/** Writes answers: events, and problem documents. */
export class EventAnswers extends ProblemAnswers {
  protected override readonly repeatedSoon = [503]

  protected override statusOf(failure: FailureCause): number {
    return statusByKafka.get(failure.errorCode) ?? super.statusOf(failure)
  }
}

export interface EventParts extends EndpointBase {
  readonly answers: EventAnswers
  readonly pool: BufferPool
}
