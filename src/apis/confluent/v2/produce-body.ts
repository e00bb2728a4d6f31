import { isUtf8 } from 'node:buffer'
import { JsonReader } from '../../../core/json/json-reader.js'
import { readElements, readInteger, readMembers, readStringBytes, takeNull } from '../../../core/json/json-slices.js'
import { skipValue } from '../../../core/json/json-values.js'
import type { ProduceRecord, RecordHeader } from '../../../core/model.js'
import type { Format } from '../media-types.js'
import {
  BodyError,
  type NamedSchema,
  readBase64,
  readHeaders,
  readJsonBytes,
  readJsonSlice,
  UsualBytes,
  unknownMember
} from '../record-bytes.js'

/** How the records of a body are read. */
export interface RecordFormat {
  readonly format: Format
  readonly topic: string
  /** The partition of the path; that of a record wins. */
  readonly partition: number | undefined
  /** Whether a record may have headers and a timestamp. */
  readonly hasFurtherMembers: boolean
  readonly maxRecords: number
}

/** The schemas of a body, by the names of their members. */
type SchemaMembers = Map<string, string | number>

/** Members that matter to formats with schemas only. */
const SCHEMA_MEMBERS = ['key_schema', 'key_schema_id', 'value_schema', 'value_schema_id']

/**
 * Reads the body of a produce request. Keys and values may be views of the body, whose buffer is reused after the call
 * that receives it.
 *
 *   {"records":[{"key":"a2V5","value":"AAH/","partition":2}]}
 *
 * @throws DeserializeError, BodyError
 */
export function readProduceBody(body: Buffer, format: RecordFormat): readonly ProduceRecord[] {
  checkText(body)
  return new UsualBody(body, format).records() ?? readAnyBody(body, format, undefined)
}

/** @throws BodyError */
function checkText(body: Buffer): void {
  if (body.length === 0) throw new BodyError(422, 'the body is empty')
  if (!isUtf8(body)) throw new BodyError(400, 'the body is not valid UTF-8')
}

/** The records of a body whose keys and values are JSON that has schemas, and the schemas. */
export interface UnencodedRecords {
  readonly records: readonly ProduceRecord[]
  readonly key: NamedSchema | undefined
  readonly value: NamedSchema | undefined
}

/** {@link readProduceBody} for a format with schemas. Keys and values are views of the body. @throws DeserializeError, BodyError */
export function readUnencoded(body: Buffer, format: RecordFormat): UnencodedRecords {
  const schemas: SchemaMembers = new Map()
  checkText(body)
  const records = readAnyBody(body, format, schemas)
  return {
    records,
    key: schemaOf('key', 42201, records, schemas),
    value: schemaOf('value', 42202, records, schemas)
  }
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
    throw new BodyError(400, `${part}_schema and ${part}_schema_id exclude each other`)
  if (typeof schema === 'string') return { schema }
  if (typeof id === 'number') return { id }
  if (records.every(record => record[part] === null)) return undefined
  throw new BodyError(422, `there are ${part}s, but neither ${part}_schema nor ${part}_schema_id`, code)
}

const QUOTE = 0x22
const COMMA = 0x2c
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

const name = (text: string): Buffer => Buffer.from(`${text}"`)
const RECORDS = name('records')
const KEY = name('key')
const VALUE = name('value')
const PARTITION = name('partition')

/**
 * A body of the usual shape: `records` alone, without schemas. Members of records are `key`, `value` and `partition`, each at most
 * once. It is read without an object or a text for each name. Everything else, right or wrong, is left to {@link readAnyBody}.
 */
class UsualBody {
  readonly #format: RecordFormat
  readonly #bytes: UsualBytes

  constructor(body: Buffer, format: RecordFormat) {
    this.#format = format
    this.#bytes = new UsualBytes(body)
  }

  /** @returns `undefined` where the body has another shape */
  records(): readonly ProduceRecord[] | undefined {
    const { json } = this.#bytes
    if (!json.take(OPEN_OBJECT) || !json.take(QUOTE) || !json.takeName(RECORDS)) return undefined
    const records = this.#list()
    return records && json.take(CLOSE_OBJECT) && json.token() === -1 ? records : undefined
  }

  #list(): readonly ProduceRecord[] | undefined {
    const { json } = this.#bytes
    const records: ProduceRecord[] = []
    if (!json.take(OPEN_LIST)) return undefined
    do {
      const record = records.length < this.#format.maxRecords ? this.#record() : undefined
      if (record === undefined) return undefined
      records.push(record)
    } while (json.take(COMMA))
    return json.take(CLOSE_LIST) ? records : undefined
  }

  #record(): ProduceRecord | undefined {
    const { json } = this.#bytes
    let key: Buffer | null | undefined
    let value: Buffer | null | undefined
    let partition: number | null | undefined
    if (!json.take(OPEN_OBJECT)) return undefined
    do {
      if (!json.take(QUOTE)) return undefined
      if (value === undefined && json.takeName(VALUE)) {
        value = this.#read()
        if (value === undefined) return undefined
      } else if (key === undefined && json.takeName(KEY)) {
        key = this.#read()
        if (key === undefined) return undefined
      } else if (partition === undefined && json.takeName(PARTITION)) {
        partition = json.nullOrInteger()
        if (partition === undefined || (partition !== null && partition < 0)) return undefined
      } else return undefined
    } while (json.take(COMMA))
    if (!json.take(CLOSE_OBJECT)) return undefined
    const { topic, partition: ofPath } = this.#format
    return {
      topic,
      partition: partition ?? ofPath,
      key: key ?? null,
      value: value ?? null,
      headers: undefined,
      timestampMs: undefined
    }
  }

  /** A key or a value. */
  #read(): Buffer | null | undefined {
    return this.#format.format === 'binary' ? this.#bytes.base64() : this.#bytes.jsonValue()
  }
}

/** @param schemas gets the members about schemas. Absent: they are ignored */
function readAnyBody(body: Buffer, format: RecordFormat, schemas: SchemaMembers | undefined): readonly ProduceRecord[] {
  const reader = new JsonReader(body)
  let records: ProduceRecord[] | undefined
  readMembers(reader, name => {
    if (name === 'records') records = readRecords(reader, body, format)
    else if (!SCHEMA_MEMBERS.includes(name)) throw unknownMember(name)
    else if (schemas === undefined) skipValue(reader)
    else if (!takeNull(reader))
      schemas.set(name, name.endsWith('_id') ? readId(reader, body) : readStringBytes(reader).toString())
  })
  if (reader.peekToken() >= 0) reader.failAtPeek('trailing characters')
  if (records === undefined || records.length === 0) throw new BodyError(422, 'there are no records')
  return records
}

/** The original takes an id as text, too. */
function readId(reader: JsonReader, body: Buffer): number {
  if (reader.peekToken() !== QUOTE) return readInteger(reader, body)
  const text = readStringBytes(reader).toString()
  if (!/^\d{1,9}$/.test(text)) throw new BodyError(422, `not the id of a schema: ${text.slice(0, 100)}`)
  return Number(text)
}

function readRecords(reader: JsonReader, body: Buffer, format: RecordFormat): ProduceRecord[] | undefined {
  if (takeNull(reader)) return undefined
  const records: ProduceRecord[] = []
  readElements(reader, () => {
    if (records.length >= format.maxRecords) throw tooMany(format.maxRecords)
    try {
      records.push(readRecord(reader, body, format))
    } catch (error) {
      throw error instanceof BodyError ? ofRecord(error, records.length) : error
    }
  })
  return records
}

const ofRecord = ({ problem: { status, message, code } }: BodyError, at: number): BodyError =>
  new BodyError(status, `records[${at}]: ${message}`, code)

const tooMany = (limit: number): BodyError =>
  new BodyError(413, `there are more than ${limit} records (advanced.apis.confluent.maxRecordsPerRequest)`)

function readRecord(reader: JsonReader, body: Buffer, of: RecordFormat): ProduceRecord {
  const read = of.format === 'binary' ? readBase64 : of.format === 'json' ? readJsonBytes : readJsonSlice
  let key: Buffer | null = null
  let value: Buffer | null = null
  let { partition } = of
  let headers: readonly RecordHeader[] | undefined
  let timestampMs: number | undefined
  readMembers(reader, name => {
    if (name === 'value') value = read(reader, body)
    else if (name === 'key') key = read(reader, body)
    else if (name === 'partition') partition = readPartition(reader, body) ?? partition
    else if (name === 'headers' && of.hasFurtherMembers) headers = readHeaders(reader, 'key')
    else if (name === 'timestamp' && of.hasFurtherMembers) {
      timestampMs = takeNull(reader) ? undefined : readInteger(reader, body)
    } else throw unknownMember(name)
  })
  return { topic: of.topic, partition, key, value, headers, timestampMs }
}

function readPartition(reader: JsonReader, body: Buffer): number | undefined {
  if (takeNull(reader)) return undefined
  const partition = readInteger(reader, body)
  if (partition < 0) throw new BodyError(422, 'a partition is negative')
  return partition
}
