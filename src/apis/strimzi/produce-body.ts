import { isUtf8 } from 'node:buffer'
import { decodeBase64 } from '../../core/base64.js'
import { DeserializeError, JsonReader } from '../../core/json/json-reader.js'
import {
  readElements,
  readInteger,
  readMembers,
  readStringBytes,
  readValueBytes,
  takeNull
} from '../../core/json/json-slices.js'
import { MAX_RECORD_HEADERS, type ProduceRecord, type RecordHeader } from '../../core/model.js'
import { wrongType } from './endpoint-parts.js'
import { type Format, ProblemError, schemaProblem } from './strimzi-answers.js'

/** Records of one request; a larger one is answered 413. */
const MAX_RECORDS = 100_000
const UNPROCESSABLE = 422

/**
 * Reads the body of a produce request. Keys and values may be views of the body, whose buffer is reused after the call
 * that receives it.
 *
 *   {"records":[{"key":"k1","value":{"total":7},"headers":[{"key":"trace","value":"AAE="}]}]}
 *
 * @param partition that of the path; records may then have no partition and no timestamp
 * @throws ProblemError
 */
export function readRecords(
  body: Buffer,
  topic: string,
  partition: number | undefined,
  format: Format
): readonly ProduceRecord[] {
  if (!isUtf8(body)) throw new ProblemError(400, 'Validation error on: the body is not valid UTF-8')
  try {
    return new RecordsReader(body, topic, partition, format).read()
  } catch (error) {
    if (!(error instanceof DeserializeError)) throw error
    throw new ProblemError(400, `Validation error on: the body: ${error.message}`)
  }
}

class RecordsReader {
  readonly #json: JsonReader
  readonly #body: Buffer
  readonly #topic: string
  readonly #partition: number | undefined
  readonly #format: Format

  constructor(body: Buffer, topic: string, partition: number | undefined, format: Format) {
    this.#json = new JsonReader(body)
    this.#body = body
    this.#topic = topic
    this.#partition = partition
    this.#format = format
  }

  read(): ProduceRecord[] {
    const json = this.#json
    let records: ProduceRecord[] | undefined
    this.#expect('object')
    readMembers(json, name => {
      if (name !== 'records') throw unknownProperty(name)
      const all: ProduceRecord[] = []
      this.#expect('array')
      readElements(json, () => {
        if (all.length >= MAX_RECORDS) throw new ProblemError(413, `there are more than ${MAX_RECORDS} records`)
        all.push(this.#record())
      })
      records = all
    })
    if (json.peekToken() >= 0) json.failAtPeek('trailing characters')
    if (records === undefined) throw new ProblemError(UNPROCESSABLE, 'there are no records')
    return records
  }

  #record(): ProduceRecord {
    const json = this.#json
    let key: Buffer | null = null
    let value: Buffer | null | undefined
    let partition = this.#partition
    let headers: readonly RecordHeader[] | undefined
    let timestampMs: number | undefined
    this.#expect('object')
    readMembers(json, name => {
      if (name === 'value') value = takeNull(json) ? null : this.#bytes(name)
      else if (name === 'key') key = this.#bytes(name)
      else if (name === 'headers') headers = this.#headers()
      else if (name === 'partition' && this.#partition === undefined) partition = this.#whole(name)
      else if (name === 'timestamp' && this.#partition === undefined) timestampMs = this.#whole(name)
      else throw unknownProperty(name)
    })
    if (value === undefined) throw missingProperty('value')
    return { topic: this.#topic, partition, key, value, headers, timestampMs }
  }

  /** A key or a value. */
  #bytes(name: string): Buffer {
    const type = typeAt(this.#json)
    if (type === 'null' || type === 'number' || type === 'boolean')
      throw schemaProblem(wrongType(type, 'array, object or string'))
    if (this.#format === 'json') return readValueBytes(this.#json, this.#body)
    if (type !== 'string') {
      const message = `Because the embedded format is '${this.#format}', the ${name} must be a string`
      throw new ProblemError(UNPROCESSABLE, message)
    }
    const bytes = readStringBytes(this.#json)
    return this.#format === 'text' ? bytes : base64In(bytes, name)
  }

  #headers(): RecordHeader[] {
    const json = this.#json
    const headers: RecordHeader[] = []
    this.#expect('array')
    readElements(json, () => {
      if (headers.length >= MAX_RECORD_HEADERS)
        throw new ProblemError(400, `a record has more than ${MAX_RECORD_HEADERS} headers`)
      let key: string | undefined
      let value: Buffer | null | undefined
      this.#expect('object')
      readMembers(json, name => {
        if (name !== 'key' && name !== 'value') throw unknownProperty(name)
        if (name === 'value' && takeNull(json)) value = null
        else {
          this.#expect('string')
          const bytes = readStringBytes(json)
          if (name === 'key') key = bytes.toString()
          else value = base64In(bytes, 'value of a header')
        }
      })
      if (key === undefined) throw missingProperty('key')
      if (value === undefined) throw missingProperty('value')
      headers.push({ key, value })
    })
    return headers
  }

  #whole(name: string): number {
    this.#expect('number', 'integer')
    const number = readInteger(this.#json, this.#body)
    if (number < 0) throw new ProblemError(UNPROCESSABLE, `the ${name} is negative: ${number}`)
    return number
  }

  #expect(type: string, name = type): void {
    const found = typeAt(this.#json)
    if (found !== type && found !== undefined) throw schemaProblem(wrongType(found, name))
  }
}

function base64In(text: Buffer, name: string): Buffer {
  const bytes = decodeBase64(text)
  if (bytes === undefined) throw new ProblemError(UNPROCESSABLE, `the ${name} is not base64 of the standard alphabet`)
  return bytes
}

const unknownProperty = (name: string): ProblemError =>
  schemaProblem(`Property "${name.slice(0, 100)}" does not match additional properties schema`)
const missingProperty = (name: string): ProblemError =>
  schemaProblem(`Instance does not have required property "${name}"`)

/** The first letter of a value, and its type. */
const TYPES: Readonly<Record<string, string>> = {
  '"': 'string',
  '{': 'object',
  '[': 'array',
  t: 'boolean',
  f: 'boolean',
  n: 'null',
  '-': 'number'
}

/** The type of the value that comes next; `undefined`: it is no JSON. */
function typeAt(json: JsonReader): string | undefined {
  const first = json.peekToken()
  if (first < 0) return undefined
  const letter = String.fromCharCode(first)
  return /\d/.test(letter) ? 'number' : TYPES[letter]
}
