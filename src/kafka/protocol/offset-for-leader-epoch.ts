import type { OffsetForLeaderEpochCall, OffsetForLeaderEpochResponse } from '../calls.js'
import { type Api, byTopic } from './api.js'
import { noMoreThanAsked } from './most.js'

const NO_REPLICA = -1

/**
 * Version 3 (Kafka 2.3): where leader epochs end in the log of the leader.
 *
 * Request: `replica_id i32, [topic, [partition i32, current_leader_epoch i32, leader_epoch i32]]`
 * Response: `throttle_time_ms i32, [topic, [error_code i16, partition i32, leader_epoch i32, end_offset i64]]`
 */
export const offsetForLeaderEpochV3: Api<OffsetForLeaderEpochCall, OffsetForLeaderEpochResponse> = {
  key: 23,
  version: 3,
  name: 'OffsetForLeaderEpoch',
  encode(writer, { partitions }) {
    writer.int32(NO_REPLICA)
    writer.array(byTopic(partitions), ([topic, ofTopic]) => {
      writer.string(topic)
      writer.array(ofTopic, ({ partition, currentLeaderEpoch, leaderEpoch }) => {
        writer.int32(partition)
        writer.int32(currentLeaderEpoch)
        writer.int32(leaderEpoch)
      })
    })
  },
  decode(reader, { partitions: asked }) {
    const inAll = noMoreThanAsked(asked.length, 'partitions')
    const throttleTimeMs = reader.int32()
    const partitions: OffsetForLeaderEpochResponse['partitions'][number][] = []
    reader.array(6, () => {
      const topic = reader.name()
      const readPartition = (): void => {
        const errorCode = reader.int16()
        const partition = reader.int32()
        const leaderEpoch = reader.int32()
        partitions.push({ topic, partition, errorCode, leaderEpoch, endOffset: reader.safeInt64() })
      }
      reader.array(18, readPartition, inAll)
    })
    return { throttleTimeMs, partitions }
  }
}
