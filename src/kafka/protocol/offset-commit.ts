import type { OffsetCommitCall, OffsetCommitResponse } from '../calls.js'
import { type Api, byTopic } from './api.js'

const UNKNOWN_LEADER_EPOCH = -1

/** From version 7 on a static member names itself, and leader epochs are stored with offsets. */
const INSTANCE_SINCE_VERSION = 7

/**
 * Version 5 without, version 7 with the instance id of a static member and leader epochs.
 *
 * Request: `group_id, generation_id i32, member_id, (7: group_instance_id?,) [topic, [partition i32, offset i64,
 *   (7: leader_epoch i32,) metadata?]]`
 * Response: `throttle_time_ms i32, [topic, [partition i32, error_code i16]]`
 */
const create = (
  version: 5 | 7,
  older?: Api<OffsetCommitCall, OffsetCommitResponse>
): Api<OffsetCommitCall, OffsetCommitResponse> => ({
  key: 8,
  version,
  name: 'OffsetCommit',
  ...(older && { older }),
  canExpress: ({ instanceId }) => version >= INSTANCE_SINCE_VERSION || !instanceId,
  encode(writer, { groupId, generationId, memberId, instanceId, partitions }) {
    writer.string(groupId)
    writer.int32(generationId)
    writer.string(memberId)
    if (version >= INSTANCE_SINCE_VERSION) writer.nullableString(instanceId ?? null)
    writer.array(byTopic(partitions), ([topic, ofTopic]) => {
      writer.string(topic)
      writer.array(ofTopic, ({ partition, offset, metadata, leaderEpoch }) => {
        writer.int32(partition)
        writer.int64(offset)
        if (version >= INSTANCE_SINCE_VERSION) writer.int32(leaderEpoch ?? UNKNOWN_LEADER_EPOCH)
        writer.nullableString(metadata)
      })
    })
  },
  decode(reader) {
    const throttleTimeMs = reader.int32()
    const partitions: OffsetCommitResponse['partitions'][number][] = []
    reader.array(6, () => {
      const topic = reader.name()
      reader.array(6, () => partitions.push({ topic, partition: reader.int32(), errorCode: reader.int16() }))
    })
    return { throttleTimeMs, partitions }
  }
})

export const offsetCommitV5 = create(5)
export const offsetCommitV7 = create(7, offsetCommitV5)
