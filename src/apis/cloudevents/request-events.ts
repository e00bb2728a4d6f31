import { isUtf8 } from 'node:buffer'
import { DeserializeError, JsonReader } from '../../core/json/json-reader.js'
import { readElements } from '../../core/json/json-slices.js'
import type { ProduceRecord, RecordHeader } from '../../core/model.js'
import { type Attributes, checkAttributes } from './attributes.js'
import { type ContentMode, typeOfElement } from './content-types.js'
import { Defects } from './defects.js'
import { ProblemError } from './event-answers.js'
import { readHeaders } from './http-headers.js'
import { type JsonEvent, readJsonEvent } from './json-event.js'
import { CONTENT_TYPE, headersOfBinary } from './record-headers.js'

/** Events of one request. */
const MAX_EVENTS = 100_000

export interface SentEvents {
  readonly topic: string
  readonly mode: ContentMode
  readonly contentType: string | undefined
  readonly rawHeaders: readonly string[]
  /** The key that the client has named; absent: the attribute `partitionkey` of each event. */
  readonly key: Buffer | undefined
}

/**
 * The records of a request: all of its events, or none when one of them has a defect. Values are views of the body,
 * whose buffer is reused after the call that receives it.
 *
 * @throws ProblemError
 */
export function recordsOf(body: Buffer, sent: SentEvents): readonly ProduceRecord[] {
  const defects = new Defects()
  const records = sent.mode === 'binary' ? [binaryRecord(body, sent, defects)] : jsonRecords(body, sent, defects)
  defects.throwIfAny()
  return records
}

/** Source: Kafka protocol binding 1.0.2, section 3.2. */
function binaryRecord(
  body: Buffer,
  { topic, rawHeaders, key, contentType }: SentEvents,
  defects: Defects
): ProduceRecord {
  const report = defects.of()
  const attributes = readHeaders(rawHeaders, report)
  checkAttributes(attributes, report)
  // A message without a body and without its type has no data, which is null; with its type the data is empty.
  const value = body.length === 0 && contentType === undefined ? null : body
  return { topic, key: keyOf(attributes, key), value, headers: headersOfBinary(attributes) }
}

/** Source: Kafka protocol binding 1.0.2, section 3.3. */
function jsonRecords(body: Buffer, sent: SentEvents, defects: Defects): ProduceRecord[] {
  const { mode, contentType = '' } = sent
  if (!isUtf8(body)) throw new ProblemError(400, 'the body is not valid UTF-8')
  const records: ProduceRecord[] = []
  const isBatch = mode === 'batch'
  const headers = [{ key: CONTENT_TYPE, value: Buffer.from(isBatch ? typeOfElement(contentType) : contentType) }]
  try {
    const reader = new JsonReader(body)
    if (isBatch) {
      readElements(reader, () => {
        if (records.length >= MAX_EVENTS) throw new ProblemError(413, `there are more than ${MAX_EVENTS} events`)
        const { attributes, json } = readChecked(reader, body, defects, records.length)
        records.push(structuredRecord(json, attributes, sent, headers))
      })
    } else {
      // The whole body is kept, with the white space around the event.
      records.push(structuredRecord(body, readChecked(reader, body, defects).attributes, sent, headers))
    }
    if (reader.peekToken() >= 0) reader.failAtPeek('trailing characters')
  } catch (error) {
    if (!(error instanceof DeserializeError)) throw error
    throw new ProblemError(400, `the body${isBatch ? `, event ${records.length}` : ''}: ${error.message}`)
  }
  return records
}

function readChecked(reader: JsonReader, body: Buffer, defects: Defects, event?: number): JsonEvent {
  const report = defects.of(event)
  const read = readJsonEvent(reader, body, report)
  checkAttributes(read.attributes, report)
  return read
}

const structuredRecord = (
  value: Buffer,
  attributes: Attributes,
  { topic, key }: SentEvents,
  headers: readonly RecordHeader[]
): ProduceRecord => ({ topic, key: keyOf(attributes, key), value, headers })

/** Source: Kafka protocol binding 1.0.2, section 3.1. The event keeps its attribute. */
const keyOf = (attributes: Attributes, key: Buffer | undefined): Buffer | string | null =>
  key ?? attributes.get('partitionkey') ?? null
