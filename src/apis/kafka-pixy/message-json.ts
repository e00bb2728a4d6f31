import { ownCopyOf } from '../../core/bytes.js'
import { exactTimestamp } from '../../core/instants.js'
import { base64Part, type JsonPart } from '../../core/json/json-parts.js'
import { type KafkaRecord, type RecordHeader, sizeOfRecord } from '../../core/model.js'
import { ApiError } from '../../http/api/api-answers.js'
import { SegmentedBody } from '../../http/exchange/segmented-body.js'
import type { Decoding, RecordParts } from '../../schemas/record-json.js'
import { GO_ESCAPES, goString } from './go-json.js'
import type { Values } from './pixy-request.js'

/** A message, however it was read. */
export interface PlacedRecord extends KafkaRecord {
  readonly partition: number
}

/** Members of a message that a client asks for in addition to those of the original. */
export interface MessageOptions {
  /** Key, value and header values as text, and not in base64. */
  readonly asText: boolean
  readonly withTimestamp: boolean
  /** Key and value are decoded by their schemas. Absent: they are not. */
  readonly schemas?: Decoding | undefined
}

/** @throws ApiError */
export function messageOptionsOf(values: Values, schemas?: Decoding): MessageOptions {
  const encoding = values.get('encoding')?.[0]
  if (encoding === 'schema' && schemas === undefined)
    throw new ApiError(400, 'encoding=schema needs a schema registry, and there is none (schemas.registry.urls)')
  return {
    asText: encoding === 'text',
    withTimestamp: values.has('timestamp'),
    ...(encoding === 'schema' && { schemas })
  }
}

/** Parts of more bytes are turned into JSON while they leave, and not before. */
const LONG_BYTES = 16 * 1024

/** Adds a message as Kafka-Pixy writes it, indented as Go does. @param json what was decoded by schemas */
export function addMessage(
  body: SegmentedBody,
  message: PlacedRecord,
  { asText, withTimestamp }: MessageOptions,
  indent = '',
  json?: RecordParts
): void {
  const { partition, offset, headers, timestampMs } = message
  const { key, value, undecodable } = json ?? partsOf(message, asText)
  const line = `,\n${indent}  `
  body.add(`{\n${indent}  "key": `)
  body.add(key)
  body.add(`${line}"value": `)
  body.add(value)
  body.add(`${line}"partition": ${partition}${line}"offset": ${offset}${line}"headers": `)
  addHeaders(body, headers, asText, indent)
  const timestamp = withTimestamp ? `${line}"timestamp": ${exactTimestamp(timestampMs)}` : ''
  const causes = undecodable === undefined ? '' : `${line}"undecodable": ${undecodable}`
  body.add(`${timestamp}${causes}\n${indent}}`)
}

/** A message as JSON without line breaks. Its bytes are copied. @param json what was decoded by schemas */
export function lineJson(
  view: PlacedRecord,
  { asText, withTimestamp }: MessageOptions,
  json?: RecordParts
): string | SegmentedBody {
  const body = new SegmentedBody()
  // The bytes of others are not needed for longer.
  const message = json === undefined && sizeOfRecord(view) > LONG_BYTES ? ownCopyOf(view) : view
  const { partition, offset, headers, timestampMs } = message
  const { key, value, undecodable } = json ?? partsOf(message, asText)
  body.add('{"key":')
  body.add(key)
  body.add(',"value":')
  body.add(value)
  body.add(`,"partition":${partition},"offset":${offset},"headers":[`)
  for (const [at, { key, value }] of headers.entries()) {
    body.add(at === 0 ? '{"key":' : ',{"key":')
    body.add(nameJson(key))
    body.add(',"value":')
    body.add(bytesJson(value, asText))
    body.add('}')
  }
  const timestamp = withTimestamp ? `,"timestamp":${exactTimestamp(timestampMs)}` : ''
  const causes = undecodable === undefined ? '' : `,"undecodable":${undecodable}`
  body.add(`]${timestamp}${causes}}`)
  return body.text ?? body
}

const partsOf = ({ key, value }: PlacedRecord, asText: boolean): RecordParts => ({
  key: bytesJson(key, asText),
  value: bytesJson(value, asText),
  undecodable: undefined
})

function addHeaders(body: SegmentedBody, headers: readonly RecordHeader[], asText: boolean, indent: string): void {
  if (headers.length === 0) {
    body.add('[]')
    return
  }
  const inner = `${indent}    `
  for (const [at, { key, value }] of headers.entries()) {
    body.add(`${at === 0 ? '[' : ','}\n${inner}{\n${inner}  "key": `)
    body.add(nameJson(key))
    body.add(`,\n${inner}  "value": `)
    body.add(bytesJson(value, asText))
    body.add(`\n${inner}}`)
  }
  body.add(`\n${indent}  ]`)
}

const nameJson = (name: string): JsonPart =>
  name.length <= LONG_BYTES ? goString(name) : { text: Buffer.from(name), escapes: GO_ESCAPES }

function bytesJson(bytes: Buffer | null, asText: boolean): JsonPart {
  if (bytes === null) return 'null'
  if (!asText) return base64Part(bytes, LONG_BYTES)
  return bytes.length <= LONG_BYTES ? goString(bytes.toString()) : { text: bytes, escapes: GO_ESCAPES }
}
