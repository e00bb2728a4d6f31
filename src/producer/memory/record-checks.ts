import { InvalidRequestError } from '../../core/errors.js'
import type { Bytes, ProduceRecord, RecordFailure, RecordHeader } from '../../core/model.js'
import { printable, shortened } from '../../core/printable.js'
import { suggestion } from '../../core/settings/problems.js'
import { MAX_PARTITION } from '../../router/requests/failures.js'
import type { ProduceOptions } from './delivery.js'
import { failures } from './failures.js'
import { type PartitionerName, partitioners } from './partitioners.js'

const DURABILITIES: readonly unknown[] = ['memory', 'disk', undefined]

/**
 * Refuses a call with wrong arguments, which JavaScript callers may pass, before it can harm the records of others.
 * Records are checked and refused one by one.
 *
 * @throws InvalidRequestError no record was taken
 */
export function checkProduceCall(records: readonly ProduceRecord[], options: ProduceOptions): void {
  if (!Array.isArray(records)) throw new InvalidRequestError(`records have to be a list, not ${kindOf(records)}`)
  if (typeof options !== 'object' || options === null) {
    throw new InvalidRequestError('options with a partitioner are needed to produce')
  }
  const { partitioner, durability } = options
  if (
    typeof partitioner !== 'function' &&
    !(typeof partitioner === 'string' && Object.hasOwn(partitioners, partitioner))
  ) {
    const names = Object.keys(partitioners)
    const hint = typeof partitioner === 'string' ? suggestion(partitioner, names) : ''
    throw new InvalidRequestError(`partitioner has to be one of ${names.join(', ')}, not ${textOf(partitioner)}${hint}`)
  }
  if (!DURABILITIES.includes(durability)) {
    throw new InvalidRequestError(`durability has to be memory or disk, not ${textOf(durability)}`)
  }
}

/** @throws InvalidRequestError when the partitioner of records for the durable log is a function */
export function namedPartitioner({ partitioner }: ProduceOptions): PartitionerName {
  if (typeof partitioner !== 'function') return partitioner
  const why = 'these records may get their partition after the process has ended'
  throw new InvalidRequestError(`with durability disk the partitioner cannot be a function, because ${why}`)
}

const textOf = (value: unknown): string =>
  typeof value === 'string' ? `"${printable(shortened(value))}"` : kindOf(value)

const kindOf = (value: unknown): string => (value === null ? 'null' : typeof value)

const MOST_BYTES_OF_A_CHARACTER = 3
/** The lengths of its key and its value. A record of a million empty headers is not empty. */
const EMPTY_HEADER_BYTES = 2

const exactLengthOf = (bytes: Bytes): number =>
  bytes === null ? 0 : typeof bytes === 'string' ? Buffer.byteLength(bytes) : bytes.length
const mostLengthOf = (bytes: Bytes): number =>
  bytes === null ? 0 : typeof bytes === 'string' ? bytes.length * MOST_BYTES_OF_A_CHARACTER : bytes.length

const isBytes = (bytes: Bytes): boolean => bytes === null || typeof bytes === 'string' || Buffer.isBuffer(bytes)
const areHeaders = (headers: readonly RecordHeader[]): boolean =>
  headers.every(header => typeof header?.key === 'string' && (header.value === null || Buffer.isBuffer(header.value)))

/** Checks what does not depend on the topic: types, size, partition and timestamp. */
export function checkRecord(record: ProduceRecord, maxBytes: number): RecordFailure | undefined {
  // Untyped actors send records, too. An exception here would end the Router.
  if (typeof record !== 'object' || record === null) return failures.invalid('a record has to be an object')
  const { partition, timestampMs, headers } = record
  if (typeof record.topic !== 'string') return failures.invalid('the topic has to be a string')
  if (!isBytes(record.key) || !isBytes(record.value)) {
    return failures.invalid('key and value have to be a Buffer, a string or null')
  }
  if (headers !== undefined && !Array.isArray(headers)) return failures.invalid('headers have to be a list')
  if (headers !== undefined && !areHeaders(headers)) {
    return failures.invalid('the key of a header has to be a string, and its value bytes or null')
  }
  if (partition !== undefined && !(Number.isInteger(partition) && partition >= 0 && partition <= MAX_PARTITION)) {
    return failures.unknownPartition(record.topic, partition)
  }
  if (timestampMs !== undefined && !(Number.isSafeInteger(timestampMs) && timestampMs >= 0)) {
    return failures.invalid('the timestamp has to be whole milliseconds since 1970')
  }
  if (headers === undefined && mostLengthOf(record.key) + mostLengthOf(record.value) <= maxBytes) return undefined
  const sizeBytes = sizeOf(record)
  return sizeBytes > maxBytes ? failures.exceedsRecordLimit(sizeBytes, maxBytes) : undefined
}

function sizeOf({ key, value, headers = [] }: ProduceRecord): number {
  let size = exactLengthOf(key) + exactLengthOf(value)
  for (const { key, value } of headers) {
    size += exactLengthOf(key) + exactLengthOf(value) || EMPTY_HEADER_BYTES
  }
  return size
}
