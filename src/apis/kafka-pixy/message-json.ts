import type { KafkaRecord, RecordHeader } from '../../core/model.js'
import type { Decoding, RecordJson } from '../../schemas/record-json.js'
import { goString } from './go-json.js'
import { PixyError } from './pixy-answers.js'
import type { Values } from './pixy-request.js'

/** A message, however it was read. */
export interface PlacedRecord extends KafkaRecord {
  readonly partition: number
}

/** Members that a client asks for beside those of the original. */
export interface MessageOptions {
  /** Key, value and header values as text, and not in base64. */
  readonly asText: boolean
  readonly withTimestamp: boolean
  /** Key and value are decoded by their schemas. Absent: they are not. */
  readonly schemas?: Decoding | undefined
}

/** @throws PixyError */
export function messageOptionsOf(values: Values, schemas?: Decoding): MessageOptions {
  const encoding = values.get('encoding')?.[0]
  if (encoding === 'schema' && schemas === undefined)
    throw new PixyError(400, 'encoding=schema needs a schema registry, and there is none (schemas.registry.urls)')
  return {
    asText: encoding === 'text',
    withTimestamp: values.has('timestamp'),
    ...(encoding === 'schema' && { schemas })
  }
}

/** A message as Kafka-Pixy writes it, indented as Go does. @param json what was decoded by schemas */
export function messageJson(
  message: PlacedRecord,
  { asText, withTimestamp }: MessageOptions,
  indent = '',
  json?: RecordJson
): string {
  const { partition, offset, headers, timestampMs } = message
  const { key, value, undecodable } = json ?? textsOf(message, asText)
  const line = `,\n${indent}  `
  const timestamp = withTimestamp ? `${line}"timestamp": ${timestampMs}` : ''
  const causes = undecodable === undefined ? '' : `${line}"undecodable": ${undecodable}`
  return `{\n${indent}  "key": ${key}${line}"value": ${value}${line}"partition": ${partition}${line}"offset": ${offset}${line}"headers": ${headersJson(headers, asText, indent)}${timestamp}${causes}\n${indent}}`
}

/** A message as JSON without line breaks. @param json what was decoded by schemas */
export function lineJson(message: PlacedRecord, { asText, withTimestamp }: MessageOptions, json?: RecordJson): string {
  const { partition, offset, headers, timestampMs } = message
  const { key, value, undecodable } = json ?? textsOf(message, asText)
  const pairs = headers.map(({ key, value }) => `{"key":${goString(key)},"value":${bytesJson(value, asText)}}`)
  const timestamp = withTimestamp ? `,"timestamp":${timestampMs}` : ''
  const causes = undecodable === undefined ? '' : `,"undecodable":${undecodable}`
  return `{"key":${key},"value":${value},"partition":${partition},"offset":${offset},"headers":[${pairs.join(',')}]${timestamp}${causes}}`
}

const textsOf = ({ key, value }: PlacedRecord, asText: boolean): RecordJson => ({
  key: bytesJson(key, asText),
  value: bytesJson(value, asText),
  undecodable: undefined
})

function headersJson(headers: readonly RecordHeader[], asText: boolean, indent: string): string {
  if (headers.length === 0) return '[]'
  const inner = `${indent}    `
  const items = headers.map(
    ({ key, value }) =>
      `${inner}{\n${inner}  "key": ${goString(key)},\n${inner}  "value": ${bytesJson(value, asText)}\n${inner}}`
  )
  return `[\n${items.join(',\n')}\n${indent}  ]`
}

const bytesJson = (bytes: Buffer | null, asText: boolean): string => {
  if (bytes === null) return 'null'
  return asText ? goString(bytes.toString()) : `"${bytes.toString('base64')}"`
}
