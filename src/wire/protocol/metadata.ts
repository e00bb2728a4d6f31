import type { MetadataCall, MetadataResponse, PartitionMetadata, TopicMetadata } from '../broker-client.js'
import type { Api } from './api.js'
import type { ResponseReader } from './response-reader.js'

/**
 * Version 7, for it carries leader epochs.
 *
 * Request: `[topic], allow_auto_topic_creation bool`; topics null: all
 * Response: `throttle_time_ms i32, [node_id i32, host, port i32, rack?], cluster_id?, controller_id i32,
 *   [error_code i16, name, is_internal bool, [error_code i16, partition i32, leader i32, leader_epoch i32,
 *   [replica i32], [isr i32], [offline i32]]]`
 */
export const metadataV7: Api<MetadataCall, MetadataResponse> = {
  key: 3,
  version: 7,
  name: 'Metadata',
  encode(writer, { topics, allowAutoTopicCreation }) {
    if (topics === null) writer.int32(-1)
    else writer.array(topics, topic => writer.string(topic))
    writer.boolean(allowAutoTopicCreation)
  },
  decode(reader) {
    return {
      throttleTimeMs: reader.int32(),
      brokers: reader.array(12, () => ({
        nodeId: reader.int32(),
        host: reader.string(),
        port: reader.int32(),
        rack: reader.nullableString()
      })),
      clusterId: reader.nullableString(),
      controllerId: reader.int32(),
      topics: reader.array(9, () => readTopic(reader))
    }
  }
}

const readTopic = (reader: ResponseReader): TopicMetadata => ({
  errorCode: reader.int16(),
  topic: reader.string(),
  isInternal: reader.boolean(),
  partitions: reader.array(26, () => readPartition(reader)).sort((a, b) => a.partition - b.partition)
})

const readPartition = (reader: ResponseReader): PartitionMetadata => ({
  errorCode: reader.int16(),
  partition: reader.int32(),
  leaderId: reader.int32(),
  leaderEpoch: reader.int32(),
  replicas: readIds(reader),
  isr: readIds(reader),
  offlineReplicas: readIds(reader)
})

const readIds = (reader: ResponseReader): number[] => reader.array(4, () => reader.int32())
