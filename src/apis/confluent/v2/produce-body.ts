import { isUtf8 } from 'node:buffer'
import { JsonReader } from '../../../core/json/json-reader.js'
import { readElements, readInteger, readMembers, takeNull } from '../../../core/json/json-slices.js'
import { skipValue } from '../../../core/json/json-values.js'
import type { ProduceRecord, RecordHeader } from '../../../core/model.js'
import { BodyError, readBase64, readHeaders, readJsonBytes, unknownMember } from '../record-bytes.js'

/** How the records of a body are read. */
export interface RecordFormat {
  readonly format: 'binary' | 'json'
  readonly topic: string
  /** The partition of the path; that of a record wins. */
  readonly partition: number | undefined
  /** Whether a record may have headers and a timestamp. */
  readonly hasFurtherMembers: boolean
  readonly maxRecords: number
}

/** Members that matter to formats with schemas only. */
const IGNORED: ReadonlySet<string> = new Set(['key_schema', 'key_schema_id', 'value_schema', 'value_schema_id'])

/**
 * Reads the body of a produce request. Keys and values may be views of the body, whose buffer is reused after the call
 * that receives it.
 *
 *   {"records":[{"key":"a2V5","value":"AAH/","partition":2}]}
 *
 * @throws DeserializeError, BodyError
 */
export function readProduceBody(body: Buffer, format: RecordFormat): readonly ProduceRecord[] {
  if (body.length === 0) throw new BodyError(422, 'the body is empty')
  if (!isUtf8(body)) throw new BodyError(400, 'the body is not valid UTF-8')
  const reader = new JsonReader(body)
  let records: ProduceRecord[] | undefined
  readMembers(reader, name => {
    if (name === 'records') records = readRecords(reader, body, format)
    else if (IGNORED.has(name)) skipValue(reader)
    else throw unknownMember(name)
  })
  if (reader.peekToken() >= 0) reader.failAtPeek('trailing characters')
  if (records === undefined || records.length === 0) throw new BodyError(422, 'there are no records')
  return records
}

function readRecords(reader: JsonReader, body: Buffer, format: RecordFormat): ProduceRecord[] | undefined {
  if (takeNull(reader)) return undefined
  const records: ProduceRecord[] = []
  readElements(reader, () => {
    if (records.length >= format.maxRecords) throw tooMany(format.maxRecords)
    records.push(readRecord(reader, body, format))
  })
  return records
}

const tooMany = (limit: number): BodyError =>
  new BodyError(413, `there are more than ${limit} records (advanced.apis.confluent.maxRecordsPerRequest)`)

function readRecord(reader: JsonReader, body: Buffer, of: RecordFormat): ProduceRecord {
  const read = of.format === 'binary' ? readBase64 : readJsonBytes
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
