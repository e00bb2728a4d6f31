import { isUtf8 } from 'node:buffer'
import type { ProduceRecord } from '../../core/model.js'

/**
 * Key and value of one record of a request, and the headers that the request has added where the record waits for others.
 * The bytes may be views of the request's body.
 */
export type Content = Pick<ProduceRecord, 'key' | 'value' | 'headers'>

/** How a form is produced: as one JSON object, or as a record for each field, with the field's name as its key. */
type PayloadMode = 'json' | 'fields'

const JSON_TYPE = /^application\/(?:[\w.!#$&^+-]+\+)?json *(?:;|$)/i

/** Whether a body of this type is JSON. Any other type, or no type, is read as a form, as kafboy does. */
export const isJsonType = (contentType: string | undefined): boolean =>
  contentType !== undefined && (contentType === 'application/json' || JSON_TYPE.test(contentType))

/**
 * The records of a body that no hook has edited. JSON becomes one record with the same bytes; it is not parsed.
 *
 * @returns `undefined` for a form that cannot be read
 */
export function contentsOf(body: Buffer, isJson: boolean, mode: PayloadMode): readonly Content[] | undefined {
  if (body.length === 0) return []
  if (isJson) return [{ key: null, value: body }]
  const fields = parseForm(body)
  if (fields === undefined) return undefined
  if (fields.length === 0) return []
  if (mode === 'fields') return fields.map(({ name, value }) => ({ key: name, value: value === true ? 'true' : value }))
  const value = toJsonObject(fields)
  return value === undefined ? undefined : [{ key: null, value }]
}

/** A field of a form, in the order sent. A name without `=` has the value `true`, as cowboy's parser gives it. */
interface FormField {
  readonly name: Buffer
  readonly value: Buffer | true
}

const AMPERSAND = 0x26
const EQUALS = 0x3d
const PLUS = 0x2b
const PERCENT = 0x25
const SPACE = 0x20

/**
 * The fields of an `application/x-www-form-urlencoded` body as bytes; duplicates are kept.
 *
 *   a=1&b&&c=x%3Dy   =>   a: 1, b: true, c: x=y
 *
 * Source: cowlib 1.0.0, cow_qs:parse_qs.
 *
 * @returns `undefined` when a name is empty or a percent sign is not followed by two hexadecimal digits
 */
export function parseForm(body: Buffer): readonly FormField[] | undefined {
  const fields: FormField[] = []
  let start = 0
  while (start < body.length) {
    const end = endOf(body, AMPERSAND, start, body.length)
    if (end > start) {
      const field = toField(body, start, end)
      if (field === undefined) return undefined
      fields.push(field)
    }
    start = end + 1
  }
  return fields
}

function toField(body: Buffer, start: number, end: number): FormField | undefined {
  const nameEnd = endOf(body, EQUALS, start, end)
  const name = percentDecoded(body.subarray(start, nameEnd))
  const value = nameEnd === end ? true : percentDecoded(body.subarray(nameEnd + 1, end))
  if (name === undefined || value === undefined || name.length === 0) return undefined
  return { name, value }
}

function endOf(body: Buffer, byte: number, start: number, end: number): number {
  const found = body.indexOf(byte, start)
  return found < 0 || found > end ? end : found
}

/**
 * The bytes that a form or a path segment stands for: `+` is a space, `%41` an A. A view of the given bytes when there
 * is nothing to decode.
 *
 * @returns `undefined` for a percent sign without two hexadecimal digits
 */
export function percentDecoded(encoded: Buffer): Buffer | undefined {
  if (!encoded.includes(PERCENT) && !encoded.includes(PLUS)) return encoded
  const decoded = Buffer.allocUnsafe(encoded.length)
  let length = 0
  for (let at = 0; at < encoded.length; at++) {
    const byte = encoded[at]!
    if (byte !== PERCENT) {
      decoded[length++] = byte === PLUS ? SPACE : byte
      continue
    }
    const value = hexadecimalAt(encoded, at + 1)
    if (value === undefined) return undefined
    decoded[length++] = value
    at += 2
  }
  return decoded.subarray(0, length)
}

function hexadecimalAt(bytes: Buffer, at: number): number | undefined {
  const digits = bytes.toString('latin1', at, at + 2)
  return /^[0-9a-f]{2}$/i.test(digits) ? Number.parseInt(digits, 16) : undefined
}

/**
 * The fields as one JSON object, in their order; duplicates are kept, as the original's encoder keeps them.
 *
 *   a=1&b&a=2   =>   {"a":"1","b":true,"a":"2"}
 *
 * @returns `undefined` when a name or value is not UTF-8, which JSON cannot hold
 */
export function toJsonObject(fields: readonly FormField[]): string | undefined {
  const members: string[] = []
  for (const { name, value } of fields) {
    if (!isUtf8(name) || (value !== true && !isUtf8(value))) return undefined
    members.push(`${JSON.stringify(name.toString())}:${value === true ? 'true' : JSON.stringify(value.toString())}`)
  }
  return `{${members.join(',')}}`
}
