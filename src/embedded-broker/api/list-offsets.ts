import type { PartitionLog } from '../log/partition-log.js'
import { errors } from '../protocol/error-codes.js'
import type { BatchView } from '../protocol/record-batch.js'
import { firstRecordSince } from '../protocol/records.js'
import type { Partition } from '../topics/partition.js'
import { type ByTopic, defineApi, readByTopic, targetsByTopic, writeByTopic } from './api.js'
import { leaderError } from './responsibility.js'

const LATEST = -1
const EARLIEST = -2
/** The record with the highest timestamp. */
const MAX_TIMESTAMP = -3
/** Local log start: here the log start itself. */
const EARLIEST_LOCAL = -4
/** End of remote storage: here there is none. */
const LATEST_TIERED = -5

interface ListOffsetsPartition {
  readonly partition: number
  readonly currentLeaderEpoch: number
  readonly timestamp: number
}
interface ListOffsetsRequest {
  readonly isReadCommitted: boolean
  readonly topics: readonly ByTopic<ListOffsetsPartition>[]
}

export const listOffsets = defineApi<ListOffsetsRequest>({
  key: 2,
  name: 'ListOffsets',
  minVersion: 1,
  maxVersion: 9,
  flexibleFrom: 6,
  read(reader, version) {
    reader.int32()
    const isReadCommitted = version >= 2 && reader.int8() === 1
    const topics = readByTopic(reader, () => ({
      partition: reader.int32(),
      currentLeaderEpoch: version >= 4 ? reader.int32() : -1,
      timestamp: reader.int64()
    }))
    return { isReadCommitted, topics }
  },
  targets: ({ topics }) => targetsByTopic(topics),
  answer({ isReadCommitted, topics }, call) {
    const { response, version, faults } = call
    if (version >= 2) response.int32(0)
    writeByTopic(response, topics, (topic, asked) => {
      const errorCode = leaderError(call, topic, asked.partition, asked.currentLeaderEpoch)
      const partition = errorCode ? undefined : call.cluster.topics.partition(topic, asked.partition)
      const looked = partition ? lookUp(partition, asked.timestamp, isReadCommitted) : NOT_FOUND
      const found = looked ?? NOT_FOUND
      const storageError = looked ? errors.none : errors.kafkaStorageError
      response.int32(asked.partition).int16(errorCode || storageError || faults.after(topic, asked.partition))
      response.int64(found.timestamp).int64(found.offset)
      if (version >= 4) response.int32(found.offset < 0 ? -1 : (partition?.leaderEpoch ?? -1))
    })
  }
})

interface Found {
  readonly timestamp: number
  readonly offset: number
}
const NOT_FOUND: Found = { timestamp: -1, offset: -1 }

/** Undefined: the storage fails. */
function lookUp({ log }: Partition, timestamp: number, isReadCommitted: boolean): Found | undefined {
  if (timestamp === LATEST) return { timestamp: -1, offset: isReadCommitted ? log.lastStableOffset : log.highWatermark }
  if (timestamp === EARLIEST || timestamp === EARLIEST_LOCAL) return { timestamp: -1, offset: log.logStartOffset }
  if (timestamp === LATEST_TIERED) return NOT_FOUND
  try {
    if (timestamp === MAX_TIMESTAMP) return newest(log)
    const batch = log.findByTimestamp(timestamp)
    return batch ? firstSince(batch, timestamp, log.logStartOffset) : NOT_FOUND
  } catch {
    return undefined
  }
}

function newest(log: PartitionLog): Found {
  const timestampMs = log.maxTimestampMs
  const batch = timestampMs === undefined ? undefined : log.findByTimestamp(timestampMs)
  return batch ? firstSince(batch, batch.maxTimestamp, log.logStartOffset) : NOT_FOUND
}

function firstSince(batch: BatchView, timestamp: number, logStartOffset: number): Found {
  try {
    const found = firstRecordSince(batch, timestamp, logStartOffset)
    if (found) return { timestamp: found.timestampMs, offset: found.offset }
  } catch {
    // Only tests write batches that do not decode; the header still has the base offset.
  }
  return { timestamp: batch.maxTimestamp, offset: Math.max(batch.baseOffset, logStartOffset) }
}
