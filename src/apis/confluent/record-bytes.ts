import { decodeBase64 } from '../../core/base64.js'
import type { JsonReader } from '../../core/json/json-reader.js'
import { readElements, readMembers, readStringBytes, readValueBytes, takeNull } from '../../core/json/json-slices.js'
import type { RecordHeader } from '../../core/model.js'
import type { Problem } from './failures.js'

/** A body, or a part of it, cannot be used; nothing of it is produced. */
export class BodyError extends Error {
  readonly status: number
  /** Confluent's code. */
  readonly code: number

  constructor(status: number, message: string, code = status) {
    super(message)
    this.status = status
    this.code = code
  }

  get problem(): Problem {
    return { status: this.status, code: this.code, message: this.message }
  }
}

export const unknownMember = (name: string): BodyError =>
  new BodyError(422, `unknown member ${JSON.stringify(name.slice(0, 100))}`)

/** Consumes a string in base64, or `null`. */
export function readBase64(reader: JsonReader): Buffer | null {
  if (takeNull(reader)) return null
  const bytes = decodeBase64(readStringBytes(reader))
  if (bytes === undefined) throw new BodyError(400, 'a key, value or header is not base64 of the standard alphabet')
  return bytes
}

/** Consumes any JSON value; `null` is Kafka's null. */
export const readJsonBytes = (reader: JsonReader, body: Buffer): Buffer | null =>
  takeNull(reader) ? null : readValueBytes(reader, body)

/** Consumes the headers of a record: `[{"name": "trace", "value": "AAE="}]`. @param nameMember `name`, or `key` */
export function readHeaders(reader: JsonReader, nameMember: 'name' | 'key'): RecordHeader[] {
  const headers: RecordHeader[] = []
  if (takeNull(reader)) return headers
  readElements(reader, () => {
    let key: string | undefined
    let value: Buffer | null = null
    readMembers(reader, member => {
      if (member === nameMember) key = readStringBytes(reader).toString()
      else if (member === 'value') value = readBase64(reader)
      else throw unknownMember(member)
    })
    if (key === undefined) throw new BodyError(422, `a header has no ${nameMember}`)
    headers.push({ key, value })
  })
  return headers
}
