import type { CallOptions, CreateTopicsCall, DeleteTopicsCall, TopicErrorsResponse } from '../calls.js'
import type { Api } from './api.js'
import type { ResponseReader } from './encoding.js'

/**
 * Versions 3, and 4 (Kafka 2.4) with the broker's defaults.
 *
 * Request: `[name, num_partitions i32, replication_factor i16, [partition i32, [replica i32]], [config, value?]],
 *   timeout_ms i32, validate_only bool`
 * Response: `throttle_time_ms i32, [name, error_code i16, error_message?]`
 */
const createTopics = (version: 3 | 4): Api<CreateTopicsCall, TopicErrorsResponse> => ({
  key: 19,
  version,
  name: 'CreateTopics',
  canExpress: ({ topics }) =>
    version === 4 ||
    topics.every(
      ({ assignments, partitions, replicationFactor }) =>
        (assignments?.size ?? 0) > 0 || (partitions >= 0 && replicationFactor >= 0)
    ),
  encode(writer, { topics, brokerTimeoutMs, validateOnly = false }) {
    writer.array(topics, ({ topic, partitions, replicationFactor, assignments, configs }) => {
      writer.string(topic)
      writer.int32(partitions)
      writer.int16(replicationFactor)
      writer.array([...(assignments ?? [])], ([partition, replicas]) => {
        writer.int32(partition)
        writer.array(replicas, nodeId => writer.int32(nodeId))
      })
      writer.array([...(configs ?? [])], ([name, value]) => {
        writer.string(name)
        writer.nullableString(value)
      })
    })
    writer.int32(brokerTimeoutMs)
    writer.boolean(validateOnly)
  },
  decode: readErrors
})

const readErrors = (reader: ResponseReader): TopicErrorsResponse => ({
  throttleTimeMs: reader.int32(),
  topics: reader.array(6, () => ({
    topic: reader.string(),
    errorCode: reader.int16(),
    errorMessage: reader.nullableString()
  }))
})

export const createTopicsV3 = createTopics(3)
export const createTopicsV4: Api<CreateTopicsCall, TopicErrorsResponse> = { ...createTopics(4), older: createTopicsV3 }

/**
 * Versions 1, and 5 (Kafka 2.7, flexible) with messages.
 *
 * Request: `[name], timeout_ms i32`
 * Response: `throttle_time_ms i32, [name, error_code i16, (5: error_message?)]`
 */
const deleteTopics = (version: 1 | 5): Api<DeleteTopicsCall, TopicErrorsResponse> => ({
  key: 20,
  version,
  name: 'DeleteTopics',
  isFlexible: version === 5,
  encode(writer, { topics, brokerTimeoutMs }) {
    writer.array(topics, topic => writer.string(topic))
    writer.int32(brokerTimeoutMs)
    writer.tags()
  },
  decode(reader) {
    const throttleTimeMs = reader.int32()
    const readTopic = () => {
      const topic = reader.string()
      const errorCode = reader.int16()
      const errorMessage = version === 5 ? reader.nullableString() : null
      reader.tags()
      return { topic, errorCode, errorMessage }
    }
    const topics = reader.array(version === 5 ? 5 : 4, readTopic)
    reader.tags()
    return { throttleTimeMs, topics }
  }
})

export const deleteTopicsV1 = deleteTopics(1)
export const deleteTopicsV5: Api<DeleteTopicsCall, TopicErrorsResponse> = { ...deleteTopics(5), older: deleteTopicsV1 }

export interface CreatePartitionsCall extends CallOptions {
  /** `total`: the number of partitions that the topic then has. */
  readonly topics: readonly { readonly topic: string; readonly total: number }[]
  readonly brokerTimeoutMs: number
  /** True: the change is only checked. */
  readonly validateOnly: boolean
}

/**
 * Version 1.
 *
 * Request: `[name, count i32, [[broker_id i32]]?], timeout_ms i32, validate_only bool`; assignments null: Kafka chooses
 * Response: `throttle_time_ms i32, [name, error_code i16, error_message?]`
 */
export const createPartitionsV1: Api<CreatePartitionsCall, TopicErrorsResponse> = {
  key: 37,
  version: 1,
  name: 'CreatePartitions',
  encode(writer, { topics, brokerTimeoutMs, validateOnly }) {
    writer.array(topics, ({ topic, total }) => {
      writer.string(topic)
      writer.int32(total)
      writer.nullableArray(null, () => undefined)
    })
    writer.int32(brokerTimeoutMs)
    writer.boolean(validateOnly)
  },
  decode: readErrors
}
