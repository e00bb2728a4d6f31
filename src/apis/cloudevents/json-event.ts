import { decodeBase64 } from '../../core/base64.js'
import { QUOTE } from '../../core/json/characters.js'
import type { JsonReader } from '../../core/json/json-reader.js'
import { readStringBytes, takeNull } from '../../core/json/json-slices.js'
import { skipValue } from '../../core/json/json-values.js'
import { MAX_RECORD_HEADERS } from '../../core/model.js'
import { type Attributes, isLegalText, nameDefect, quoted, type Report, STRINGS } from './attributes.js'
import { isJsonData } from './content-types.js'

export interface JsonEvent {
  readonly attributes: Attributes
  /** The bytes that `data` or `data_base64` stands for; `null`: there is no data. */
  readonly data: Buffer | null
  /** `datacontenttype`; where it is absent, data is JSON, unless it is in base64. */
  readonly dataType: string | undefined
  /** The JSON of the event as it was sent: a view. */
  readonly json: Buffer
}

const DATA = 'data'
const DATA_BASE64 = 'data_base64'
const IMPLIED_TYPE = 'application/json'
/** The regular expressions of the forms fail with megabytes. The specification asks for events of 64 KiB. */
const MAX_ATTRIBUTE_BYTES = 65_536
const MAX_INTEGER = 2 ** 31
const INTEGER = /^-?(?:0|[1-9]\d{0,9})$/

/**
 * Consumes one event. Its data is not copied, and not interpreted.
 *
 *   {"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"total":7}}
 *
 * Source: JSON event format 1.0.2, sections 2.2 and 3.1.
 *
 * @param bytes what the reader reads; valid UTF-8
 * @param report receives the defects of members; {@link checkAttributes} finds those of the whole
 * @throws DeserializeError when it is no JSON object
 */
export function readJsonEvent(reader: JsonReader, bytes: Buffer, report: Report): JsonEvent {
  const attributes = new Map<string, string>()
  const names = new Set<string>()
  let data: DataMember | undefined
  let base64: Buffer | undefined
  reader.peekToken()
  const start = reader.index
  for (let name = reader.firstMember(); name !== undefined; name = reader.nextMember()) {
    if (names.has(name)) report(`${quoted(name)} occurs more than once`)
    names.add(name)
    // Each may become a header of a record; `data` counts as well.
    if (names.size > MAX_RECORD_HEADERS) reader.failHere(`an event has more than ${MAX_RECORD_HEADERS} attributes`)
    if (name === DATA) data = readData(reader, bytes)
    else if (name === DATA_BASE64) base64 = readBase64(reader, report)
    else {
      const value = readAttribute(reader, bytes, name, report)
      const defect = nameDefect(name)
      if (defect !== undefined) report(defect)
      else if (value !== undefined) attributes.set(name, value)
    }
  }
  const json = bytes.subarray(start, reader.index)
  if (data !== undefined && base64 !== undefined) report('data and data_base64 exclude each other')
  const type = attributes.get('datacontenttype')
  const dataType = type ?? (data === undefined ? undefined : IMPLIED_TYPE)
  return { attributes, data: base64 ?? dataOf(data, type, report), dataType, json }
}

/** The member `data`: its JSON, and the bytes of a string. */
interface DataMember {
  readonly json: Buffer
  /** `undefined`: it is no string. */
  readonly text: Buffer | undefined
}

function readData(reader: JsonReader, bytes: Buffer): DataMember {
  const isText = reader.peekToken() === QUOTE
  const start = reader.index
  const text = isText ? readStringBytes(reader) : undefined
  if (!isText) skipValue(reader)
  return { json: bytes.subarray(start, reader.index), text }
}

function dataOf(data: DataMember | undefined, type: string | undefined, report: Report): Buffer | null {
  if (data === undefined) return null
  if (type === undefined || isJsonData(type)) return data.json
  if (data.text === undefined) report(`data has to be a string, because datacontenttype ${quoted(type)} is not JSON`)
  return data.text ?? data.json
}

function readBase64(reader: JsonReader, report: Report): Buffer | undefined {
  if (takeNull(reader)) return undefined
  if (reader.peekToken() !== QUOTE) {
    skipValue(reader)
    report('data_base64 has to be a string')
    return undefined
  }
  const data = decodeBase64(readStringBytes(reader))
  if (data === undefined) report('data_base64 is not base64')
  return data
}

/** Consumes the value of an attribute. @returns its canonical text; `undefined`: it is not set, or has a defect */
function readAttribute(reader: JsonReader, bytes: Buffer, name: string, report: Report): string | undefined {
  if (takeNull(reader)) return undefined
  if (reader.peekToken() === QUOTE) {
    const value = readStringBytes(reader)
    if (value.length > MAX_ATTRIBUTE_BYTES) {
      report(`${quoted(name)} is longer than ${MAX_ATTRIBUTE_BYTES} bytes`)
      return undefined
    }
    const text = value.toString()
    if (isLegalText(text)) return text
    report(`${quoted(name)} has characters that are not allowed, such as control characters`)
    return undefined
  }
  const start = reader.index
  skipValue(reader)
  const text = bytes.toString('latin1', start, reader.index)
  if (STRINGS.has(name)) report(`${name} has to be a string`)
  else if (text === 'true' || text === 'false' || isInteger(text)) return text
  else report(`${quoted(name)} has to be a string, a boolean, or a whole number of 32 bits`)
  return undefined
}

const isInteger = (text: string): boolean =>
  INTEGER.test(text) && Number(text) >= -MAX_INTEGER && Number(text) < MAX_INTEGER
