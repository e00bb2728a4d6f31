import { isUtf8 } from 'node:buffer'
import { isJson } from '../../core/json/is-json.js'
import type { Attributes } from './attributes.js'
import { BATCH_TYPE, EVENT_TYPE, isJsonType, isTextType, isUtf8Charset } from './content-types.js'
import { headerOf, headerValue } from './http-headers.js'
import type { ReadEvent } from './record-event.js'

/** An event, or several, as the body of an answer. */
export interface Output {
  /** `undefined`: the answer has no content type. */
  readonly type: string | undefined
  /** The attributes of binary mode, and headers of the record that are returned. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>
  /** A copy. */
  readonly body: Buffer
}

const NO_HEADERS = {}
const EMPTY = Buffer.alloc(0)

/** Source: HTTP protocol binding 1.0.2, section 3.1. */
export function binaryOutput({ attributes, data }: ReadEvent): Output {
  const headers: Record<string, string> = {}
  for (const [name, value] of attributes) {
    if (name !== 'datacontenttype') headers[headerOf(name)] = headerValue(name, value)
  }
  return { type: attributes.get('datacontenttype'), headers, body: data === null ? EMPTY : Buffer.from(data) }
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
export function batchOutput(events: readonly Buffer[]): Output {
  const parts = events.flatMap((json, at) => [at === 0 ? OPEN : COMMA, json])
  const body = Buffer.concat(parts.length === 0 ? [OPEN, CLOSE] : [...parts, CLOSE])
  return { type: BATCH_TYPE, headers: NO_HEADERS, body }
}

const OPEN = Buffer.from('[')
const COMMA = Buffer.from(',')
const CLOSE = Buffer.from(']')

/** The event in the JSON format, a copy: that of the record in structured mode. */
export const jsonOf = (event: ReadEvent): Buffer => structuredOutput(event).body

/** Writes an event of binary mode. Source: JSON event format 1.0.2, sections 2.2 and 3.1. */
function toJson({ attributes, data }: ReadEvent): Buffer {
  const members = Array.from(attributes, ([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`)
  const start = `{${members.join(',')}`
  if (data === null) return Buffer.from(`${start}}`)
  return Buffer.concat([Buffer.from(`${start},`), ...dataMember(data, attributes), Buffer.from('}')])
}

/**
 * Data stands in JSON as what it is where its bytes can be found again: JSON as a value, text as a string, all other bytes in
 * base64.
 */
function dataMember(data: Buffer, attributes: Attributes): Buffer[] {
  const type = attributes.get('datacontenttype')
  if (type !== undefined && isJsonType(type) && isUtf8Charset(type) && isJson(data))
    return [Buffer.from('"data":'), data]
  if (type !== undefined && isTextType(type) && isUtf8(data)) {
    return [Buffer.from(`"data":${JSON.stringify(data.toString())}`)]
  }
  return [Buffer.from(`"data_base64":"${data.toString('base64')}"`)]
}

/** The data of a server-sent event: each line after the first one behind `data: `. The lines of JSON end in white space. */
export const toEventData = (json: Buffer): string => json.toString().replace(/\r\n|\r|\n/g, '\ndata: ')
