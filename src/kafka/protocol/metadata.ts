import { ProtocolError, ResponseTooLargeError } from '../../core/errors.js'
import type { BrokerNode } from '../../core/model.js'
import type {
  AclOperation,
  MetadataCall,
  MetadataResponse,
  PartitionMetadata,
  TopicMetadata,
  TopicWithOperations
} from '../calls.js'
import type { Api } from './api.js'
import { type ResponseReader, ZERO_UUID } from './encoding.js'

// Limits far above the size of any Kafka cluster. A response beyond them comes from a broken or hostile broker.
const MAX_BROKERS = 10_000
const MAX_TOPICS = 500_000
const MAX_PARTITIONS = 1_000_000

/** Adds up the lengths of the lists in a response before they are read, so that a response that is too large is refused early. */
class Bounds {
  readonly #asked: ReadonlySet<string> | undefined
  #partitions = 0

  constructor({ topics }: MetadataCall) {
    this.#asked = topics === null ? undefined : new Set(topics)
  }

  /** @throws ResponseTooLargeError when there are too many */
  readonly brokers = (count: number): void => {
    if (count > MAX_BROKERS) throw new ResponseTooLargeError(`${count} brokers (limit ${MAX_BROKERS})`)
  }

  /** @throws ProtocolError when there are more than were asked for */
  readonly topics = (count: number): void => {
    if (this.#asked && count > this.#asked.size) {
      throw new ProtocolError(`${count} topics, but only ${this.#asked.size} were asked for`)
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
 * Versions 7, 10 (Kafka 2.8, flexible) with topic ids, and 12 (Kafka 3.1).
 *
 * Request: `[(10: topic_id uuid,) name], allow_auto_topic_creation bool, (only 10: cluster_operations bool,)
 *   (10: topic_operations bool)`; topics null: all
 * Response: `throttle_time_ms i32, [node_id i32, host, port i32, rack?], cluster_id?, controller_id i32,
 *   [error_code i16, name, (10: topic_id uuid,) is_internal bool, [error_code i16, partition i32, leader i32,
 *   leader_epoch i32, [replica i32], [isr i32], [offline i32]], (10: authorized_operations i32)],
 *   (only 10: cluster_authorized_operations i32)`
 */
function metadata(version: 7 | 10 | 12): Api<MetadataCall, MetadataResponse> {
  const isFlexible = version >= 10
  const readBroker = (reader: ResponseReader): BrokerNode => {
    const broker = {
      nodeId: reader.int32(),
      host: reader.string(),
      port: reader.int32(),
      rack: reader.nullableString()
    }
    reader.tags()
    return broker
  }
  const readTopic = (reader: ResponseReader, bounds: Bounds, withOperations: boolean): TopicWithOperations => {
    const topic = {
      errorCode: reader.int16(),
      topic: reader.string(),
      topicId: isFlexible ? reader.uuid() : undefined,
      isInternal: reader.boolean(),
      partitions: reader.array(18, () => readPartition(reader), bounds.partitions).sort(byPartition)
    }
    const operations = isFlexible ? reader.int32() : NOT_REPORTED
    reader.tags()
    return withOperations && operations !== NOT_REPORTED
      ? { ...topic, authorizedOperations: operationsIn(operations) }
      : topic
  }
  return {
    key: 3,
    version,
    name: 'Metadata',
    isFlexible,
    encode(writer, { topics, allowAutoTopicCreation, withAuthorizedOperations = false }) {
      writer.nullableArray(topics, topic => {
        if (isFlexible) writer.uuid(ZERO_UUID)
        writer.string(topic)
        writer.tags()
      })
      writer.boolean(allowAutoTopicCreation)
      if (version === 10) writer.boolean(false)
      if (isFlexible) writer.boolean(withAuthorizedOperations)
      writer.tags()
    },
    decode(reader, call) {
      const bounds = new Bounds(call)
      const withOperations = call.withAuthorizedOperations === true
      const response = {
        throttleTimeMs: reader.int32(),
        brokers: reader.array(11, () => readBroker(reader), bounds.brokers),
        clusterId: reader.nullableString(),
        controllerId: reader.int32(),
        topics: reader
          .array(9, () => readTopic(reader, bounds, withOperations), bounds.topics)
          .filter(bounds.isAskedFor)
      }
      if (version === 10) reader.int32()
      reader.tags()
      return response
    }
  }
}

export const metadataV7 = metadata(7)
export const metadataV10: Api<MetadataCall, MetadataResponse> = { ...metadata(10), older: metadataV7 }
export const metadataV12: Api<MetadataCall, MetadataResponse> = { ...metadata(12), older: metadataV10 }

function readPartition(reader: ResponseReader): PartitionMetadata {
  const partition = {
    errorCode: reader.int16(),
    partition: reader.int32(),
    leaderId: reader.int32(),
    leaderEpoch: reader.int32(),
    replicas: readIds(reader),
    isr: readIds(reader),
    offlineReplicas: readIds(reader)
  }
  reader.tags()
  return partition
}

/** Kafka's value for operations that were not asked for. */
const NOT_REPORTED = -(2 ** 31)
const bits: readonly (readonly [bit: number, operation: AclOperation])[] = [
  [3, 'READ'],
  [4, 'WRITE'],
  [5, 'CREATE'],
  [6, 'DELETE'],
  [7, 'ALTER'],
  [8, 'DESCRIBE'],
  [10, 'DESCRIBE_CONFIGS'],
  [11, 'ALTER_CONFIGS']
]
const operationsIn = (set: number): readonly AclOperation[] =>
  bits.filter(([bit]) => (set & (1 << bit)) !== 0).map(([, operation]) => operation)

const readIds = (reader: ResponseReader): number[] => reader.array(4, () => reader.int32())

const byPartition = (a: PartitionMetadata, b: PartitionMetadata): number => a.partition - b.partition
