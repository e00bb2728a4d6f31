import { errors } from '../protocol/error-codes.js'
import { type Api, type ByTopic, defineApi, readByTopic, targetsByTopic, writeByTopic } from './api.js'
import { leaderError } from './responsibility.js'

const UP_TO_HIGH_WATERMARK = -1

const deleteRecords = defineApi<{
  readonly topics: readonly ByTopic<{ readonly partition: number; readonly offset: number }>[]
}>({
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
      const errorCode = leaderError(call, topic, partition, -1) || (isOutside ? errors.offsetOutOfRange : errors.none)
      if (!errorCode) log?.deleteBefore(before)
      response.int32(partition).int64(errorCode ? -1 : log!.logStartOffset)
      response.int16(faults.after(topic, partition) || errorCode)
    })
    cluster.topicsChanged()
  }
})

const offsetForLeaderEpoch = defineApi<{
  readonly topics: readonly ByTopic<{
    readonly partition: number
    readonly currentLeaderEpoch: number
    readonly leaderEpoch: number
  }>[]
}>({
  key: 23,
  name: 'OffsetForLeaderEpoch',
  minVersion: 0,
  maxVersion: 4,
  flexibleFrom: 4,
  read(reader, version) {
    if (version >= 3) reader.int32()
    return {
      topics: readByTopic(reader, () => ({
        partition: reader.int32(),
        currentLeaderEpoch: version >= 2 ? reader.int32() : -1,
        leaderEpoch: reader.int32()
      }))
    }
  },
  targets: ({ topics }) => targetsByTopic(topics),
  answer({ topics }, call) {
    const { response, version, cluster, faults } = call
    if (version >= 2) response.int32(0)
    writeByTopic(response, topics, (topic, asked) => {
      const errorCode = leaderError(call, topic, asked.partition, asked.currentLeaderEpoch)
      const partition = errorCode ? undefined : cluster.topics.partition(topic, asked.partition)
      const end = partition?.log.epochs.endOf(asked.leaderEpoch, partition.leaderEpoch, partition.log.highWatermark)
      response.int16(errorCode || faults.after(topic, asked.partition)).int32(asked.partition)
      if (version >= 1) response.int32(end?.epoch ?? -1)
      response.int64(end?.endOffset ?? -1)
    })
  }
})

export const recordsAdmin: readonly Api[] = [deleteRecords, offsetForLeaderEpoch]
