import type { z } from 'zod'
import { decodeBase64 } from '../../core/base64.js'
import type { JsonReader } from '../../core/json/json-reader.js'
import { readElements, readStringBytes, readValueBytes, takeNull } from '../../core/json/json-slices.js'
import { skipValue } from '../../core/json/json-values.js'
import { parsedJson } from '../../core/json/parsed-json.js'
import { MAX_RECORD_HEADERS, type RecordHeader } from '../../core/model.js'
import { messageOf } from '../../core/node-errors.js'
import { ApiError } from '../../http/api/api-answers.js'
import type { WantedSchema } from '../../schemas/schemas.js'

/** A schema as a request names it. */
export type NamedSchema = Pick<WantedSchema, 'subject' | 'strategy' | 'format' | 'schema' | 'id' | 'version'>

/** A key or a value that gets its bytes from a schema. */
export interface SchemaData {
  readonly named: NamedSchema
  /** JSON as the client has sent it. */
  readonly json: Buffer
}

export const unknownMember = (name: string, status = 422): ApiError =>
  new ApiError(status, `unknown member ${JSON.stringify(name.slice(0, 100))}`)

/** The JSON of a whole body; `undefined`: it is empty. @throws ApiError */
export function jsonIn(bytes: Buffer): unknown {
  if (bytes.length === 0) return undefined
  try {
    return parsedJson(bytes)
  } catch (error) {
    throw notJson('the body', messageOf(error))
  }
}

/** @param fault why it is not, as a clause */
export const notJson = (what: 'the body' | 'the record', fault: string): ApiError =>
  new ApiError(400, `${what} is not JSON: ${fault}`)

/** @param ofMissing the status for a missing member. @throws ApiError 422 for no body or an unknown member, else 400 */
export function checked<Body>(json: unknown, schema: z.ZodType<Body>, ofMissing = 422): Body {
  if (json === undefined) throw new ApiError(422, 'the body is empty')
  const { data, error } = schema.safeParse(json)
  if (error === undefined) return data
  const [{ code, path, message }] = error.issues as [z.core.$ZodIssue]
  const isMissing = path.length > 0 && memberAt(json, path) === undefined
  const status = code === 'unrecognized_keys' ? 422 : isMissing ? ofMissing : 400
  throw new ApiError(status, `${path.join('.') || 'the body'}: ${message}`)
}

const memberAt = (json: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>((at, name) => (at as Record<PropertyKey, unknown> | undefined)?.[name], json)

/** Consumes a string in base64, or `null`. */
export function readBase64(reader: JsonReader): Buffer | null {
  if (takeNull(reader)) return null
  const bytes = decodeBase64(readStringBytes(reader))
  if (bytes === undefined) throw new ApiError(400, 'a key, value or header is not base64 of the standard alphabet')
  return bytes
}

/** Consumes any JSON value; `null` is Kafka's null. */
export const readJsonBytes = (reader: JsonReader, body: Buffer): Buffer | null =>
  takeNull(reader) ? null : readValueBytes(reader, body)

/** Consumes any JSON value, whose bytes stay as they were sent; `null` is no value. */
export function readJsonSlice(reader: JsonReader, body: Buffer): Buffer | null {
  if (takeNull(reader)) return null
  reader.peekToken()
  const start = reader.index
  skipValue(reader)
  return body.subarray(start, reader.index)
}

/** Consumes the headers of a record: `[{"name": "trace", "value": "AAE="}]`. @param nameMember `name`, or `key` */
export function readHeaderList(reader: JsonReader, nameMember: 'name' | 'key'): RecordHeader[] {
  const headers: RecordHeader[] = []
  if (takeNull(reader)) return headers
  readElements(reader, () => {
    if (headers.length >= MAX_RECORD_HEADERS)
      throw new ApiError(400, `a record has more than ${MAX_RECORD_HEADERS} headers`)
    let key: string | undefined
    let value: Buffer | null = null
    for (let member = reader.firstMember(); member !== undefined; member = reader.nextMember()) {
      if (member === nameMember) key = readStringBytes(reader).toString()
      else if (member === 'value') value = readBase64(reader)
      else throw unknownMember(member)
    }
    if (key === undefined) throw new ApiError(422, `a header has no ${nameMember}`)
    headers.push({ key, value })
  })
  return headers
}
