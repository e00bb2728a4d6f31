import type { ListOffsetsCall, ListOffsetsResponse } from '../calls.js'
import { type Api, byTopic } from './api.js'
import { isolationLevels } from './fetch.js'

const NO_REPLICA = -1
/** The leader answers whichever epoch the caller knows. */
const NO_EPOCH = -1

/**
 * Version 3.
 *
 * Request: `replica_id i32, isolation_level i8, [topic, [partition i32, timestamp i64]]`
 * Response: `throttle_time_ms i32, [topic, [partition i32, error_code i16, timestamp i64, offset i64]]`
 */
export const listOffsetsV3 = listOffsets(3)

/**
 * Version 4 (Kafka 2.1): with leader epochs.
 *
 * Request: as version 3, with `current_leader_epoch i32` before the timestamp
 * Response: as version 3, with `leader_epoch i32` behind the offset
 */
export const listOffsetsV4 = { ...listOffsets(4), older: listOffsetsV3 }

function listOffsets(version: 3 | 4): Api<ListOffsetsCall, ListOffsetsResponse> {
  const hasEpochs = version >= 4
  return {
    key: 2,
    version,
    name: 'ListOffsets',
    encode(writer, { isolationLevel, partitions }) {
      writer.int32(NO_REPLICA)
      writer.int8(isolationLevels[isolationLevel])
      writer.array(byTopic(partitions), ([topic, ofTopic]) => {
        writer.string(topic)
        writer.array(ofTopic, ({ partition, timestamp }) => {
          writer.int32(partition)
          if (hasEpochs) writer.int32(NO_EPOCH)
          writer.int64(timestamp)
        })
      })
    },
    decode(reader) {
      const throttleTimeMs = reader.int32()
      const partitions: ListOffsetsResponse['partitions'][number][] = []
      reader.array(6, () => {
        const topic = reader.name()
        reader.array(hasEpochs ? 26 : 22, () => {
          const answer = {
            topic,
            partition: reader.int32(),
            errorCode: reader.int16(),
            timestampMs: reader.roundedInt64(),
            offset: reader.safeInt64()
          }
          partitions.push(hasEpochs ? { ...answer, leaderEpoch: reader.int32() } : answer)
        })
      })
      return { throttleTimeMs, partitions }
    }
  }
}
