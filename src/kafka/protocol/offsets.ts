import type {
  ListOffsetsCall,
  ListOffsetsResponse,
  OffsetCommitCall,
  OffsetCommitResponse,
  OffsetFetchCall,
  OffsetFetchResponse,
  OffsetForLeaderEpochCall,
  OffsetForLeaderEpochResponse
} from '../calls.js'
import { type Api, atMost, noMoreThanAsked } from './api.js'
import { byTopic } from './encoding.js'
import { isolationLevels } from './fetch.js'

const NO_REPLICA = -1
const UNKNOWN_LEADER_EPOCH = -1

/**
 * Versions 3, and 4 (Kafka 2.1) with leader epochs.
 *
 * Request: `replica_id i32, isolation_level i8, [topic, [partition i32, (4: current_leader_epoch i32,) timestamp i64]]`
 * Response: `throttle_time_ms i32, [topic, [partition i32, error_code i16, timestamp i64, offset i64,
 *   (4: leader_epoch i32)]]`
 */
function listOffsets(version: 3 | 4): Api<ListOffsetsCall, ListOffsetsResponse> {
  const hasEpochs = version >= 4
  return {
    key: 2,
    version,
    name: 'ListOffsets',
    encode(writer, { isolationLevel, partitions }) {
      writer.int32(NO_REPLICA)
      writer.int8(isolationLevels[isolationLevel])
      writer.byTopic(partitions, ({ partition, timestamp }) => {
        writer.int32(partition)
        if (hasEpochs) writer.int32(UNKNOWN_LEADER_EPOCH)
        writer.int64(timestamp)
      })
    },
    decode(reader) {
      const throttleTimeMs = reader.int32()
      const partitions = reader.byTopic(hasEpochs ? 26 : 22, topic => ({
        topic,
        partition: reader.int32(),
        errorCode: reader.int16(),
        timestampMs: reader.roundedInt64(),
        offset: reader.safeInt64(),
        ...(hasEpochs && { leaderEpoch: reader.int32() })
      }))
      return { throttleTimeMs, partitions }
    }
  }
}

export const listOffsetsV3 = listOffsets(3)
export const listOffsetsV4: Api<ListOffsetsCall, ListOffsetsResponse> = { ...listOffsets(4), older: listOffsetsV3 }

/**
 * Version 3 (Kafka 2.3): the ends of leader epochs in the log of the leader.
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
    writer.byTopic(partitions, ({ partition, currentLeaderEpoch, leaderEpoch }) => {
      writer.int32(partition)
      writer.int32(currentLeaderEpoch)
      writer.int32(leaderEpoch)
    })
  },
  decode(reader, { partitions: asked }) {
    const throttleTimeMs = reader.int32()
    const readPartition = (topic: string) => ({
      topic,
      errorCode: reader.int16(),
      partition: reader.int32(),
      leaderEpoch: reader.int32(),
      endOffset: reader.safeInt64()
    })
    return {
      throttleTimeMs,
      partitions: reader.byTopic(18, readPartition, noMoreThanAsked(asked.length, 'partitions'))
    }
  }
}

/**
 * Versions 5, and 7 with the instance id of a static member and leader epochs.
 *
 * Request: `group_id, generation_id i32, member_id, (7: group_instance_id?,) [topic, [partition i32, offset i64,
 *   (7: leader_epoch i32,) metadata?]]`
 * Response: `throttle_time_ms i32, [topic, [partition i32, error_code i16]]`
 */
function offsetCommit(version: 5 | 7): Api<OffsetCommitCall, OffsetCommitResponse> {
  const hasInstances = version >= 7
  return {
    key: 8,
    version,
    name: 'OffsetCommit',
    canExpress: ({ instanceId }) => hasInstances || !instanceId,
    encode(writer, { groupId, generationId, memberId, instanceId, partitions }) {
      writer.string(groupId)
      writer.int32(generationId)
      writer.string(memberId)
      if (hasInstances) writer.nullableString(instanceId ?? null)
      writer.byTopic(partitions, ({ partition, offset, metadata, leaderEpoch }) => {
        writer.int32(partition)
        writer.int64(offset)
        if (hasInstances) writer.int32(leaderEpoch ?? UNKNOWN_LEADER_EPOCH)
        writer.nullableString(metadata)
      })
    },
    decode(reader) {
      const throttleTimeMs = reader.int32()
      const readPartition = (topic: string) => ({ topic, partition: reader.int32(), errorCode: reader.int16() })
      return { throttleTimeMs, partitions: reader.byTopic(6, readPartition) }
    }
  }
}

export const offsetCommitV5 = offsetCommit(5)
export const offsetCommitV7: Api<OffsetCommitCall, OffsetCommitResponse> = { ...offsetCommit(7), older: offsetCommitV5 }

/** Limit of partitions in a response, the same as in Metadata. */
const MAX_PARTITIONS = 1_000_000

/**
 * Versions 4, and 5 (Kafka 2.1) with leader epochs.
 *
 * Request: `group_id, [topic, [partition i32]]?`; topics null: all
 * Response: `throttle_time_ms i32, [topic, [partition i32, offset i64, (5: leader_epoch i32,) metadata?, error_code i16]],
 *   error_code i16`
 */
function offsetFetch(version: 4 | 5): Api<OffsetFetchCall, OffsetFetchResponse> {
  const hasEpochs = version >= 5
  return {
    key: 9,
    version,
    name: 'OffsetFetch',
    encode(writer, { groupId, partitions }) {
      writer.string(groupId)
      writer.nullableArray(partitions && byTopic(partitions), ([topic, ofTopic]) => {
        writer.string(topic)
        writer.array(ofTopic, ({ partition }) => writer.int32(partition))
      })
    },
    decode(reader, { partitions: asked }) {
      const inAll = asked ? noMoreThanAsked(asked.length, 'partitions') : atMost(MAX_PARTITIONS, 'partitions')
      const throttleTimeMs = reader.int32()
      const readPartition = (topic: string) => ({
        topic,
        partition: reader.int32(),
        offset: reader.safeInt64(),
        leaderEpoch: hasEpochs ? reader.int32() : UNKNOWN_LEADER_EPOCH,
        metadata: reader.nullableString(),
        errorCode: reader.int16()
      })
      const partitions = reader.byTopic(hasEpochs ? 20 : 16, readPartition, inAll)
      return { throttleTimeMs, partitions, errorCode: reader.int16() }
    }
  }
}

export const offsetFetchV4 = offsetFetch(4)
export const offsetFetchV5: Api<OffsetFetchCall, OffsetFetchResponse> = { ...offsetFetch(5), older: offsetFetchV4 }
