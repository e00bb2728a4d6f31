import type { Bytes, ProduceRecord } from '../../core/model.js'
import type { LoggedRecord } from '../log/logged-record.js'
import type { PartitionerName } from '../memory/partitioners.js'
import { numberOfPartitioner } from './partitioner-numbers.js'

const toBuffer = (bytes: Bytes): Buffer | null => (typeof bytes === 'string' ? Buffer.from(bytes) : bytes)

/** A record as the log keeps it. */
export const toLoggedRecord = (record: ProduceRecord, partitioner: PartitionerName, nowMs: number): LoggedRecord => ({
  partition: record.partition,
  partitioner: numberOfPartitioner(partitioner),
  key: toBuffer(record.key),
  value: toBuffer(record.value),
  headers: record.headers ?? [],
  timestampMs: record.timestampMs ?? nowMs,
  isTimeGiven: record.timestampMs !== undefined
})
