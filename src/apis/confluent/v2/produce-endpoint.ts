import type { RecordOutcome } from '../../../core/model.js'
import { certaintyOf, persistedText } from '../../../gateway/persisted.js'
import type { Params } from '../../../http/api/endpoint.js'
import { firstFailureOf } from '../../../http/exchange/answers.js'
import type { Exchange } from '../../../http/exchange/exchange.js'
import { wantsModern } from '../../../http/exchange/modern-answers.js'
import type { EndpointParts } from '../endpoint-parts.js'
import {
  PARTITION_NOT_FOUND,
  type Problem,
  recordCodeOf,
  TOPIC_NOT_FOUND,
  UNAUTHENTICATED,
  UNAUTHORIZED
} from '../failures.js'
import { noPartition, noTopic, partitionIn } from '../look-up.js'
import { errorTypeOf, type Format, formatOf } from '../media-types.js'
import { type Producing, produceRecords, readRecords } from '../produce.js'
import type { ConfluentSettings } from '../settings.js'
import { readProduceBody } from './produce-body.js'

export interface ProduceEndpointOptions extends Producing {
  readonly settings: ConfluentSettings
  /** The limit of the server and of the API. */
  readonly maxBodyBytes: number
}

/** A produce request whose head can be used. */
interface Asked {
  readonly exchange: Exchange
  readonly topic: string
  readonly partition: number | undefined
  readonly format: 'binary' | 'json'
}

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
export class ProduceEndpoint {
  readonly #options: ProduceEndpointOptions
  readonly #parts: EndpointParts

  constructor(options: ProduceEndpointOptions, parts: EndpointParts) {
    this.#options = options
    this.#parts = parts
  }

  receive(exchange: Exchange, { topic = '', partition }: Params): void {
    const { access, answers } = this.#parts
    const format = formatOf(exchange.request.headers['content-type'])
    const number = partition === undefined ? undefined : partitionIn(partition)
    const refusal = access.callerOf(exchange.request).refusalOf('produce', { topic })
    if (refusal !== undefined) answers.refuse(exchange, refusal)
    else if (format !== 'binary' && format !== 'json') this.#unsupported(exchange, format)
    else if (number === 'none') answers.error(exchange, noPartition(topic, partition!), { isRead: false })
    else {
      const asked = { exchange, topic, partition: number, format }
      readRecords(this.#parts, exchange, this.#options.maxBodyBytes, body => this.#produce(asked, body))
    }
  }

  #unsupported(exchange: Exchange, format: Format | undefined): void {
    const { answers } = this.#parts
    if (format === 'schema') answers.error(exchange, NO_REGISTRY, { isRead: false })
    else answers.error(exchange, UNSUPPORTED, { type: errorTypeOf(exchange.request.headers.accept), isRead: false })
  }

  #produce(asked: Asked, body: Buffer): void {
    const { exchange, format, topic, partition } = asked
    const { recordMembers, maxRecordsPerRequest: maxRecords } = this.#options.settings
    const hasFurtherMembers = recordMembers === 'headersAndTimestamp'
    const records = readProduceBody(body, { format, topic, partition, hasFurtherMembers, maxRecords })
    produceRecords(this.#parts, exchange, this.#options, { records, items: [], bytes: body.length }, outcomes =>
      this.#produced(asked, outcomes)
    )
  }

  #produced({ exchange, topic }: Asked, outcomes: readonly RecordOutcome[]): void {
    const { answers } = this.#parts
    answers.settled(outcomes, [])
    if (wantsModern(exchange.request)) {
      answers.outcomes(exchange, outcomes)
      return
    }
    const persisted = persistedText(outcomes.map(certaintyOf))
    const failure = firstFailureOf(outcomes)
    if (failure === undefined) {
      answers.ok(exchange, 'v2', bodyOf(outcomes), persisted)
      return
    }
    answers.note(exchange, failure.code)
    const codes = new Set(outcomes.map(codeOf))
    const missing = codes.size === 1 ? missingOf(codes, topic) : undefined
    if (missing !== undefined) answers.error(exchange, missing, { persisted, isCounted: true })
    else answers.send(exchange, statusOf(codes), 'v2', bodyOf(outcomes), { persisted })
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
