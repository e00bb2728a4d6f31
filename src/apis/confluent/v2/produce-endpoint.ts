import type { ProduceRecord, RecordOutcome } from '../../../core/model.js'
import type { ProduceOptions } from '../../../gateway/gateway.js'
import type { Params } from '../../../http/api/endpoint.js'
import type { Outcomes, ProduceAnswer, ProduceHead } from '../../../http/api/produce-route.js'
import type { Exchange } from '../../../http/exchange/exchange.js'
import {
  PARTITION_NOT_FOUND,
  type Problem,
  ProblemError,
  recordCodeOf,
  TOPIC_NOT_FOUND,
  UNAUTHENTICATED,
  UNAUTHORIZED
} from '../failures.js'
import { noPartition, noTopic, partitionIn } from '../look-up.js'
import { errorTypeOf, formatOf, V2_TYPE } from '../media-types.js'
import { ConfluentProduce } from '../produce.js'
import type { ConfluentSettings } from '../settings.js'
import { type RecordFormat, readProduceBody } from './produce-body.js'

/** A produce request whose head can be used. */
interface Head extends ProduceHead, RecordFormat {}

const UNSUPPORTED: Problem = {
  status: 415,
  code: 415,
  message:
    'the content type must be application/vnd.kafka.binary.v2+json (keys and values in base64) or application/vnd.kafka.json.v2+json'
}
const NO_REGISTRY: Problem = {
  status: 422,
  code: 42206,
  message: 'records of this format need a schema registry, and there is none; use the format binary or json'
}

/** `POST /topics/{topic}` and `POST /topics/{topic}/partitions/{partition}`. */
export class V2Produce extends ConfluentProduce<Head> {
  readonly #settings: ConfluentSettings

  constructor(settings: ConfluentSettings, produce: ProduceOptions) {
    super('v2', produce)
    this.#settings = settings
  }

  topicOf({ topic = '' }: Params): string {
    return topic
  }

  readHead({ request }: Exchange, { topic = '', partition: text }: Params): Head {
    const { accept, 'content-type': contentType } = request.headers
    const format = formatOf(contentType)
    if (format === 'schema') throw new ProblemError(NO_REGISTRY)
    if (format === undefined) throw new ProblemError({ ...UNSUPPORTED, type: errorTypeOf(accept) })
    const partition = text === undefined ? undefined : partitionIn(text)
    if (partition === 'none') throw new ProblemError(noPartition(topic, text!))
    const { recordMembers, maxRecordsPerRequest: maxRecords } = this.#settings
    const hasFurtherMembers = recordMembers === 'headersAndTimestamp'
    return { isSync: true, format, topic, partition, hasFurtherMembers, maxRecords }
  }

  readBody(body: Buffer, head: Head): readonly ProduceRecord[] {
    return readProduceBody(body, head)
  }

  answer(outcomes: Outcomes, { topic }: Head): ProduceAnswer {
    const known = outcomes as readonly RecordOutcome[]
    const codes = new Set(known.map(codeOf))
    const missing = codes.size === 1 ? missingOf(codes, topic) : undefined
    if (missing !== undefined) return this.errorOf(missing)
    const status = statusOf(codes)
    return { status, type: V2_TYPE, body: bodyOf(known), template: status === 200 ? this.template : undefined }
  }
}

/** `null`: the record is delivered. */
const codeOf = (outcome: RecordOutcome): number | null =>
  outcome.type === 'delivered' ? null : recordCodeOf(outcome, 'v2')

function statusOf(codes: ReadonlySet<number | null>): number {
  if (codes.has(UNAUTHENTICATED)) return 401
  return codes.has(UNAUTHORIZED) ? 403 : 200
}

function missingOf(codes: ReadonlySet<number | null>, topic: string): Problem | undefined {
  if (codes.has(TOPIC_NOT_FOUND)) return noTopic(topic)
  if (!codes.has(PARTITION_NOT_FOUND)) return undefined
  return { status: 404, code: PARTITION_NOT_FOUND, message: `topic ${topic} has no such partition` }
}

function bodyOf(outcomes: readonly RecordOutcome[]): string {
  let offsets = ''
  for (const outcome of outcomes) offsets += offsets === '' ? entryOf(outcome) : `,${entryOf(outcome)}`
  return `{"offsets":[${offsets}],"key_schema_id":null,"value_schema_id":null}`
}

const entryOf = (outcome: RecordOutcome): string =>
  outcome.type === 'delivered'
    ? `{"partition":${outcome.partition},"offset":${outcome.offset},"error_code":null,"error":null}`
    : `{"partition":null,"offset":null,"error_code":${recordCodeOf(outcome, 'v2')},"error":${JSON.stringify(outcome.message)}}`
