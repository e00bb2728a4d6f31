import { CastellanError } from '../../core/errors.js'
import type { ProduceRecord, RecordFailure } from '../../core/model.js'
import type { ProduceOptions } from '../../gateway/gateway.js'
import { refusalStatus } from '../../http/access/access.js'
import type { Params } from '../../http/api/endpoint.js'
import {
  BodyTooLargeError,
  type Outcomes,
  type ProduceAnswer,
  type ProduceApi,
  type ProduceHead,
  produceOptionsOf,
  type RefusedRequest
} from '../../http/api/produce-route.js'
import { firstFailureOf } from '../../http/exchange/answers.js'
import { type Exchange, hasBody, sentUrlOf } from '../../http/exchange/exchange.js'
import type { Known } from '../../http/exchange/modern-answers.js'
import { BAD_TYPE, mediaTypeOf, partitionIn, wrongType } from './endpoint-parts.js'
import { readRecords } from './produce-body.js'
import {
  type Format,
  type Problem,
  ProblemError,
  problemJson,
  RECORD_TYPES,
  schemaProblem,
  V2_TYPE
} from './strimzi-answers.js'

const FORMATS: ReadonlyMap<string, Format> = new Map(
  (Object.entries(RECORD_TYPES) as [Format, string][]).map(([format, type]) => [type, format])
)

/** A produce request whose head can be used. */
interface Head extends ProduceHead {
  readonly topic: string
  readonly format: Format
  readonly partition: number | undefined
}

/** `POST /topics/{topicname}` and `POST /topics/{topicname}/partitions/{partitionid}`. */
export class RecordsApi implements ProduceApi<Head> {
  readonly name = 'strimzi'
  readonly namesOffsets = true
  readonly options: ProduceApi<Head>['options']

  constructor(sync: ProduceOptions) {
    this.options = produceOptionsOf(this.name, sync)
  }

  topicOf({ topicname: topic = '' }: Params): string {
    return topic
  }

  readHead(exchange: Exchange, { topicname: topic = '', partitionid }: Params): Head {
    const type = mediaTypeOf(exchange) ?? RECORD_TYPES.binary
    const format = FORMATS.get(type)
    if (format === undefined) throw BAD_TYPE
    const query = new URLSearchParams(sentUrlOf(exchange.request).split('?', 2)[1])
    const isAsync = query.get('async') ?? 'false'
    if (isAsync !== 'true' && isAsync !== 'false') throw schemaProblem(wrongType('string', 'boolean'))
    const partition = partitionid === undefined ? undefined : partitionIn(partitionid)
    return { topic, partition, format, isSync: isAsync === 'false' }
  }

  readBody(body: Buffer, { topic, partition, format }: Head): readonly ProduceRecord[] {
    if (body.length === 0) throw new ProblemError(400, 'Validation error on: the body is missing')
    return readRecords(body, topic, partition, format)
  }

  answer(outcomes: Outcomes, { isSync }: Head): ProduceAnswer {
    const known = typeof outcomes === 'string' ? [] : outcomes
    if (isSync) return { status: 200, type: V2_TYPE, body: JSON.stringify({ offsets: known.map(entryOf) }) }
    const refused = firstFailureOf(known)
    if (refused === undefined) return { status: 204, body: '' }
    return answerOf({ status: refused.retriable ? 503 : statusOf(refused), message: refused.message })
  }

  refuse(error: unknown, { exchange, isRead }: RefusedRequest): ProduceAnswer | undefined {
    const stays = (isRead || !hasBody({ request: exchange.response.req })) && { closes: false }
    if (error instanceof ProblemError) return { ...answerOf(error.problem), ...stays }
    if (error instanceof BodyTooLargeError)
      return answerOf({ status: 413, message: `${error.message} (apis.strimzi.maxBodyBytes)` })
    const status = refusalStatus(error)
    if (status === undefined || !(error instanceof CastellanError)) return undefined
    return { ...answerOf({ status, message: error.message }), ...stays }
  }

  broken(): ProduceAnswer {
    return answerOf({ status: 500, message: 'internal error' })
  }
}

const answerOf = (problem: Problem): ProduceAnswer => ({
  status: problem.status,
  type: V2_TYPE,
  body: JSON.stringify(problemJson(problem))
})

function entryOf(outcome: Known): object {
  // A request that waits for Kafka has no such record.
  if (outcome === 'pending') return {}
  if (outcome.type === 'delivered') return { partition: outcome.partition, offset: outcome.offset }
  return problemJson({ status: statusOf(outcome), message: outcome.message })
}

/** 404 says that the record is not written; one that may be, or that stays in the durable log, has 500. */
const statusOf = ({ code, persisted }: RecordFailure): number =>
  persisted === 'no' && (code === 'unknownTopic' || code === 'unknownPartition' || code === 'invalidTopic') ? 404 : 500
