import type { DeleteTopicsCall, TopicErrorsResponse } from '../calls.js'
import type { Api } from './api.js'

/**
 * Version 1.
 *
 * Request: `[name], timeout_ms i32`
 * Response: `throttle_time_ms i32, [name, error_code i16]`
 */
export const deleteTopicsV1: Api<DeleteTopicsCall, TopicErrorsResponse> = {
  key: 20,
  version: 1,
  name: 'DeleteTopics',
  encode(writer, { topics, brokerTimeoutMs }) {
    writer.array(topics, topic => writer.string(topic))
    writer.int32(brokerTimeoutMs)
  },
  decode: reader => ({
    throttleTimeMs: reader.int32(),
    topics: reader.array(4, () => ({ topic: reader.string(), errorCode: reader.int16(), errorMessage: null }))
  })
}
