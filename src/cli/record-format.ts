import { isUtf8 } from 'node:buffer'
import { NOTHING } from '../core/bytes.js'
import { exactTimestamp } from '../core/instants.js'
import type { KafkaRecord, RecordContent, TopicPartition } from '../core/model.js'
import { printable, printableJson, printableLines } from '../core/printable.js'
import type { RecordJson } from '../schemas/record-json.js'

export type LineStyle = 'value' | 'key-value' | 'json'

export interface RecordLook {
  readonly format: LineStyle
  /** A terminal interprets control characters, so those of a record are escaped. Default: no. */
  readonly isTerminal?: boolean | undefined
}

export const recordFormats: readonly LineStyle[] = ['value', 'key-value', 'json']

const NEWLINE = Buffer.from('\n')
const TAB = Buffer.from('\t')

/**
 * Formats a record as one line of output.
 *
 *   value       hello
 *   key-value   k1<TAB>hello
 *   json        {"topic":"orders","partition":1,"offset":7,"timestampMs":…,"key":"k1","value":"hello","headers":[]}
 *
 * `value` and `key-value` write the bytes unchanged, and an empty text for a null. On a terminal, control characters
 * are escaped, except line breaks and tabs in values. `json` writes a null as `null`, and bytes that are not UTF-8 as
 * `{"base64":"…"}`.
 *
 * @param json what was decoded by schemas; it stands in place of key and value
 */
export function formatRecord(
  { format, isTerminal = false }: RecordLook,
  topicPartition: TopicPartition,
  record: KafkaRecord,
  json?: RecordJson
): Buffer {
  if (json !== undefined && format !== 'json') {
    const texts = format === 'value' ? [json.value] : [json.key, json.value]
    return Buffer.from(`${texts.map(printableJson).join('\t')}\n`)
  }
  if (format !== 'json') {
    const value = toShown(record.value, isTerminal, printableLines)
    if (format === 'value') return Buffer.concat([value, NEWLINE])
    return Buffer.concat([toShown(record.key, isTerminal, printable), TAB, value, NEWLINE])
  }
  const { offset, timestampMs } = record
  const { topic, partition } = topicPartition
  const place = { topic, partition, offset, timestampMs: exactTimestamp(timestampMs) }
  const line = json === undefined ? JSON.stringify({ ...place, ...contentToJson(record) }) : lineOf(place, record, json)
  return Buffer.from(`${printableJson(line)}\n`)
}

function lineOf(place: object, record: KafkaRecord, { key, value, undecodable }: RecordJson): string {
  const { headers } = contentToJson(record)
  const causes = undecodable === undefined ? '' : `,"undecodable":${undecodable}`
  return `${JSON.stringify(place).slice(0, -1)},"key":${key},"value":${value},"headers":${JSON.stringify(headers)}${causes}}`
}

const toShown = (bytes: Buffer | null, isTerminal: boolean, toPrintable: (text: string) => string): Buffer =>
  bytes === null ? NOTHING : isTerminal ? Buffer.from(toPrintable(bytes.toString('utf8'))) : bytes

export const contentToJson = ({ key, value, headers }: RecordContent) => ({
  key: toJson(key),
  value: toJson(value),
  headers: headers.map(header => ({ key: header.key, value: toJson(header.value) }))
})

/** Converts bytes for JSON: to a text if they are UTF-8, otherwise to `{"base64":"…"}`. */
const toJson = (bytes: Buffer | null): string | null | { base64: string } =>
  bytes === null ? null : isUtf8(bytes) ? bytes.toString('utf8') : { base64: bytes.toString('base64') }
