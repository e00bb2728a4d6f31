import type { ProduceRecord, RecordOutcome } from '../../../core/model.js'
import type { ProduceOptions } from '../../../gateway/gateway.js'
import type { Params } from '../../../http/api/endpoint.js'
import type { Later, Outcomes, ProduceAnswer, ProduceHead } from '../../../http/api/produce-route.js'
import type { Exchange } from '../../../http/exchange/exchange.js'
import type { ResolvedSchema, SchemaFormat } from '../../../schemas/schemas.js'
import type { EndpointParts } from '../endpoint-parts.js'
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
import { errorTypeOf, formatOf, schemaFormatOf, V2_TYPE } from '../media-types.js'
import { ConfluentProduce } from '../produce.js'
import { mayRegister, type SchemaWriter } from '../schema-writer.js'
import type { ConfluentSettings } from '../settings.js'
import { type RecordFormat, readProduceBody, readUnencoded } from './produce-body.js'

/** A produce request whose head can be used. */
interface Head extends ProduceHead, RecordFormat {
  /** Absent: keys and values have no schemas. */
  readonly schemaFormat: SchemaFormat | undefined
  readonly mayRegister: (subject: string) => boolean
  keySchemaId: number | null
  valueSchemaId: number | null
}

const UNSUPPORTED: Problem = {
  status: 415,
  code: 415,
  message:
    'the content type must be application/vnd.kafka.binary.v2+json (keys and values in base64) or application/vnd.kafka.json.v2+json'
}
export const NO_REGISTRY: Problem = {
  status: 422,
  code: 42206,
  message:
    'records of this format need a schema registry, and there is none (schemas.registry.urls); use the format binary or json'
}

/** `POST /topics/{topic}` and `POST /topics/{topic}/partitions/{partition}`. */
export class V2Produce extends ConfluentProduce<Head> {
  readonly #settings: ConfluentSettings
  readonly #access: EndpointParts['access']
  readonly #writer: SchemaWriter | undefined

  constructor(
    settings: ConfluentSettings,
    produce: ProduceOptions,
    { access, writer }: { readonly access: EndpointParts['access']; readonly writer: SchemaWriter | undefined }
  ) {
    super('v2', produce)
    this.#settings = settings
    this.#access = access
    this.#writer = writer
  }

  topicOf({ topic = '' }: Params): string {
    return topic
  }

  readHead(exchange: Exchange, { topic = '', partition: text }: Params): Head {
    const { accept, 'content-type': contentType } = exchange.request.headers
    const format = formatOf(contentType)
    const schemaFormat = format && schemaFormatOf(format)
    if (schemaFormat !== undefined && this.#writer === undefined) throw new ProblemError(NO_REGISTRY)
    if (format === undefined) throw new ProblemError({ ...UNSUPPORTED, type: errorTypeOf(accept) })
    const partition = text === undefined ? undefined : partitionIn(text)
    if (partition === 'none') throw new ProblemError(noPartition(topic, text!))
    const { recordMembers, maxRecordsPerRequest: maxRecords } = this.#settings
    const hasFurtherMembers = recordMembers === 'headersAndTimestamp'
    const may = mayRegister(exchange, this.#access.callerOf(exchange.request), topic)
    const read = { format, topic, partition, hasFurtherMembers, maxRecords }
    return { isSync: true, ...read, schemaFormat, mayRegister: may, keySchemaId: null, valueSchemaId: null }
  }

  readBody(body: Buffer, head: Head): readonly ProduceRecord[] | Later<readonly ProduceRecord[]> {
    const writer = this.#writer
    if (head.schemaFormat === undefined || writer === undefined) return readProduceBody(body, head)
    // The bytes of the body are valid during this call only.
    const unencoded = readUnencoded(Buffer.from(body), head)
    return writer.hold(body.length, async () => {
      const resolve = (part: 'key' | 'value'): Promise<ResolvedSchema> | undefined => {
        const named = unencoded[part]
        return named && writer.resolve(part, { ...named, format: head.schemaFormat }, head)
      }
      const [key, value] = await Promise.all([resolve('key'), resolve('value')])
      head.keySchemaId = key?.id ?? null
      head.valueSchemaId = value?.id ?? null
      return writer.encode(unencoded.records, { key, value })
    })
  }

  answer(outcomes: Outcomes, head: Head): ProduceAnswer {
    const known = outcomes as readonly RecordOutcome[]
    const codes = new Set(known.map(codeOf))
    const missing = codes.size === 1 ? missingOf(codes, head.topic) : undefined
    if (missing !== undefined) return this.errorOf(missing)
    const status = statusOf(codes)
    return { status, type: V2_TYPE, body: bodyOf(known, head), template: status === 200 ? this.template : undefined }
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

function bodyOf(outcomes: readonly RecordOutcome[], { keySchemaId, valueSchemaId }: Head): string {
  let offsets = ''
  for (const outcome of outcomes) offsets += offsets === '' ? entryOf(outcome) : `,${entryOf(outcome)}`
  return `{"offsets":[${offsets}],"key_schema_id":${keySchemaId},"value_schema_id":${valueSchemaId}}`
}

const entryOf = (outcome: RecordOutcome): string =>
  outcome.type === 'delivered'
    ? `{"partition":${outcome.partition},"offset":${outcome.offset},"error_code":null,"error":null}`
    : `{"partition":null,"offset":null,"error_code":${recordCodeOf(outcome, 'v2')},"error":${JSON.stringify(outcome.message)}}`
