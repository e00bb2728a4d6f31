import type { Bytes, ProduceRecord, RecordFailure, RecordHeader } from '../../core/model.js'
import { failures } from './failures.js'

const MOST_BYTES_OF_A_CHARACTER = 3
const MAX_PARTITION = 0x7fffffff

const exactLengthOf = (bytes: Bytes): number =>
  bytes === null ? 0 : typeof bytes === 'string' ? Buffer.byteLength(bytes) : bytes.length
const mostLengthOf = (bytes: Bytes): number =>
  bytes === null ? 0 : typeof bytes === 'string' ? bytes.length * MOST_BYTES_OF_A_CHARACTER : bytes.length

const isBytes = (bytes: Bytes): boolean => bytes === null || typeof bytes === 'string' || Buffer.isBuffer(bytes)
const areHeaders = (headers: readonly RecordHeader[]): boolean =>
  Array.isArray(headers) &&
  headers.every(header => typeof header?.key === 'string' && (header.value === null || Buffer.isBuffer(header.value)))

/** Says what is wrong with a record whatever its topic: its size, a partition or time that is none. */
export function checkRecord(record: ProduceRecord, maxBytes: number): RecordFailure | undefined {
  // Actors written without types come here as well, and a record that makes us throw would take the Router with it.
  if (typeof record !== 'object' || record === null) return failures.invalid('a record has to be an object')
  const { partition, timestampMs, headers } = record
  if (typeof record.topic !== 'string') return failures.invalid('the topic has to be a string')
  if (!isBytes(record.key) || !isBytes(record.value)) {
    return failures.invalid('key and value have to be a Buffer, a string or null')
  }
  if (headers !== undefined && !areHeaders(headers)) {
    return failures.invalid('headers have to be a list of a key, a string, and a value, a Buffer or null')
  }
  if (partition !== undefined && !(Number.isInteger(partition) && partition >= 0 && partition <= MAX_PARTITION)) {
    return failures.unknownPartition(record.topic, partition)
  }
  if (timestampMs !== undefined && !(Number.isSafeInteger(timestampMs) && timestampMs >= 0)) {
    return failures.invalid('the timestamp has to be whole milliseconds since 1970')
  }
  if (headers === undefined && mostLengthOf(record.key) + mostLengthOf(record.value) <= maxBytes) return undefined
  const sizeBytes = sizeOf(record)
  return sizeBytes > maxBytes ? failures.recordTooLarge(sizeBytes, maxBytes) : undefined
}

function sizeOf({ key, value, headers = [] }: ProduceRecord): number {
  let size = exactLengthOf(key) + exactLengthOf(value)
  for (const header of headers) size += exactLengthOf(header.key) + exactLengthOf(header.value)
  return size
}
