import { decodeBase64 } from '../../../core/base64.js'
import { QUOTE } from '../../../core/json/characters.js'
import { encodingFault } from '../../../core/json/json-fault.js'
import { JsonReader } from '../../../core/json/json-reader.js'
import { readInteger, readStringBytes, readValueBytes, readWord, takeNull } from '../../../core/json/json-slices.js'
import { skipValue } from '../../../core/json/json-values.js'
import type { ProduceRecord, RecordHeader } from '../../../core/model.js'
import { timeOf } from '../../../core/time-of.js'
import { ApiError } from '../../../http/api/api-answers.js'
import type { ResolvedSchema, SchemaFormat, SubjectStrategy } from '../../../schemas/schemas.js'
import { PARTITION_NOT_FOUND } from '../failures.js'
import {
  type NamedSchema,
  notJson,
  readHeaderList,
  readJsonSlice,
  type SchemaData,
  unknownMember
} from '../record-bytes.js'

/** The part of an answer about a key or value. */
export interface DataSize {
  readonly type: DataType | SchemaFormat
  /** -1: there are no data. */
  readonly size: number
  readonly schema?: ResolvedSchema
}

/** A record, and the parts of it that its answer repeats. */
export interface V3Record {
  readonly record: ProduceRecord
  readonly key: DataSize | undefined
  readonly value: DataSize | undefined
  /** Keys and values that do not have their bytes yet. Absent: there are none. */
  readonly unencoded: Unencoded | undefined
}

export interface RecordTarget {
  readonly topic: string
  /** Whether records may have schemas. */
  readonly hasRegistry: boolean
}

export interface Unencoded {
  readonly key: SchemaData | undefined
  readonly value: SchemaData | undefined
}

type DataType = 'BINARY' | 'JSON' | 'STRING'

/** The size is an object of its own: the answer waits for Kafka, and the bytes of the body must not wait with it. */
interface Data {
  readonly bytes: Buffer | null
  readonly size: DataSize
  /** Data that is still to be encoded with its schema. */
  readonly unencoded?: SchemaData
}

const STRATEGIES: readonly string[] = ['TOPIC_NAME', 'RECORD_NAME', 'TOPIC_RECORD_NAME']
const SCHEMA_MEMBERS = new Map<string, (reader: JsonReader, bytes: Buffer) => NamedSchema>([
  ['subject_name_strategy', reader => ({ strategy: readStrategy(reader) })],
  ['subject', reader => ({ subject: readStringBytes(reader).toString() })],
  ['schema', reader => ({ schema: readStringBytes(reader).toString() })],
  ['schema_id', (reader, bytes) => ({ id: readInteger(reader, bytes) })],
  ['schema_version', (reader, bytes) => ({ version: readInteger(reader, bytes) })]
])

/**
 * Reads one record of version 3. Keys and values may be views of the bytes.
 *
 *   {"partition_id":1,"key":{"type":"STRING","data":"k"},"value":{"type":"JSON","data":{"n":1}}}
 *
 * @throws DeserializeError, ApiError
 */
export function readSentRecord(bytes: Buffer, to: RecordTarget): V3Record {
  const reader = new JsonReader(bytes)
  const fault = encodingFault(bytes, reader.isWholeUtf8)
  if (fault !== undefined) throw notJson('the record', fault)
  const sent = readNextRecord(reader, bytes, to)
  if (reader.peekToken() >= 0) reader.failAtPeek('trailing characters')
  return sent
}

/** Consumes a record. @param withId it may have a member `id`, which is skipped */
export function readNextRecord(
  reader: JsonReader,
  bytes: Buffer,
  { topic, hasRegistry }: RecordTarget,
  withId = false
): V3Record {
  let key: Data | undefined
  let value: Data | undefined
  let partition: number | undefined
  let headers: readonly RecordHeader[] | undefined
  let timestampMs: number | undefined
  for (let name = reader.firstMember(); name !== undefined; name = reader.nextMember()) {
    if (name === 'value') value = readData(reader, bytes, hasRegistry)
    else if (name === 'key') key = readData(reader, bytes, hasRegistry)
    else if (name === 'partition_id') partition = takeNull(reader) ? undefined : readInteger(reader, bytes)
    else if (name === 'headers') headers = readHeaderList(reader, 'name')
    else if (name === 'timestamp') timestampMs = takeNull(reader) ? undefined : readTimestamp(reader, bytes)
    else if (name === 'id' && withId) skipValue(reader)
    else throw unknownMember(name, withId ? 422 : 400)
  }
  if (partition !== undefined && partition < 0) {
    throw new ApiError(404, 'a partition is never negative', { code: PARTITION_NOT_FOUND })
  }
  const record = { topic, partition, key: key?.bytes ?? null, value: value?.bytes ?? null, headers, timestampMs }
  const [ofKey, ofValue] = [key?.unencoded, value?.unencoded]
  const unencoded = ofKey === undefined && ofValue === undefined ? undefined : { key: ofKey, value: ofValue }
  return { record, key: key?.size, value: value?.size, unencoded }
}

/** Consumes `{"type":"JSON","data":…}`. @returns `undefined` for null: not sent */
function readData(reader: JsonReader, bytes: Buffer, hasRegistry: boolean): Data | undefined {
  if (takeNull(reader)) return undefined
  let type: DataType | SchemaFormat | undefined
  let data: Buffer | null = null
  let dataAt: number | undefined
  let readAs: typeof type
  let named: NamedSchema | undefined
  for (let name = reader.firstMember(); name !== undefined; name = reader.nextMember()) {
    if (name === 'type') type = takeNull(reader) ? undefined : readType(reader, hasRegistry)
    else if (name === 'data') {
      reader.peekToken()
      dataAt = reader.index
      readAs = type
      if (isPlain(type)) data = readBytes(reader, bytes, type)
      else skipValue(reader)
    } else named = { ...named, ...readNamed(reader, bytes, name, hasRegistry) }
  }
  if (type === undefined && !hasRegistry) throw needsRegistry()
  if (!isPlain(type) || named !== undefined) requireOneSchema(type, named ?? {})
  // The type came behind the data, or another one; data with a schema are read here, too.
  if (dataAt !== undefined && (readAs !== type || !isPlain(type))) {
    const end = reader.index
    reader.index = dataAt
    data = isPlain(type) ? readBytes(reader, bytes, type) : readJsonSlice(reader, bytes)
    reader.index = end
  }
  if (isPlain(type)) return { bytes: data, size: { type, size: data?.length ?? -1 } }
  const json = Buffer.from(data ?? 'null')
  return {
    bytes: null,
    size: { type: type ?? 'AVRO', size: -1 },
    unencoded: { named: { ...named, format: type }, json }
  }
}

/** Consumes a member that names a schema. */
function readNamed(reader: JsonReader, bytes: Buffer, name: string, hasRegistry: boolean): NamedSchema {
  const read = SCHEMA_MEMBERS.get(name)
  if (read === undefined) throw unknownMember(name, 400)
  if (takeNull(reader)) return {}
  if (!hasRegistry) throw needsRegistry()
  return read(reader, bytes)
}

const isPlain = (type: DataType | SchemaFormat | undefined): type is DataType =>
  type === 'BINARY' || type === 'JSON' || type === 'STRING'

/** @throws ApiError for members that cannot stand together */
function requireOneSchema(type: DataType | SchemaFormat | undefined, named: NamedSchema): void {
  const { schema, id, version, subject, strategy } = named
  const problem =
    isPlain(type) && Object.keys(named).length > 0
      ? `the type ${type} has no schema`
      : [schema, id, version].filter(one => one !== undefined).length > 1
        ? 'schema, schema_id and schema_version exclude each other'
        : subject !== undefined && strategy !== undefined
          ? 'subject and subject_name_strategy exclude each other'
          : !isPlain(type) && (type === undefined) !== (schema === undefined)
            ? 'one of the types AVRO, JSONSCHEMA and PROTOBUF and a schema need each other'
            : undefined
  if (problem !== undefined) throw new ApiError(400, problem)
}

const needsRegistry = (): ApiError =>
  new ApiError(422, 'a key or value without one of the types BINARY, JSON and STRING needs a schema registry', {
    code: 42206
  })

function readType(reader: JsonReader, hasRegistry: boolean): DataType | SchemaFormat {
  const type = readWord(reader)
  if (type === 'JSON' || type === 'BINARY' || type === 'STRING') return type
  if (type !== 'AVRO' && type !== 'JSONSCHEMA' && type !== 'PROTOBUF')
    throw new ApiError(400, `unknown type ${JSON.stringify(type.slice(0, 100))}`)
  if (hasRegistry) return type
  throw needsRegistry()
}

function readStrategy(reader: JsonReader): SubjectStrategy {
  const strategy = readStringBytes(reader).toString()
  if (STRATEGIES.includes(strategy)) return strategy as SubjectStrategy
  throw new ApiError(400, `subject_name_strategy: expected ${STRATEGIES.join(', ')}`)
}

function readBytes(reader: JsonReader, bytes: Buffer, type: DataType): Buffer | null {
  if (takeNull(reader)) return null
  if (type === 'JSON') return readValueBytes(reader, bytes)
  const text = readStringBytes(reader)
  if (type === 'STRING') return text
  const decoded = decodeBase64(text)
  if (decoded === undefined) throw new ApiError(400, 'the data are not base64 of the standard alphabet')
  return decoded
}

const ISO_8601 = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)$/
/** The latest time that a `Date` of JavaScript can hold. */
const MAX_TIMESTAMP_MS = 8.64e15

/** The exponent is changed in the text: 1.001 seconds are 1001 ms, but 1.001 times 1000 is less than 1001. */
function msOf(seconds: string): number {
  const [digits, exponent = '0'] = seconds.split(/e/i)
  return Number(`${digits}e${Number(exponent) + 3}`)
}

/** Text is ISO-8601, a number stands for seconds. */
function readTimestamp(reader: JsonReader, bytes: Buffer): number {
  const isText = reader.peekToken() === QUOTE
  const start = reader.index
  const text = isText ? readStringBytes(reader).toString() : ''
  if (!isText) skipValue(reader)
  const timestampMs = isText
    ? ISO_8601.test(text)
      ? timeOf(text)
      : Number.NaN
    : Math.floor(msOf(bytes.toString('latin1', start, reader.index)))
  if (!(Math.abs(timestampMs) <= MAX_TIMESTAMP_MS))
    throw new ApiError(400, 'a timestamp is neither ISO-8601 nor seconds')
  return timestampMs
}
