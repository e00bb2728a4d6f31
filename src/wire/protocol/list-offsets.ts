import type { ListOffsetsCall, ListOffsetsResponse } from '../calls.js'
import { type Api, byTopic } from './api.js'
import { isolationLevels } from './fetch.js'

/**
 * Version 3.
 *
 * Request: `replica_id i32, isolation_level i8, [topic, [partition i32, timestamp i64]]`
 * Response: `throttle_time_ms i32, [topic, [partition i32, error_code i16, timestamp i64, offset i64]]`
 */
export const listOffsetsV3: Api<ListOffsetsCall, ListOffsetsResponse> = {
  key: 2,
  version: 3,
  name: 'ListOffsets',
  encode(writer, { isolationLevel, partitions }) {
    writer.int32(-1)
    writer.int8(isolationLevels[isolationLevel])
    writer.array(byTopic(partitions), ([topic, ofTopic]) => {
      writer.string(topic)
      writer.array(ofTopic, ({ partition, timestamp }) => {
        writer.int32(partition)
        writer.int64(timestamp)
      })
    })
  },
  decode(reader) {
    const throttleTimeMs = reader.int32()
    const partitions: ListOffsetsResponse['partitions'][number][] = []
    reader.array(6, () => {
      const topic = reader.name()
      reader.array(22, () =>
        partitions.push({
          topic,
          partition: reader.int32(),
          errorCode: reader.int16(),
          timestampMs: reader.roundedInt64(),
          offset: reader.safeInt64()
        })
      )
    })
    return { throttleTimeMs, partitions }
  }
}
