import { isUtf8 } from 'node:buffer'
import { NOTHING } from '../../core/bytes.js'
import { ByteEscapes } from '../../core/json/byte-escapes.js'
import { isJson } from '../../core/json/is-json.js'
import { base64Part, textPart } from '../../core/json/json-parts.js'
import { DeserializeError, JsonReader } from '../../core/json/json-reader.js'
import type { KafkaRecord, RecordHeader } from '../../core/model.js'
import { SegmentedBody } from '../../http/exchange/segmented-body.js'
import { type Attributes, headerOf, headerValue, isComplete, isLegalText, nameDefect } from './attributes.js'
import {
  ATTRIBUTE_PREFIX,
  BATCH_TYPE,
  CONTENT_TYPE,
  EVENT_TYPE,
  hasEventFormat,
  isJsonData,
  isTextType,
  isUtf8Charset,
  modeOf
} from './content-types.js'
import { readJsonEvent } from './json-event.js'

/** An event as a record contains it. Its bytes are views of the record. */
export interface ReadEvent {
  /** `datacontenttype` included. */
  readonly attributes: Attributes
  /** `null`: there is no data. */
  readonly data: Buffer | null
  /** Only in structured mode: the value of the record, and its content type. */
  readonly structured?: { readonly json: Buffer; readonly contentType: string }
}

/**
 * The event in a record. Attributes have to be complete, and names and texts legal; the form of single values was the
 * concern of the producer.
 *
 * Source: Kafka protocol binding 1.0.2, section 3.
 *
 * @returns `undefined`: the record is no event that can be read
 */
export function eventIn(record: KafkaRecord): ReadEvent | undefined {
  const contentType = contentTypeIn(record.headers)
  if (contentType === undefined) return undefined
  const event = hasEventFormat(contentType) ? structuredEvent(record, contentType) : binaryEvent(record, contentType)
  return event !== undefined && isComplete(event.attributes) && hasUsableType(event.attributes) ? event : undefined
}

const PRINTABLE = /^[\x20-\x7e]*$/

/** The type of the data becomes the header `content-type` of an answer, whether a header of the record or its JSON has it. */
const hasUsableType = (attributes: Attributes): boolean => PRINTABLE.test(attributes.get('datacontenttype') ?? '')

/** Empty: there is none. `undefined`: it occurs twice, or cannot be the value of a header of HTTP. */
function contentTypeIn(headers: readonly RecordHeader[]): string | undefined {
  const values = headers.flatMap(({ key, value }) => (key === CONTENT_TYPE && value !== null ? [value] : []))
  if (values.length > 1) return undefined
  const text = values[0]?.toString() ?? ''
  return PRINTABLE.test(text) ? text : undefined
}

function binaryEvent({ headers, value }: KafkaRecord, contentType: string): ReadEvent | undefined {
  const attributes = new Map<string, string>()
  for (const { key, value: bytes } of headers) {
    if (!key.startsWith(ATTRIBUTE_PREFIX) || bytes === null) continue
    const name = key.slice(ATTRIBUTE_PREFIX.length)
    if (nameDefect(name) !== undefined || attributes.has(name) || !isUtf8(bytes)) return undefined
    const text = bytes.toString()
    if (!isLegalText(text)) return undefined
    attributes.set(name, text)
  }
  if (contentType !== '') attributes.set('datacontenttype', contentType)
  return { attributes, data: value }
}

function structuredEvent({ value }: KafkaRecord, contentType: string): ReadEvent | undefined {
  if (modeOf(contentType) !== 'structured' || value === null || !isUtf8(value)) return undefined
  let hasDefects = false
  try {
    const reader = new JsonReader(value)
    const { attributes, data, dataType } = readJsonEvent(reader, value, () => (hasDefects = true))
    if (hasDefects || reader.peekToken() >= 0) return undefined
    const all = dataType === undefined ? attributes : new Map([...attributes, ['datacontenttype', dataType]])
    return { attributes: all, data, structured: { json: value, contentType } }
  } catch (error) {
    if (error instanceof DeserializeError) return undefined
    throw error
  }
}

/** An event, or several, as the body of an answer. */
export interface Output {
  /** `undefined`: the answer has no content type. */
  readonly type: string | undefined
  /** The attributes of binary mode, and headers of the record that are returned. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>
  /** Body of the answer; its bytes are copies. */
  readonly body: EventBody
}

/** A long text or base64 becomes JSON while it leaves. */
export type EventBody = Buffer | SegmentedBody

/** Bytes that are in memory for it. */
export const memoryOf = (body: EventBody): number => (body instanceof SegmentedBody ? body.heldBytes : body.length)

const NO_HEADERS = {}

/** Source: HTTP protocol binding 1.0.2, section 3.1. An answer with more headers than clients read has no use for encoded ones. */
export function binaryOutput({ attributes, data }: ReadEvent): Output & { readonly body: Buffer } {
  const headers: Record<string, string> = {}
  let length = 0
  for (const [name, value] of attributes) {
    if (name === 'datacontenttype') continue
    length += value.length
    headers[headerOf(name)] = length > MAX_HEADER_BYTES ? value : headerValue(name, value)
  }
  return { type: attributes.get('datacontenttype'), headers, body: data === null ? NOTHING : Buffer.from(data) }
}

/** Bytes and number of headers that clients read: Node takes 16 KiB, Python 100. An answer has about ten of its own. */
const MAX_HEADER_BYTES = 10 * 1024
const MAX_HEADERS = 80
/** Colon, space and line break. */
const PER_HEADER_BYTES = 4

/** Whether some clients would refuse so many headers, so that the event is lost for them. */
export function hasTooManyHeaders({ type = '', headers }: Output): boolean {
  const lines = Object.entries(headers).flatMap(([name, values]) => [values].flat().map(value => name + value))
  const bytes = lines.reduce((sum, line) => sum + line.length + PER_HEADER_BYTES, type.length)
  return lines.length > MAX_HEADERS || bytes > MAX_HEADER_BYTES
}

/** Source: HTTP protocol binding 1.0.2, section 3.2. */
export function structuredOutput(event: ReadEvent): Output {
  const { structured } = event
  const body = structured === undefined ? toJson(event) : Buffer.from(structured.json)
  return { type: structured?.contentType ?? EVENT_TYPE, headers: NO_HEADERS, body }
}

/** Source: HTTP protocol binding 1.0.2, section 3.3. @param events each as its JSON */
export function batchOutput(events: readonly EventBody[]): Output {
  const parts = events.flatMap((json, at) => [at === 0 ? OPEN : COMMA, json])
  const all = parts.length === 0 ? [OPEN, CLOSE] : [...parts, CLOSE]
  if (all.every(part => Buffer.isBuffer(part)))
    return { type: BATCH_TYPE, headers: NO_HEADERS, body: Buffer.concat(all) }
  const body = new SegmentedBody()
  for (const part of all) {
    if (part instanceof SegmentedBody) body.addBody(part)
    else body.addBytes(part)
  }
  return { type: BATCH_TYPE, headers: NO_HEADERS, body }
}

const OPEN = Buffer.from('[')
const COMMA = Buffer.from(',')
const CLOSE = Buffer.from(']')

/** The event in the JSON format, a copy: that of the record in structured mode. */
export const jsonOf = (event: ReadEvent): EventBody => structuredOutput(event).body

/** Writes an event of binary mode. Source: JSON event format 1.0.2, sections 2.2 and 3.1. */
function toJson({ attributes, data }: ReadEvent): EventBody {
  const members = Array.from(attributes, ([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`)
  const start = `{${members.join(',')}`
  if (data === null) return Buffer.from(`${start}}`)
  const type = attributes.get('datacontenttype')
  if (type !== undefined && isJsonData(type) && isUtf8Charset(type) && isJson(data))
    return Buffer.concat([Buffer.from(`${start},"data":`), data, BRACE])
  return withString(start, data, type !== undefined && isTextType(type) && isUtf8(data))
}

/** Data in JSON: JSON as a value, text as a string, and bytes that neither form would give back unchanged in base64. */
function withString(start: string, data: Buffer, isText: boolean): EventBody {
  const name = isText ? 'data' : 'data_base64'
  if (data.length <= LONG_BYTES)
    return Buffer.from(
      `${start},"${name}":${isText ? JSON.stringify(data.toString()) : `"${data.toString('base64')}"`}}`
    )
  const [body, copy] = [new SegmentedBody(), Buffer.from(data)]
  body.add(`${start},"${name}":`)
  body.add(isText ? textPart(copy) : base64Part(copy))
  body.add('}')
  return body
}

/** Data of more bytes becomes JSON while it leaves. */
const LONG_BYTES = 16 * 1024
const BRACE = Buffer.from('}')

/** Each line of an event behind the first one. */
const LINE = '\ndata: '
const LINES = new ByteEscapes([
  ['\n', LINE],
  ['\r\n', LINE],
  ['\r', LINE]
])

/** The data of a server-sent event: each line after the first one behind `data: `. The lines of JSON end in white space. */
export function toEventData(json: EventBody): string | SegmentedBody {
  // A segmented body was made here, without line breaks.
  if (json instanceof SegmentedBody) return json
  if (json.length > LONG_BYTES) {
    // JSON may be all line breaks.
    const body = new SegmentedBody()
    body.addEscaped(json, LINES)
    return body
  }
  return json
    .toString()
    .split(/\r\n|\r|\n/)
    .join(LINE)
}
