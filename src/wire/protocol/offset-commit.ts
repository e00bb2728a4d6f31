import type { OffsetCommitCall, OffsetCommitResponse } from '../broker-client.js'
import { type Api, byTopic } from './api.js'

/**
 * Version 5.
 *
 * Request: `group_id, generation_id i32, member_id, [topic, [partition i32, offset i64, metadata?]]`
 * Response: `throttle_time_ms i32, [topic, [partition i32, error_code i16]]`
 */
export const offsetCommitV5: Api<OffsetCommitCall, OffsetCommitResponse> = {
  key: 8,
  version: 5,
  name: 'OffsetCommit',
  encode(writer, { groupId, generationId, memberId, partitions }) {
    writer.string(groupId)
    writer.int32(generationId)
    writer.string(memberId)
    writer.array(byTopic(partitions), ([topic, ofTopic]) => {
      writer.string(topic)
      writer.array(ofTopic, ({ partition, offset, metadata }) => {
        writer.int32(partition)
        writer.int64(offset)
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
}
