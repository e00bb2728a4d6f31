import { isUtf8 } from 'node:buffer'
import type { KafkaRecord, TopicPartition } from '../model.js'

/** How `castellan read` writes a record. */
export type RecordFormat = 'value' | 'key-value' | 'json'

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
 * `value` and `key-value` write the bytes as they are; a null is an empty text there. In JSON null is `null`, and bytes
 * that are no UTF-8 are written as `{"base64":"…"}`.
 */
export function formatRecord(format: RecordFormat, topicPartition: TopicPartition, record: KafkaRecord): Buffer {
  if (format === 'value') return Buffer.concat([record.value ?? NOTHING, NEWLINE])
  if (format === 'key-value') return Buffer.concat([record.key ?? NOTHING, TAB, record.value ?? NOTHING, NEWLINE])
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
  return Buffer.from(`${JSON.stringify(line)}\n`)
}

const toJson = (bytes: Buffer | null): string | null | { base64: string } =>
  bytes === null ? null : isUtf8(bytes) ? bytes.toString('utf8') : { base64: bytes.toString('base64') }
