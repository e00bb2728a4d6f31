import { errorCodes } from '../../kafka/error-codes.js'
import type { SegmentedLog } from '../log/partition-log.js'
import type { BatchView } from '../protocol/record-batch.js'
import { firstRecordSince } from '../protocol/records.js'
import type { StoredPartition } from '../topics/partition.js'
import { defineApi, leaderError, readByTopic, type ServedApi, targetsByTopic, writeByTopic } from './api.js'

const LATEST = -1
const EARLIEST = -2
/** The record with the highest timestamp. */
const MAX_TIMESTAMP = -3
/** The local log start, which is the same as the log start in this broker. */
const EARLIEST_LOCAL = -4
/** The end of remote storage, which this broker does not have. */
const LATEST_TIERED = -5
/** The negative timestamps that have a meaning, with the first version that knows them. */
const SINCE: ReadonlyMap<number, number> = new Map([
  [LATEST, 1],
  [EARLIEST, 1],
  [MAX_TIMESTAMP, 7],
  [EARLIEST_LOCAL, 8],
  [LATEST_TIERED, 9]
])
const isKnown = (timestamp: number, version: number): boolean =>
  timestamp >= 0 || version >= (SINCE.get(timestamp) ?? Infinity)

const listOffsets = defineApi({
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
      const errorCode = isKnown(asked.timestamp, version)
        ? leaderError(call, topic, asked.partition, asked.currentLeaderEpoch)
        : errorCodes.UNSUPPORTED_VERSION
      const partition = errorCode ? undefined : call.cluster.topics.partition(topic, asked.partition)
      const looked = partition ? lookUp(partition, asked.timestamp, isReadCommitted) : NOT_FOUND
      const found = looked ?? NOT_FOUND
      const storageError = looked ? errorCodes.NONE : errorCodes.KAFKA_STORAGE_ERROR
      response.int32(asked.partition).int16(errorCode || storageError || faults.after(topic, asked.partition))
      response.int64(found.timestamp).int64(found.offset)
      if (version >= 4) response.int32(found.offset < 0 ? -1 : (partition?.leaderEpoch ?? -1))
    })
  }
})

interface OffsetInLog {
  readonly timestamp: number
  readonly offset: number
}
const NOT_FOUND: OffsetInLog = { timestamp: -1, offset: -1 }

/** Looks up an offset; undefined: the storage fails. */
function lookUp({ log }: StoredPartition, timestamp: number, isReadCommitted: boolean): OffsetInLog | undefined {
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

function newest(log: SegmentedLog): OffsetInLog {
  const timestampMs = log.maxTimestampMs
  const batch = timestampMs === undefined ? undefined : log.findByTimestamp(timestampMs)
  return batch ? firstSince(batch, batch.maxTimestamp, log.logStartOffset) : NOT_FOUND
}

function firstSince(batch: BatchView, timestamp: number, logStartOffset: number): OffsetInLog {
  try {
    const found = firstRecordSince(batch, timestamp, logStartOffset)
    if (found) return { timestamp: found.timestampMs, offset: found.offset }
  } catch {
    // Only tests write batches that cannot be decoded. The base offset in the header is still right.
  }
  return { timestamp: batch.maxTimestamp, offset: Math.max(batch.baseOffset, logStartOffset) }
}

const UP_TO_HIGH_WATERMARK = -1

const deleteRecords = defineApi({
  key: 21,
  name: 'DeleteRecords',
  minVersion: 0,
  maxVersion: 2,
  flexibleFrom: 2,
  read(reader) {
    const topics = readByTopic(reader, () => ({ partition: reader.int32(), offset: reader.int64() }))
    reader.int32()
    return { topics }
  },
  targets: ({ topics }) => targetsByTopic(topics),
  answer({ topics }, call) {
    const { response, cluster, faults } = call
    response.int32(0)
    writeByTopic(response, topics, (topic, { partition, offset }) => {
      const log = cluster.topics.partition(topic, partition)?.log
      const before = offset === UP_TO_HIGH_WATERMARK ? (log?.highWatermark ?? 0) : offset
      const isOutside = log && (before < 0 || before > log.highWatermark)
      const errorCode =
        leaderError(call, topic, partition, -1) || (isOutside ? errorCodes.OFFSET_OUT_OF_RANGE : errorCodes.NONE)
      if (!errorCode) log?.deleteBefore(before)
      response.int32(partition).int64(errorCode ? -1 : log!.logStartOffset)
      response.int16(faults.after(topic, partition) || errorCode)
    })
    cluster.topicsChanged()
  }
})

const offsetForLeaderEpoch = defineApi({
  key: 23,
  name: 'OffsetForLeaderEpoch',
  minVersion: 2,
  maxVersion: 4,
  flexibleFrom: 4,
  read(reader, version) {
    if (version >= 3) reader.int32()
    return {
      topics: readByTopic(reader, () => ({
        partition: reader.int32(),
        currentLeaderEpoch: reader.int32(),
        leaderEpoch: reader.int32()
      }))
    }
  },
  targets: ({ topics }) => targetsByTopic(topics),
  answer({ topics }, call) {
    const { response, cluster, faults } = call
    response.int32(0)
    writeByTopic(response, topics, (topic, asked) => {
      const errorCode = leaderError(call, topic, asked.partition, asked.currentLeaderEpoch)
      const partition = errorCode ? undefined : cluster.topics.partition(topic, asked.partition)
      const end = partition?.log.epochs.endOf(asked.leaderEpoch, partition.leaderEpoch, partition.log.highWatermark)
      response.int16(errorCode || faults.after(topic, asked.partition)).int32(asked.partition)
      response.int32(end?.epoch ?? -1).int64(end?.endOffset ?? -1)
    })
  }
})

export const logOffsets: readonly ServedApi[] = [listOffsets, deleteRecords, offsetForLeaderEpoch]
