import { isUtf8 } from 'node:buffer'
import { DeserializeError, JsonReader } from '../../core/json/json-reader.js'
import type { KafkaRecord, RecordHeader } from '../../core/model.js'
import { type Attributes, isComplete, isLegalText, nameDefect } from './attributes.js'
import { hasEventFormat, modeOf } from './content-types.js'
import { readJsonEvent } from './json-event.js'
import { ATTRIBUTE_PREFIX, CONTENT_TYPE } from './record-headers.js'

/** An event as it stands in a record. Its bytes are views of the record. */
export interface ReadEvent {
  /** `datacontenttype` included. */
  readonly attributes: Attributes
  /** `null`: there is no data. */
  readonly data: Buffer | null
  /** Of structured mode: the value of the record, and its content type. */
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
