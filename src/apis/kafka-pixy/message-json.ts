import type { KafkaRecord, RecordHeader } from '../../core/model.js'
import { goString } from './go-json.js'
import type { Values } from './parameters.js'

/** A message, however it was read. */
export interface PlacedRecord extends KafkaRecord {
  readonly partition: number
}

/** Members that a client asks for beside those of the original. */
export interface MessageOptions {
  /** Key, value and header values as text, and not in base64. */
  readonly asText: boolean
  readonly withTimestamp: boolean
}

export const messageOptionsOf = (values: Values): MessageOptions => ({
  asText: values.get('encoding')?.[0] === 'text',
  withTimestamp: values.has('timestamp')
})

/** A message as Kafka-Pixy writes it, indented as Go does. */
export function messageJson(message: PlacedRecord, { asText, withTimestamp }: MessageOptions, indent = ''): string {
  const { key, value, partition, offset, headers, timestampMs } = message
  const line = `,\n${indent}  `
  const timestamp = withTimestamp ? `${line}"timestamp": ${timestampMs}` : ''
  return `{\n${indent}  "key": ${bytesJson(key, asText)}${line}"value": ${bytesJson(value, asText)}${line}"partition": ${partition}${line}"offset": ${offset}${line}"headers": ${headersJson(headers, asText, indent)}${timestamp}\n${indent}}`
}

/** A message as JSON without line breaks. */
export function lineJson(message: PlacedRecord, { asText, withTimestamp }: MessageOptions): string {
  const { key, value, partition, offset, headers, timestampMs } = message
  const pairs = headers.map(({ key, value }) => `{"key":${goString(key)},"value":${bytesJson(value, asText)}}`)
  const timestamp = withTimestamp ? `,"timestamp":${timestampMs}` : ''
  return `{"key":${bytesJson(key, asText)},"value":${bytesJson(value, asText)},"partition":${partition},"offset":${offset},"headers":[${pairs.join(',')}]${timestamp}}`
}

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
