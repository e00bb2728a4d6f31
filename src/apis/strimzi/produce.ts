import { decodeBase64 } from '../../core/base64.js'
import { JsonAhead } from '../../core/json/json-ahead.js'
import { encodingFault } from '../../core/json/json-fault.js'
import { DeserializeError, JsonReader } from '../../core/json/json-reader.js'
import {
  readElements,
  readInteger,
  readListOfRecords,
  readStringBytes,
  readValueBytes,
  takeNull
} from '../../core/json/json-slices.js'
import { type InPieces, joined } from '../../core/loop-turns.js'
import { MAX_RECORD_HEADERS, type ProduceRecord, type RecordFailure, type RecordHeader } from '../../core/model.js'
import { MAX_RECORDS_OF_BODY } from '../../http/api/api.js'
import { ApiError } from '../../http/api/api-answers.js'
import type { Params } from '../../http/api/endpoint.js'
import { ProduceBase } from '../../http/api/produce-base.js'
import type { Outcomes, ProduceAnswer, ProduceApi, ProduceHead } from '../../http/api/produce-route.js'
import { firstFailureOf } from '../../http/exchange/answers.js'
import { type Exchange, sentUrlOf } from '../../http/exchange/exchange.js'
import type { OutcomeSoFar } from '../../http/exchange/modern-answers.js'
import {
  BAD_TYPE,
  BRIDGE_TYPE,
  BRIDGE_TYPES,
  type BridgeFormat,
  bridgeProblemAnswer,
  contentTypeOf,
  notJson,
  partitionNumberIn,
  problemJson,
  schemaProblem,
  wrongType
} from './strimzi-answers.js'

const UNPROCESSABLE = 422

/**
 * Reads the body of a produce request. Keys and values may be views of the body, whose buffer is reused after the call
 * that receives it.
 *
 *   {"records":[{"key":"k1","value":{"total":7},"headers":[{"key":"trace","value":"AAE="}]}]}
 *
 * @param inTurns it yields, and does not do all at once
 * @throws ApiError
 */
function* recordsIn(
  body: Buffer,
  { topic, partition, format }: BridgeHead,
  inTurns: boolean
): InPieces<readonly ProduceRecord[]> {
  if (body.length === 0) throw new ApiError(400, 'Validation error on: the body is missing')
  try {
    return yield* new RecordsReader(body, topic, partition, format).read(inTurns)
  } catch (error) {
    if (!(error instanceof DeserializeError)) throw error
    throw new ApiError(400, `Validation error on: the body: ${error.message}`)
  }
}

class RecordsReader {
  readonly #json: JsonReader
  readonly #body: Buffer
  readonly #topic: string
  readonly #partition: number | undefined
  readonly #format: BridgeFormat

  constructor(body: Buffer, topic: string, partition: number | undefined, format: BridgeFormat) {
    this.#json = new JsonReader(body)
    this.#body = body
    this.#topic = topic
    this.#partition = partition
    this.#format = format
  }

  *read(inTurns: boolean): InPieces<ProduceRecord[]> {
    const json = this.#json
    const ahead = inTurns ? new JsonAhead(json, this.#body, this.#format === 'json' ? 1 : 0) : undefined
    const fault = encodingFault(this.#body, json.isWholeUtf8)
    if (fault !== undefined) throw notJson(fault)
    let records: ProduceRecord[] | undefined
    if (ahead !== undefined) yield* ahead.between(1)
    this.#expect('object')
    for (let name = json.firstMember(); name !== undefined; name = json.nextMember()) {
      if (name !== 'records') throw unknownProperty(name)
      const all: ProduceRecord[] = []
      this.#expect('array')
      yield* readListOfRecords(json, ahead, () => {
        if (all.length >= MAX_RECORDS_OF_BODY)
          throw new ApiError(413, `there are more than ${MAX_RECORDS_OF_BODY} records`)
        all.push(this.#record())
      })
      records = all
    }
    if (json.peekToken() >= 0) json.failAtPeek('trailing characters')
    if (records === undefined) throw new ApiError(UNPROCESSABLE, 'there are no records')
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
    for (let name = json.firstMember(); name !== undefined; name = json.nextMember()) {
      if (name === 'value') value = takeNull(json) ? null : this.#bytes(name)
      else if (name === 'key') key = this.#bytes(name)
      else if (name === 'headers') headers = this.#headers()
      else if (name === 'partition' && this.#partition === undefined) partition = this.#whole(name)
      else if (name === 'timestamp' && this.#partition === undefined) timestampMs = this.#whole(name)
      else throw unknownProperty(name)
    }
    if (value === undefined) throw missingProperty('value')
    return { topic: this.#topic, partition, key, value, headers, timestampMs }
  }

  #bytes(name: string): Buffer {
    const type = typeAt(this.#json)
    if (type === 'null' || type === 'number' || type === 'boolean')
      throw schemaProblem(wrongType(type, 'array, object or string'))
    if (this.#format === 'json') return readValueBytes(this.#json, this.#body)
    if (type !== 'string') {
      const message = `Because the embedded format is '${this.#format}', the ${name} must be a string`
      throw new ApiError(UNPROCESSABLE, message)
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
        throw new ApiError(400, `a record has more than ${MAX_RECORD_HEADERS} headers`)
      let key: string | undefined
      let value: Buffer | null | undefined
      this.#expect('object')
      for (let name = json.firstMember(); name !== undefined; name = json.nextMember()) {
        if (name !== 'key' && name !== 'value') throw unknownProperty(name)
        if (name === 'value' && takeNull(json)) value = null
        else {
          this.#expect('string')
          const bytes = readStringBytes(json)
          if (name === 'key') key = bytes.toString()
          else value = base64In(bytes, 'value of a header')
        }
      }
      if (key === undefined) throw missingProperty('key')
      if (value === undefined) throw missingProperty('value')
      headers.push({ key, value })
    })
    return headers
  }

  #whole(name: string): number {
    this.#expect('number', 'integer')
    const number = readInteger(this.#json, this.#body)
    if (number < 0) throw new ApiError(UNPROCESSABLE, `the ${name} is negative: ${number}`)
    return number
  }

  #expect(type: string, name = type): void {
    const found = typeAt(this.#json)
    if (found !== type && found !== undefined) throw schemaProblem(wrongType(found, name))
  }
}

function base64In(text: Buffer, name: string): Buffer {
  const bytes = decodeBase64(text)
  if (bytes === undefined) throw new ApiError(UNPROCESSABLE, `the ${name} is not base64 of the standard alphabet`)
  return bytes
}

const unknownProperty = (name: string): ApiError =>
  schemaProblem(`Property "${name.slice(0, 100)}" does not match additional properties schema`)
const missingProperty = (name: string): ApiError => schemaProblem(`Instance does not have required property "${name}"`)

/** The types of values, by the code of their first letter. */
const TYPES: (string | undefined)[] = new Array(256).fill(undefined)
for (const [letters, type] of Object.entries({
  '"': 'string',
  '{': 'object',
  '[': 'array',
  tf: 'boolean',
  n: 'null',
  '-0123456789': 'number'
}))
  for (const letter of letters) TYPES[letter.charCodeAt(0)] = type

/** The type of the value that comes next; `undefined`: it is no JSON. */
const typeAt = (json: JsonReader): string | undefined => TYPES[json.peekToken()]

const FORMATS: ReadonlyMap<string, BridgeFormat> = new Map(
  (Object.entries(BRIDGE_TYPES) as [BridgeFormat, string][]).map(([format, type]) => [type, format])
)

interface BridgeHead extends ProduceHead {
  readonly topic: string
  readonly format: BridgeFormat
  readonly partition: number | undefined
}

/** `POST /topics/{topicname}` and `POST /topics/{topicname}/partitions/{partitionid}`. */
export class RecordsApi extends ProduceBase<BridgeHead> implements ProduceApi<BridgeHead> {
  readonly namesOffsets = true

  topicOf({ topicname: topic = '' }: Params): string {
    return topic
  }

  readHead(exchange: Exchange, { topicname: topic = '', partitionid }: Params): BridgeHead {
    const type = contentTypeOf(exchange) ?? BRIDGE_TYPES.binary
    const format = FORMATS.get(type)
    if (format === undefined) throw BAD_TYPE
    const query = new URLSearchParams(sentUrlOf(exchange.request).split('?', 2)[1])
    const isAsync = query.get('async') ?? 'false'
    if (isAsync !== 'true' && isAsync !== 'false') throw schemaProblem(wrongType('string', 'boolean'))
    const partition = partitionid === undefined ? undefined : partitionNumberIn(partitionid)
    return { topic, partition, format, isSync: isAsync === 'false' }
  }

  readBody(body: Buffer, head: BridgeHead, inTurns: boolean): InPieces<readonly ProduceRecord[]> {
    return recordsIn(body, head, inTurns)
  }

  *answer(outcomes: Outcomes, { isSync }: BridgeHead): InPieces<ProduceAnswer> {
    const known = typeof outcomes === 'string' ? [] : outcomes
    if (isSync) {
      const body = yield* joined('{"offsets":[', known, one => JSON.stringify(entryOf(one)), ']}')
      return { status: 200, type: BRIDGE_TYPE, body }
    }
    const refused = firstFailureOf(known)
    if (refused === undefined) return { status: 204, body: '' }
    return bridgeProblemAnswer(new ApiError(refused.retriable ? 503 : statusOf(refused), refused.message))
  }
}

function entryOf(outcome: OutcomeSoFar): object {
  // A request that waits for Kafka has no such record.
  if (outcome === 'pending') return {}
  if (outcome.type === 'delivered') return { partition: outcome.partition, offset: outcome.offset }
  return problemJson(statusOf(outcome), outcome.message)
}

/** 404 says that the record is not written; one that may be, or that stays in the durable log, has 500. */
const statusOf = ({ code, persisted }: RecordFailure): number =>
  persisted === 'no' && (code === 'unknownTopic' || code === 'unknownPartition' || code === 'invalidTopic') ? 404 : 500
