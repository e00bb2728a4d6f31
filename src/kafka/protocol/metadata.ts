import { ProtocolError, ResponseTooLargeError } from '../../core/errors.js'
import type { BrokerNode } from '../../core/model.js'
import type { MetadataCall, MetadataResponse, PartitionMetadata, TopicMetadata } from '../calls.js'
import type { Api } from './api.js'
import type { ResponseReader } from './response-reader.js'

// Far more than a Kafka cluster can have. An answer with more comes from a broken or hostile broker.
const MAX_BROKERS = 10_000
const MAX_TOPICS = 500_000
const MAX_PARTITIONS = 1_000_000

/** Counts the parts of an answer before they are read, so that an answer that is too large is refused early. */
class Bounds {
  readonly #asked: ReadonlySet<string> | undefined
  #partitions = 0

  constructor({ topics }: MetadataCall) {
    this.#asked = topics === null ? undefined : new Set(topics)
  }

  /** @throws ResponseTooLargeError */
  readonly brokers = (count: number): void => {
    if (count > MAX_BROKERS) throw new ResponseTooLargeError(`${count} brokers (limit ${MAX_BROKERS})`)
  }

  /** @throws ProtocolError when there are more than were asked for */
  readonly topics = (count: number): void => {
    if (this.#asked && count > this.#asked.size) {
      throw new ProtocolError(`${count} topics, ${this.#asked.size} were asked for`)
    }
    if (count > MAX_TOPICS) throw new ResponseTooLargeError(`${count} topics (limit ${MAX_TOPICS})`)
  }

  /** @throws ResponseTooLargeError when there are too many in all */
  readonly partitions = (count: number): void => {
    this.#partitions += count
    if (this.#partitions > MAX_PARTITIONS) {
      throw new ResponseTooLargeError(`more than ${MAX_PARTITIONS} partitions`)
    }
  }

  readonly isAskedFor = ({ topic }: TopicMetadata): boolean => this.#asked?.has(topic) ?? true
}

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
  decode(reader, call) {
    const bounds = new Bounds(call)
    return {
      throttleTimeMs: reader.int32(),
      brokers: reader.array(12, () => readBroker(reader), bounds.brokers),
      clusterId: reader.nullableString(),
      controllerId: reader.int32(),
      topics: reader.array(9, () => readTopic(reader, bounds), bounds.topics).filter(bounds.isAskedFor)
    }
  }
}

/**
 * Versions 10 (Kafka 2.8) and 12 (Kafka 3.1), flexible, for they carry topic ids.
 *
 * Request: `[topic_id uuid, name?], allow_auto_topic_creation bool, (to version 10) cluster_operations bool,
 *   topic_operations bool`; topics null: all
 * Response: as version 7, in the compact encoding, with `topic_id uuid` after the topic's name,
 *   `authorized_operations i32` at the end of a topic, and to version 10 `cluster_authorized_operations i32` at the end
 */
const createFlexible = (version: 10 | 12, older: Api<MetadataCall, MetadataResponse>): typeof metadataV7 => ({
  key: 3,
  version,
  name: 'Metadata',
  isFlexible: true,
  older,
  encode(writer, { topics, allowAutoTopicCreation }) {
    writer.compactNullableArray(topics, topic => {
      writer.zeroUuid()
      writer.compactString(topic)
      writer.noTags()
    })
    writer.boolean(allowAutoTopicCreation)
    if (version <= LAST_WITH_CLUSTER_OPERATIONS) writer.boolean(false)
    writer.boolean(false)
    writer.noTags()
  },
  decode(reader, call) {
    const bounds = new Bounds(call)
    const response = {
      throttleTimeMs: reader.int32(),
      brokers: reader.compactArray(11, () => readFlexibleBroker(reader), bounds.brokers),
      clusterId: reader.compactNullableString(),
      controllerId: reader.int32(),
      topics: reader.compactArray(26, () => readFlexibleTopic(reader, bounds), bounds.topics).filter(bounds.isAskedFor)
    }
    if (version <= LAST_WITH_CLUSTER_OPERATIONS) reader.int32()
    reader.skipTags()
    return response
  }
})

const LAST_WITH_CLUSTER_OPERATIONS = 10

export const metadataV10 = createFlexible(10, metadataV7)
export const metadataV12 = createFlexible(12, metadataV10)

const readBroker = (reader: ResponseReader): BrokerNode => ({
  nodeId: reader.int32(),
  host: reader.string(),
  port: reader.int32(),
  rack: reader.nullableString()
})

const readTopic = (reader: ResponseReader, bounds: Bounds): TopicMetadata => ({
  errorCode: reader.int16(),
  topic: reader.string(),
  topicId: undefined,
  isInternal: reader.boolean(),
  partitions: reader.array(26, () => readPartition(reader), bounds.partitions).sort(byPartition)
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

function readFlexibleBroker(reader: ResponseReader): BrokerNode {
  const broker = {
    nodeId: reader.int32(),
    host: reader.compactString(),
    port: reader.int32(),
    rack: reader.compactNullableString()
  }
  reader.skipTags()
  return broker
}

function readFlexibleTopic(reader: ResponseReader, bounds: Bounds): TopicMetadata {
  const topic = {
    errorCode: reader.int16(),
    topic: reader.compactString(),
    topicId: reader.uuid(),
    isInternal: reader.boolean(),
    partitions: reader.compactArray(18, () => readFlexiblePartition(reader), bounds.partitions).sort(byPartition)
  }
  reader.int32()
  reader.skipTags()
  return topic
}

function readFlexiblePartition(reader: ResponseReader): PartitionMetadata {
  const partition = {
    errorCode: reader.int16(),
    partition: reader.int32(),
    leaderId: reader.int32(),
    leaderEpoch: reader.int32(),
    replicas: readFlexibleIds(reader),
    isr: readFlexibleIds(reader),
    offlineReplicas: readFlexibleIds(reader)
  }
  reader.skipTags()
  return partition
}

const readFlexibleIds = (reader: ResponseReader): number[] => reader.compactArray(4, () => reader.int32())

const byPartition = (a: PartitionMetadata, b: PartitionMetadata): number => a.partition - b.partition
