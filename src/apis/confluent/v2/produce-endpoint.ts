import { QUOTE } from '../../../core/json/characters.js'
import { JsonAhead } from '../../../core/json/json-ahead.js'
import { encodingFault } from '../../../core/json/json-fault.js'
import { JsonReader } from '../../../core/json/json-reader.js'
import { readInteger, readListOfRecords, readStringBytes, takeNull } from '../../../core/json/json-slices.js'
import { skipValue } from '../../../core/json/json-values.js'
import { type InPieces, joined } from '../../../core/loop-turns.js'
import type { ProduceRecord, RecordHeader, RecordOutcome } from '../../../core/model.js'
import { ApiError } from '../../../http/api/api-answers.js'
import type { Params } from '../../../http/api/endpoint.js'
import { ProduceBase } from '../../../http/api/produce-base.js'
import type { ProduceAnswer, ProduceApi, ProduceHead, RecordsOrLater } from '../../../http/api/produce-route.js'
import type { Exchange, Reply } from '../../../http/exchange/exchange.js'
import type { ResolvedSchema, SchemaFormat } from '../../../schemas/schemas.js'
import type { ProduceOptions } from '../../../verbs/verbs.js'
import {
  detailed,
  PARTITION_NOT_FOUND,
  recordCodeOf,
  TOPIC_NOT_FOUND,
  UNAUTHENTICATED,
  UNAUTHORIZED
} from '../failures.js'
import { noPartition, noTopic, partitionIn } from '../look-up.js'
import { errorTypeOf, type Format, formatOf, schemaFormatOf, V2_TYPE } from '../media-types.js'
import {
  type NamedSchema,
  notJson,
  readBase64,
  readHeaderList,
  readJsonBytes,
  readJsonSlice,
  unknownMember
} from '../record-bytes.js'
import { type SchemaClient, type SchemaWriter, schemaClientOf, type WritingParts } from '../schema-writer.js'
import type { ConfluentSettings } from '../settings.js'

/** How the records of a body are read. */
export interface V2Body {
  readonly topic: string
  /** The partition of the path; that of a record wins. */
  readonly partition: number | undefined
  readonly format: Format
  /** Absent: keys and values have no schemas. */
  readonly schemaFormat: SchemaFormat | undefined
  /** Whether a record may have headers and a timestamp. */
  readonly hasFurtherMembers: boolean
  readonly maxRecords: number
}

interface V2Head extends ProduceHead, V2Body, Required<SchemaClient> {
  readonly exchange: Reply
  keySchemaId: number | null
  valueSchemaId: number | null
}

const UNSUPPORTED = new ApiError(
  415,
  'the content type must be application/vnd.kafka.binary.v2+json (keys and values in base64) or application/vnd.kafka.json.v2+json'
)
export const NO_REGISTRY = new ApiError(
  422,
  'records of this format need a schema registry, and there is none (schemas.registry.urls); use the format binary or json',
  { code: 42206 }
)

/** `POST /topics/{topic}` and `POST /topics/{topic}/partitions/{partition}`. */
export class V2Produce extends ProduceBase<V2Head> implements ProduceApi<V2Head> {
  readonly namesOffsets = true
  readonly #settings: ConfluentSettings
  readonly #parts: WritingParts

  constructor(settings: ConfluentSettings, produce: ProduceOptions, parts: WritingParts) {
    super('confluent', parts.answers, produce)
    this.#settings = settings
    this.#parts = parts
  }

  topicOf({ topic = '' }: Params): string {
    return topic
  }

  readHead(exchange: Exchange, { topic = '', partition: text }: Params): V2Head {
    const { accept, 'content-type': contentType } = exchange.request.headers
    const { access, writer } = this.#parts
    const format = formatOf(contentType)
    const schemaFormat = format && schemaFormatOf(format)
    if (schemaFormat !== undefined && writer === undefined) throw NO_REGISTRY
    if (format === undefined) throw detailed(UNSUPPORTED, { type: errorTypeOf(accept) })
    const partition = text === undefined ? undefined : partitionIn(text)
    if (partition === 'none') throw noPartition(topic, text!)
    const { recordMembers, maxRecordsPerRequest: maxRecords } = this.#settings
    const hasFurtherMembers = recordMembers === 'headersAndTimestamp'
    const { mayRegister, owner } = schemaClientOf(exchange, access.callerOf(exchange.request), topic)
    // No spreads here: V8 makes a dictionary of an object to which so many members are copied, and each request has one.
    return {
      exchange,
      isSync: true,
      topic,
      mayRegister,
      owner,
      format,
      partition,
      hasFurtherMembers,
      maxRecords,
      schemaFormat,
      keySchemaId: null,
      valueSchemaId: null
    }
  }

  *readBody(body: Buffer, head: V2Head, inTurns: boolean): InPieces<RecordsOrLater> {
    const writer = head.schemaFormat === undefined ? undefined : this.#parts.writer
    // Records that wait for their schemas need bytes that last.
    const lasting = writer === undefined || inTurns ? body : Buffer.from(body)
    const read = yield* readProduceBody(lasting, head, inTurns)
    return writer === undefined ? read.records : this.#encoded(read, body.length, head, writer)
  }

  #encoded({ records, schemas }: V2Read, bytes: number, head: V2Head, writer: SchemaWriter): RecordsOrLater {
    const keys = schemaOf('key', 42201, records, schemas)
    const values = schemaOf('value', 42202, records, schemas)
    return writer.hold(bytes, async () => {
      const resolve = (part: 'key' | 'value', named: NamedSchema | undefined): Promise<ResolvedSchema> | undefined =>
        named && writer.resolve(part, { ...named, format: head.schemaFormat }, head)
      const [key, value] = await Promise.all([resolve('key', keys), resolve('value', values)])
      head.keySchemaId = key?.id ?? null
      head.valueSchemaId = value?.id ?? null
      return writer.encode(records, { key, value }, head)
    })
  }

  *answer(known: readonly RecordOutcome[], head: V2Head): InPieces<ProduceAnswer> {
    const body = yield* joined(START, known, entryOf, endOf(head))
    const codes = new Set(known.map(codeOf))
    const missing = codes.size === 1 ? missingOf(codes, head.topic) : undefined
    if (missing !== undefined) return this.answers.answerTo(missing, head.exchange)!
    const status = statusOf(codes)
    return {
      status,
      type: V2_TYPE,
      body,
      template: status === 200 ? this.#parts.answers.okOf.v2 : undefined
    }
  }
}

const START = '{"offsets":['
const endOf = ({ keySchemaId, valueSchemaId }: V2Head): string =>
  `],"key_schema_id":${keySchemaId},"value_schema_id":${valueSchemaId}}`

/** `null`: the record is delivered. */
const codeOf = (outcome: RecordOutcome): number | null =>
  outcome.type === 'delivered' ? null : recordCodeOf(outcome, 'v2')

function statusOf(codes: ReadonlySet<number | null>): number {
  if (codes.has(UNAUTHENTICATED)) return 401
  return codes.has(UNAUTHORIZED) ? 403 : 200
}

function missingOf(codes: ReadonlySet<number | null>, topic: string): ApiError | undefined {
  if (codes.has(TOPIC_NOT_FOUND)) return noTopic(topic)
  if (!codes.has(PARTITION_NOT_FOUND)) return undefined
  return new ApiError(404, `topic ${topic} has no such partition`, { code: PARTITION_NOT_FOUND })
}

const entryOf = (outcome: RecordOutcome): string =>
  outcome.type === 'delivered'
    ? `{"partition":${outcome.partition},"offset":${outcome.offset},"error_code":null,"error":null}`
    : `{"partition":null,"offset":null,"error_code":${recordCodeOf(outcome, 'v2')},"error":${JSON.stringify(outcome.message)}}`

/** The schemas of a body, by the names of their members. */
type SchemaMembers = Map<string, string | number>

interface V2Read {
  readonly records: readonly ProduceRecord[]
  readonly schemas: SchemaMembers
}

/** Members that matter to formats with schemas only. */
const SCHEMA_MEMBERS = ['key_schema', 'key_schema_id', 'value_schema', 'value_schema_id']

/**
 * Reads the body of a produce request. Keys and values may be views of the body, whose buffer is reused after the call
 * that receives it.
 *
 *   {"records":[{"key":"a2V5","value":"AAH/","partition":2}]}
 *
 * @param inTurns it yields; absent: it does all at once
 * @throws DeserializeError, ApiError
 */
export function* readProduceBody(body: Buffer, head: V2Body, inTurns = false): InPieces<V2Read> {
  if (body.length === 0) throw new ApiError(422, 'the body is empty')
  const reader = new JsonReader(body)
  const fault = encodingFault(body, reader.isWholeUtf8)
  if (fault !== undefined) throw notJson('the body', fault)
  const ahead = inTurns ? new JsonAhead(reader, body, head.format === 'json' ? 1 : 0) : undefined
  const schemas: SchemaMembers = new Map()
  let records: readonly ProduceRecord[] = []
  if (ahead !== undefined) yield* ahead.between(1)
  for (let name = reader.firstMember(); name !== undefined; name = reader.nextMember()) {
    if (name === 'records') records = yield* recordsIn(reader, body, head, ahead)
    else {
      if (ahead !== undefined) yield* ahead.look()
      if (!SCHEMA_MEMBERS.includes(name)) throw unknownMember(name)
      else if (head.schemaFormat === undefined) skipValue(reader)
      else if (!takeNull(reader))
        schemas.set(name, name.endsWith('_id') ? readId(reader, body) : readStringBytes(reader).toString())
    }
    if (ahead !== undefined) yield* ahead.between()
  }
  if (reader.peekToken() >= 0) reader.failAtPeek('trailing characters')
  if (records.length === 0) throw new ApiError(422, 'there are no records')
  return { records, schemas }
}

/** @returns `undefined`: there is none, and none is needed */
function schemaOf(
  part: 'key' | 'value',
  code: number,
  records: readonly ProduceRecord[],
  schemas: SchemaMembers
): NamedSchema | undefined {
  const [schema, id] = [schemas.get(`${part}_schema`), schemas.get(`${part}_schema_id`)]
  if (schema !== undefined && id !== undefined)
    throw new ApiError(400, `${part}_schema and ${part}_schema_id exclude each other`)
  if (typeof schema === 'string') return { schema }
  if (typeof id === 'number') return { id }
  if (records.every(record => record[part] === null)) return undefined
  throw new ApiError(422, `there are ${part}s, but neither ${part}_schema nor ${part}_schema_id`, { code })
}

/** The original takes an id as text, too. */
function readId(reader: JsonReader, body: Buffer): number {
  if (reader.peekToken() !== QUOTE) return readInteger(reader, body)
  const text = readStringBytes(reader).toString()
  if (!/^\d{1,9}$/.test(text)) throw new ApiError(422, `not the id of a schema: ${text.slice(0, 100)}`)
  return Number(text)
}

function* recordsIn(
  reader: JsonReader,
  body: Buffer,
  head: V2Body,
  ahead: JsonAhead | undefined
): InPieces<ProduceRecord[]> {
  const records: ProduceRecord[] = []
  if (ahead !== undefined) yield* ahead.between(1)
  if (takeNull(reader)) return records
  yield* readListOfRecords(reader, ahead, () => {
    if (records.length >= head.maxRecords) throw tooMany(head.maxRecords)
    try {
      records.push(readRecord(reader, body, head))
    } catch (error) {
      throw error instanceof ApiError ? ofRecord(error, records.length) : error
    }
  })
  return records
}

const ofRecord = ({ status, message, details: { code } }: ApiError, at: number): ApiError =>
  new ApiError(status, `records[${at}]: ${message}`, { code })

const MAX_RECORDS = 'advanced.apis.confluent.maxRecordsPerRequest'
const tooMany = (limit: number): ApiError =>
  new ApiError(413, `there are more than ${limit} records (${MAX_RECORDS})`, { setting: MAX_RECORDS })

function readRecord(reader: JsonReader, body: Buffer, of: V2Body): ProduceRecord {
  const read = of.format === 'binary' ? readBase64 : of.format === 'json' ? readJsonBytes : readJsonSlice
  let key: Buffer | null = null
  let value: Buffer | null = null
  let { partition } = of
  let headers: readonly RecordHeader[] | undefined
  let timestampMs: number | undefined
  for (let name = reader.firstMember(); name !== undefined; name = reader.nextMember()) {
    if (name === 'value') value = read(reader, body)
    else if (name === 'key') key = read(reader, body)
    else if (name === 'partition') partition = readPartition(reader, body) ?? partition
    else if (name !== 'headers' && name !== 'timestamp') throw unknownMember(name)
    // Generated clients send null for each absent member.
    else if (takeNull(reader)) continue
    else if (!of.hasFurtherMembers) throw unknownMember(name)
    else if (name === 'headers') headers = readHeaderList(reader, 'key')
    else timestampMs = readInteger(reader, body)
  }
  return { topic: of.topic, partition, key, value, headers, timestampMs }
}

function readPartition(reader: JsonReader, body: Buffer): number | undefined {
  if (takeNull(reader)) return undefined
  const partition = readInteger(reader, body)
  if (partition < 0) throw new ApiError(422, 'a partition is negative')
  return partition
}
