import type { KafkaRecord, RecordHeader } from '../../../src/core/model.js'
import { type Logged, NULL_TEXT } from '../../support/history-checker.js'

/** Bytes as a string of one character each, so that none is changed; what null is written as is none of them. */
export const bytesText = (bytes: Buffer | null): string => (bytes === null ? NULL_TEXT : bytes.toString('latin1'))

/** A value with the headers of its record behind it. */
export const valueText = (value: string, headers: readonly RecordHeader[] = []): string =>
  headers.reduce((text, header) => `${text}|${header.key}=${bytesText(header.value)}`, value)

/** All that a reader is told of a record but its offset. */
export const recordText = ({ key, value, headers, timestampMs }: Omit<KafkaRecord, 'offset'>): string =>
  `${valueText(bytesText(value), headers)} of ${bytesText(key)} at ${timestampMs}`

/** So many bytes of every kind, or of UTF-8 text where it is text that is carried. */
export function filler(sizeBytes: number, isText: boolean): string {
  if (isText) return '\xc3\xa9'.repeat(sizeBytes >> 1) + '.'.repeat(sizeBytes & 1)
  return Buffer.from(Array.from({ length: sizeBytes }, (_, at) => (at * 37 + sizeBytes) & 0xff)).toString('latin1')
}

/** The header that names a record without a value. */
export const ID_HEADER = 'id'
const IN_VALUE = /^[^|]+(?=\|)/
const IN_HEADER = /\|id=([^|]+)\|/

/** The id of a record that a client wrote: at the beginning of its value, or where that is empty or null, in a header or its key. */
export function idOf({ key, value }: Pick<Logged, 'key' | 'value'>): string | undefined {
  const hasValue = value !== '' && !value.startsWith('|') && !value.startsWith(NULL_TEXT)
  if (hasValue) return IN_VALUE.exec(value)?.[0]
  return IN_HEADER.exec(value)?.[1] ?? IN_VALUE.exec(key)?.[0]
}
