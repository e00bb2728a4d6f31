import type { Bytes, ProduceRecord } from '../../core/model.js'
import type { StoredEntry } from '../log/entry.js'
import { type LoggedRecord, type RecordTag, readLoggedRecord } from '../log/logged-record.js'
import type { SentRecord } from '../memory/batch.js'
import { type Partitioner, type PartitionerName, partitioners } from '../memory/partitioners.js'

/**
 * The log keeps a partitioner by this number, because a record gets its partition when it is delivered. A number is
 * never reused for another partitioner.
 */
const numbers: Readonly<Record<PartitionerName, number>> = {
  murmur2: 0,
  crc32: 1,
  fnv1a: 2,
  javaHashCode: 3,
  phash2: 4,
  random: 5,
  roundRobin: 6
}
const names = new Map(Object.entries(numbers).map(([name, number]) => [number, name as PartitionerName]))

export const numberOfPartitioner = (name: PartitionerName): number => numbers[name]

/** An unknown number, written by a later release, means the partitioner of the Java client. */
export const partitionerOfNumber = (number = 0): PartitionerName => names.get(number) ?? 'murmur2'

export const partitionerOf = ({ partitioner }: LoggedRecord): Partitioner =>
  partitioners[partitionerOfNumber(partitioner)]

const toBuffer = (bytes: Bytes): Buffer | null => (typeof bytes === 'string' ? Buffer.from(bytes) : bytes)

/** The record as the log keeps it. */
export function toLoggedRecord(
  record: ProduceRecord,
  partitioner: PartitionerName,
  nowMs: number,
  tag?: RecordTag
): LoggedRecord {
  const logged = {
    partition: record.partition,
    partitioner: numberOfPartitioner(partitioner),
    key: toBuffer(record.key),
    value: toBuffer(record.value),
    headers: record.headers ?? [],
    timestampMs: record.timestampMs ?? nowMs,
    isTimeGiven: record.timestampMs !== undefined
  }
  return tag === undefined ? logged : { ...logged, tag }
}

/** The record as a partition's producer takes it: without its topic, which the producer knows. */
export const toProduceRecord = ({ key, value, headers, timestampMs, isTimeGiven }: LoggedRecord): ProduceRecord => ({
  topic: '',
  key,
  value,
  headers,
  timestampMs: isTimeGiven ? timestampMs : undefined
})

export const toSentRecord = ({ sequence, body, acceptedAtMs }: StoredEntry): SentRecord => {
  const logged = readLoggedRecord(body)
  return { record: toProduceRecord(logged), timestampMs: logged.timestampMs, index: sequence, acceptedAtMs }
}
