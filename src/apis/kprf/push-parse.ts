import { isUtf8 } from 'node:buffer'
import { CLOSE_LIST, CLOSE_OBJECT, COMMA, OPEN_LIST, OPEN_OBJECT, QUOTE } from '../../core/json/characters.js'
import { JsonAhead } from '../../core/json/json-ahead.js'
import { DeserializeError, JsonReader } from '../../core/json/json-reader.js'
import { JsonScanner } from '../../core/json/json-scanner.js'
import { skipValue } from '../../core/json/json-values.js'
import type { InPieces } from '../../core/loop-turns.js'
import type { ProduceRecord } from '../../core/model.js'
import { readBoolean, readInt32, readOption, readString, requireByte } from './serde-values.js'

const name = (text: string): Buffer => Buffer.from(`${text}"`)
const RECORDS = name('records')
const WAIT_FOR_SEND = name('wait_for_send')
const TOPIC = name('topic')
const DATA = name('data')
const KEY = name('key')
const PARTITION = name('partition')

/**
 * Reads a body of the usual shape without making a string of it: objects with known keys once, whole small partitions,
 * valid UTF-8.
 *
 *   {"records":[{"topic":"t","data":"…","key":null,"partition":3}],"wait_for_send":true}
 *
 * Keys and values are views of the body where nothing is escaped; they are not to be used after its buffer is reused.
 *
 * @returns `undefined` for anything unusual, right, wrong or too long: then parsePush decides.
 */
export function scanPush(body: Buffer, maxRecords = Number.POSITIVE_INFINITY): PushRequest | undefined {
  return isUtf8(body) ? pushOf(new JsonScanner(body), maxRecords) : undefined
}

function pushOf(json: JsonScanner, maxRecords: number): PushRequest | undefined {
  let records: PushRecord[] | undefined
  let waitForSend: boolean | null | undefined
  if (!json.take(OPEN_OBJECT)) return undefined
  do {
    if (!json.take(QUOTE)) return undefined
    if (records === undefined && json.takeName(RECORDS)) {
      records = recordsOf(json, maxRecords)
      if (records === undefined) return undefined
    } else if (waitForSend === undefined && json.takeName(WAIT_FOR_SEND)) {
      waitForSend = json.nullOrBoolean()
      if (waitForSend === undefined) return undefined
    } else return undefined
  } while (json.take(COMMA))
  if (records === undefined || !json.take(CLOSE_OBJECT) || json.token() !== -1) return undefined
  return { records, waitForSend: waitForSend === true }
}

function recordsOf(json: JsonScanner, maxRecords: number): PushRecord[] | undefined {
  const records: PushRecord[] = []
  if (!json.take(OPEN_LIST)) return undefined
  if (json.take(CLOSE_LIST)) return records
  do {
    const record = recordOf(json)
    if (record === undefined || records.length >= maxRecords) return undefined
    records.push(record)
  } while (json.take(COMMA))
  return json.take(CLOSE_LIST) ? records : undefined
}

function recordOf(json: JsonScanner): PushRecord | undefined {
  let topic: string | undefined
  let value: Buffer | undefined
  let key: Buffer | null | undefined
  let partition: number | null | undefined
  if (!json.take(OPEN_OBJECT)) return undefined
  do {
    if (!json.take(QUOTE)) return undefined
    if (value === undefined && json.takeName(DATA)) {
      value = json.string()
      if (value === undefined) return undefined
    } else if (topic === undefined && json.takeName(TOPIC)) {
      topic = json.text()
      if (topic === undefined) return undefined
    } else if (key === undefined && json.takeName(KEY)) {
      key = json.nullOrString()
      if (key === undefined) return undefined
    } else if (partition === undefined && json.takeName(PARTITION)) {
      partition = json.nullOrInteger()
      if (partition === undefined) return undefined
    } else return undefined
  } while (json.take(COMMA))
  if (topic === undefined || value === undefined || !json.take(CLOSE_OBJECT)) return undefined
  return { topic, key: key ?? null, value, partition: toPartition(partition) }
}

/**
 * A record of a push. Its key and value may be views of the body, whose buffer is reused after the call that receives
 * it.
 */
export interface PushRecord extends ProduceRecord {
  readonly key: Buffer | null
  readonly value: Buffer
}

export interface PushRequest {
  readonly records: readonly PushRecord[]
  readonly waitForSend: boolean
}

/** The partition of a record for the gateway: librdkafka takes -1 for none, like null. */
const toPartition = (asked: number | null | undefined): number | undefined =>
  asked === null || asked === -1 ? undefined : asked

/**
 * Reads any body as kprf does: what it accepts, this accepts; what it refuses, this refuses with the same words, line
 * and column.
 *
 * Keys and values are views of the body or copies; they are not to be used after the body's buffer is reused.
 *
 * @param inTurns it yields; absent: it does all at once
 * @throws DeserializeError when the body is no push request
 * @throws TooManyRecordsError as soon as there is one more than `maxRecords`, whatever follows
 * Source: kprf fd32acc read the body with serde_json 1.0.64 (`from_slice`) and serde 1.0.126 (`derive(Deserialize)`).
 */
export function* parsePush(
  body: Buffer,
  maxRecords = Number.POSITIVE_INFINITY,
  inTurns = false
): InPieces<PushRequest> {
  const reader = new JsonReader(body)
  const request = yield* readPushRequest(reader, maxRecords, inTurns ? new JsonAhead(reader, body) : undefined)
  if (reader.peekToken() >= 0) reader.failAtPeek('trailing characters')
  return request
}

/**
 * Reads records that follow each other, as log shippers send them: each an object, mostly in a line of its own. No line can
 * say whether the answer waits for Kafka. Shippers send again what is not answered, so it does.
 *
 *   {"topic":"t","data":"a"}
 *   {"topic":"t","data":"b"}
 *
 * @param inTurns as of {@link parsePush}
 * @throws DeserializeError, TooManyRecordsError as {@link parsePush}
 */
export function* parseLines(body: Buffer, maxRecords: number, inTurns = false): InPieces<PushRequest> {
  const reader = new JsonReader(body)
  const ahead = inTurns ? new JsonAhead(reader, body) : undefined
  const records: PushRecord[] = []
  if (ahead !== undefined) yield* ahead.between()
  while (reader.peekToken() >= 0) yield* recordInPieces(reader, records, maxRecords, ahead)
  return { records, waitForSend: true }
}

export class TooManyRecordsError extends Error {
  override readonly name = 'TooManyRecordsError'
}

/** The type of a field, and how it is read. `absent`: the value for a missing key; none for a required field. */
interface Field {
  readonly name: string
  readonly read: (reader: JsonReader) => unknown
  readonly absent?: null
}

/** Fields in the order of the struct. A positional array follows it, and it decides which missing field an error names. */
const recordFields = [
  { name: 'data', read: reader => readString(reader) },
  { name: 'topic', read: reader => readString(reader).toString() },
  { name: 'key', read: reader => readOption(reader, readString), absent: null },
  { name: 'partition', read: reader => readOption(reader, readInt32), absent: null }
] as const satisfies Field[]

const pushFields = [
  // Records are read one by one.
  { name: 'records', read: () => undefined },
  { name: 'wait_for_send', read: reader => readOption(reader, readBoolean), absent: null }
] as const satisfies Field[]

function* readPushRequest(reader: JsonReader, maxRecords: number, ahead: JsonAhead | undefined): InPieces<PushRequest> {
  if (ahead !== undefined) yield* ahead.between(1)
  const struct = new StructReader(reader, 'PushRequest', pushFields)
  for (let field = struct.next(); field !== undefined; field = struct.next()) {
    if (field.name === 'records') struct.take(yield* recordsInPieces(reader, maxRecords, ahead))
    else if (field === UNKNOWN && ahead !== undefined) yield* ahead.skip()
    else {
      if (ahead !== undefined) yield* ahead.look()
      struct.take(field.read(reader))
    }
    if (ahead !== undefined) yield* ahead.between()
  }
  const [records, waitForSend] = struct.values as [PushRecord[], boolean | null]
  return { records, waitForSend: waitForSend === true }
}

function* recordsInPieces(
  reader: JsonReader,
  maxRecords: number,
  ahead: JsonAhead | undefined
): InPieces<readonly PushRecord[]> {
  if (ahead !== undefined) yield* ahead.between(1)
  requireByte(reader, [OPEN_LIST], 'a sequence')
  const records: PushRecord[] = []
  while (reader.nextElement(records.length === 0)) yield* recordInPieces(reader, records, maxRecords, ahead)
  endList(reader)
  return records
}

/** Reads one more record. */
function* recordInPieces(
  reader: JsonReader,
  records: PushRecord[],
  maxRecords: number,
  ahead: JsonAhead | undefined
): InPieces<void> {
  if (records.length >= maxRecords) throw new TooManyRecordsError()
  if (ahead === undefined) reader.beginRecord()
  else yield* ahead.look()
  records.push(readRecord(reader))
  if (ahead?.isNear === false) yield* ahead.between()
}

type RecordValues = [data: Buffer, topic: string, key: Buffer | null, partition: number | null]

function readRecord(reader: JsonReader): PushRecord {
  const struct = new StructReader(reader, 'Record', recordFields)
  for (let field = struct.next(); field !== undefined; field = struct.next()) struct.take(field.read(reader))
  const [value, topic, key, partition] = struct.values as RecordValues
  return { topic, key, value, partition: toPartition(partition) }
}

/** The value of a name that the struct has not. */
const UNKNOWN: Field = { name: '', read: skipValue }

/** Reads a struct field by field. It comes as an object, or as an array of its fields in order. */
class StructReader {
  readonly #reader: JsonReader
  readonly #name: string
  readonly #fields: readonly Field[]
  readonly #isList: boolean
  readonly values: unknown[] = []
  #at = -1

  constructor(reader: JsonReader, name: string, fields: readonly Field[]) {
    this.#reader = reader
    this.#name = name
    this.#fields = fields
    this.#isList = requireByte(reader, [OPEN_LIST, OPEN_OBJECT], `struct ${name}`) === OPEN_LIST
  }

  /** The field whose value comes next, to be read and given to {@link take}; `undefined`: the struct is consumed. */
  next(): Field | undefined {
    const isFirst = this.#at === -1
    return this.#isList ? this.#nextInList(isFirst) : this.#nextByName(isFirst)
  }

  take(value: unknown): void {
    if (this.#at < this.#fields.length) this.values[this.#at] = value
  }

  #nextInList(isFirst: boolean): Field | undefined {
    const [reader, fields] = [this.#reader, this.#fields]
    const field = fields[++this.#at]
    if (field === undefined) endList(reader)
    else if (!reader.nextElement(isFirst))
      this.#fail(`invalid length ${this.#at}, expected struct ${this.#name} with ${fields.length} elements`)
    return field
  }

  #nextByName(isFirst: boolean): Field | undefined {
    const [reader, fields] = [this.#reader, this.#fields]
    if (!reader.nextKey(isFirst)) {
      this.#endFields()
      endObject(reader)
      return undefined
    }
    reader.index++
    const name = reader.finishString().toString('latin1')
    const index = fields.findIndex(field => field.name === name)
    if (index >= 0 && this.values[index] !== undefined) this.#fail(`duplicate field \`${name}\``)
    reader.expectColon()
    this.#at = index < 0 ? fields.length : index
    return fields[index] ?? UNKNOWN
  }

  #endFields(): void {
    const values = this.values
    for (const [i, field] of this.#fields.entries()) {
      if (values[i] === undefined && field.absent === undefined) this.#fail(`missing field \`${field.name}\``)
      values[i] ??= null
    }
  }

  /** serde_json first tries to close the bracket and then looks where it stands, so the column counts the bracket. */
  #fail(failure: string): never {
    closeQuietly(this.#reader, this.#isList)
    return this.#reader.failHere(failure)
  }
}

function closeQuietly(reader: JsonReader, isList: boolean): void {
  try {
    if (isList) endList(reader)
    else endObject(reader)
  } catch (error) {
    if (!(error instanceof DeserializeError)) throw error
  }
}

function endList(reader: JsonReader): void {
  const byte = reader.peekToken()
  if (byte === COMMA) {
    reader.index++
    reader.failAtPeek(reader.peekToken() === CLOSE_LIST ? 'trailing comma' : 'trailing characters')
  }
  if (byte < 0) reader.failAtPeek('EOF while parsing a list')
  if (byte !== CLOSE_LIST) reader.failAtPeek('trailing characters')
  reader.index++
}

function endObject(reader: JsonReader): void {
  const byte = reader.peekToken()
  if (byte < 0) reader.failAtPeek('EOF while parsing an object')
  if (byte === COMMA) reader.failAtPeek('trailing comma')
  if (byte !== CLOSE_OBJECT) reader.failAtPeek('trailing characters')
  reader.index++
}
