import { isUtf8 } from 'node:buffer'
import type { KafkaRecord, TopicPartition } from '../core/model.js'
import { printable, printableJson, printableLines } from '../core/printable.js'

/** How `castellan read` writes a record. */
export type RecordFormat = 'value' | 'key-value' | 'json'

/** Format and destination of records. */
export interface RecordLook {
  readonly format: RecordFormat
  /** A terminal interprets control characters, so those of a record are escaped. Default: no. */
  readonly isTerminal?: boolean | undefined
}

export const recordFormats: readonly RecordFormat[] = ['value', 'key-value', 'json']

const NEWLINE = Buffer.from('\n')
const TAB = Buffer.from('\t')
const NOTHING = Buffer.alloc(0)

/**
 * One line of output.
 *
 *   value       hello
 *   key-value   k1<TAB>hello
 *   json        {"topic":"orders","partition":1,"offset":7,"timestampMs":…,"key":"k1","value":"hello","headers":[]}
 *
 * `value` and `key-value` write the bytes as they are; a null is an empty text there. On a terminal control characters are
 * written as escapes, but for line breaks and tabs of values. In JSON null is `null`, and bytes that are no UTF-8 are
 * written as `{"base64":"…"}`.
 */
export function formatRecord(
  { format, isTerminal = false }: RecordLook,
  topicPartition: TopicPartition,
  record: KafkaRecord
): Buffer {
  if (format !== 'json') {
    const value = toShown(record.value, isTerminal, printableLines)
    if (format === 'value') return Buffer.concat([value, NEWLINE])
    return Buffer.concat([toShown(record.key, isTerminal, printable), TAB, value, NEWLINE])
  }
  const { offset, timestampMs, key, value, headers } = record
  const { topic, partition } = topicPartition
  const line = {
    topic,
    partition,
    offset,
    timestampMs,
    key: toJson(key),
    value: toJson(value),
    headers: headers.map(header => ({ key: header.key, value: toJson(header.value) }))
  }
  return Buffer.from(`${printableJson(JSON.stringify(line))}\n`)
}

const toShown = (bytes: Buffer | null, isTerminal: boolean, toPrintable: (text: string) => string): Buffer =>
  bytes === null ? NOTHING : isTerminal ? Buffer.from(toPrintable(bytes.toString('utf8'))) : bytes

/** Bytes in JSON: their text, or `{"base64":"…"}`. */
export const toJson = (bytes: Buffer | null): string | null | { base64: string } =>
  bytes === null ? null : isUtf8(bytes) ? bytes.toString('utf8') : { base64: bytes.toString('base64') }
