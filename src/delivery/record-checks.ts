import type { Bytes, ProduceRecord } from '../model.js'
import type { RecordFailure } from '../operations.js'
import { failures } from './failures.js'

const MOST_BYTES_OF_A_CHARACTER = 3
const MAX_PARTITION = 0x7fffffff

const exactLengthOf = (bytes: Bytes): number =>
  bytes === null ? 0 : typeof bytes === 'string' ? Buffer.byteLength(bytes) : bytes.length
const mostLengthOf = (bytes: Bytes): number =>
  bytes === null ? 0 : typeof bytes === 'string' ? bytes.length * MOST_BYTES_OF_A_CHARACTER : bytes.length

/** Says what is wrong with a record whatever its topic: its size, a partition or time that is none. */
export function checkRecord(record: ProduceRecord, maxBytes: number): RecordFailure | undefined {
  const { partition, timestampMs } = record
  if (partition !== undefined && !(Number.isInteger(partition) && partition >= 0 && partition <= MAX_PARTITION)) {
    return failures.unknownPartition(record.topic, partition)
  }
  if (timestampMs !== undefined && !(Number.isSafeInteger(timestampMs) && timestampMs >= 0)) {
    return failures.invalid('the timestamp has to be whole milliseconds since 1970')
  }
  if (record.headers === undefined && mostLengthOf(record.key) + mostLengthOf(record.value) <= maxBytes)
    return undefined
  const sizeBytes = sizeOf(record)
  return sizeBytes > maxBytes ? failures.recordTooLarge(sizeBytes, maxBytes) : undefined
}

function sizeOf({ key, value, headers = [] }: ProduceRecord): number {
  let size = exactLengthOf(key) + exactLengthOf(value)
  for (const header of headers) size += exactLengthOf(header.key) + exactLengthOf(header.value)
  return size
}
