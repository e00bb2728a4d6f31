import { isUtf8 } from 'node:buffer'
import type { ProduceRecord } from '../../core/model.js'

const JSON_TYPE = /^application\/(?:[\w.!#$&^+-]+\+)?json *(?:;|$)/i

/** Whether a body of this type is JSON. Any other type, or no type, is read as a form, as kafboy does. */
export const isJsonType = (contentType: string | undefined): boolean =>
  contentType !== undefined && (contentType === 'application/json' || JSON_TYPE.test(contentType))

/** A record that a partitioner places. Its bytes may be views of the body of a request. */
export const recordOf = (topic: string, key: ProduceRecord['key'], value: ProduceRecord['value']): ProduceRecord => ({
  topic,
  partition: undefined,
  key,
  value,
  headers: undefined
})

/**
 * The records of a body that no hook has edited. JSON becomes one record with the same bytes; it is not parsed.
 *
 * @param payload how a form is produced: as one JSON object, or as a record for each field, with the field's name as its key
 * @returns `undefined` for a form that cannot be read
 */
export function recordsIn(
  body: Buffer,
  topic: string,
  isJson: boolean,
  payload: 'json' | 'fields'
): readonly ProduceRecord[] | undefined {
  if (body.length === 0) return []
  if (isJson) return [recordOf(topic, null, body)]
  const fields = parseForm(body)
  if (fields === undefined || fields.length === 0) return fields as undefined | []
  if (payload === 'fields')
    return fields.map(({ name, value }) => recordOf(topic, name, value === true ? 'true' : value))
  const value = toJsonObject(fields)
  return value === undefined ? undefined : [recordOf(topic, null, value)]
}

/** A field of a form, in the order sent. A name without `=` has the value `true`, as cowboy's parser gives it. */
interface FormField {
  readonly name: Buffer
  readonly value: Buffer | true
}

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
  for (const pair of body.toString('latin1').split('&')) {
    if (pair === '') continue
    const equals = pair.indexOf('=')
    const name = percentDecoded(equals < 0 ? pair : pair.slice(0, equals))
    const value = equals < 0 ? true : percentDecoded(pair.slice(equals + 1))
    if (name === undefined || value === undefined || name.length === 0) return undefined
    fields.push({ name, value })
  }
  return fields
}

/**
 * The bytes that a form or a path segment stands for: `+` is a space, `%41` an A.
 *
 * @param encoded each character stands for one byte
 * @returns `undefined` for a percent sign without two hexadecimal digits
 */
export function percentDecoded(encoded: string): Buffer | undefined {
  if (/%(?![0-9a-f]{2})/i.test(encoded)) return undefined
  const toByte = (_: string, digits: string): string => String.fromCharCode(Number.parseInt(digits, 16))
  return Buffer.from(encoded.replaceAll('+', ' ').replace(/%(..)/g, toByte), 'latin1')
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
