import type { CreateTopicsCall, TopicErrorsResponse } from '../calls.js'
import type { Api } from './api.js'

/**
 * Version 3.
 *
 * Request: `[name, num_partitions i32, replication_factor i16, [partition i32, [replica i32]], [config, value?]],
 *   timeout_ms i32, validate_only bool`
 * Response: `throttle_time_ms i32, [name, error_code i16, error_message?]`
 */
export const createTopicsV3: Api<CreateTopicsCall, TopicErrorsResponse> = {
  key: 19,
  version: 3,
  name: 'CreateTopics',
  encode(writer, { topics, brokerTimeoutMs }) {
    writer.array(topics, ({ topic, partitions, replicationFactor, configs }) => {
      writer.string(topic)
      writer.int32(partitions)
      writer.int16(replicationFactor)
      writer.int32(0)
      writer.array([...(configs ?? [])], ([name, value]) => {
        writer.string(name)
        writer.nullableString(value)
      })
    })
    writer.int32(brokerTimeoutMs)
    writer.boolean(false)
  },
  decode: reader => ({
    throttleTimeMs: reader.int32(),
    topics: reader.array(6, () => ({
      topic: reader.string(),
      errorCode: reader.int16(),
      errorMessage: reader.nullableString()
    }))
  })
}
