import type { ProduceCall, ProducePartitionResponse, ProduceResponse } from '../calls.js'
import { type Api, byTopic } from './api.js'

/**
 * Version 7.
 *
 * Request: `transactional_id?, acks i16, timeout_ms i32, [topic, [partition i32, records bytes]]`
 * Response: `[topic, [partition i32, error_code i16, base_offset i64, log_append_time i64, log_start_offset i64]],
 *   throttle_time_ms i32`
 */
export const produceV7: Api<ProduceCall, ProduceResponse> = {
  key: 0,
  version: 7,
  name: 'Produce',
  encode(writer, { acks, brokerTimeoutMs, partitions }) {
    writer.nullableString(null)
    writer.int16(acks)
    writer.int32(brokerTimeoutMs)
    writer.array(byTopic(partitions), ([topic, ofTopic]) => {
      writer.string(topic)
      writer.array(ofTopic, ({ partition, batch }) => {
        writer.int32(partition)
        writer.bytes(batch)
      })
    })
  },
  decode(reader) {
    const partitions: ProducePartitionResponse[] = []
    reader.array(6, () => {
      const topic = reader.name()
      reader.array(30, () =>
        partitions.push({
          topic,
          partition: reader.int32(),
          errorCode: reader.int16(),
          baseOffset: reader.safeInt64(),
          logAppendTimeMs: reader.roundedInt64(),
          logStartOffset: reader.safeInt64()
        })
      )
    })
    return { partitions, throttleTimeMs: reader.int32() }
  }
}
