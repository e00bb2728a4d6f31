import type { BrokerNode } from '../../core/model.js'
import type { AclOperation, MetadataCall, MetadataResponse, PartitionMetadata, TopicWithOperations } from '../calls.js'
import { describeApi, inVersions } from './api.js'
import { atMost, noMoreThanAsked, ZERO_UUID } from './encoding.js'
import * as t from './schema.js'

// Limits far above the size of any Kafka cluster. A response beyond them comes from a broken or hostile broker.
const brokersInAll = atMost(10_000, 'brokers')
const topicsInAll = noMoreThanAsked('topics', 500_000)
const partitionsInAll = atMost(1_000_000, 'partitions')

const broker: t.Field<BrokerNode> = t.struct({ nodeId: t.int32, host: t.string, port: t.int32, rack: t.nullableString })

const ids = t.array(t.int32)
/** Read without a table of its fields, because there are many. */
const partition: t.Field<PartitionMetadata> = {
  write() {},
  read(reader) {
    const read = {
      errorCode: reader.int16(),
      partition: reader.int32(),
      leaderId: reader.int32(),
      leaderEpoch: reader.int32(),
      replicas: ids.read(reader),
      isr: ids.read(reader),
      offlineReplicas: ids.read(reader)
    }
    reader.tags()
    return read
  }
}

/** Kafka's value for operations that were not asked for. */
export const NOT_REPORTED = -(2 ** 31)
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
export const operationsIn = (set: number): readonly AclOperation[] =>
  bits.filter(([bit]) => (set & (1 << bit)) !== 0).map(([, operation]) => operation)

type ReadTopic = Omit<TopicWithOperations, 'authorizedOperations'> & { readonly operations: number }

const partitions = t.array(partition, partitionsInAll)
/** Read without a table, too. */
const topicIn = (isFlexible: boolean): t.Field<ReadTopic> => ({
  write() {},
  read(reader) {
    const read = {
      errorCode: reader.int16(),
      topic: reader.string(),
      topicId: isFlexible ? t.uuid.read(reader) : undefined,
      isInternal: reader.boolean(),
      partitions: partitions.read(reader),
      operations: isFlexible ? reader.int32() : NOT_REPORTED
    }
    reader.tags()
    return read
  }
})

/** The topics that were asked for, with their partitions in order. */
function toldOf(topics: readonly ReadTopic[], call: MetadataCall): readonly TopicWithOperations[] {
  const asked = call.topics && new Set(call.topics)
  const told: TopicWithOperations[] = []
  for (const { operations, errorCode, topic, topicId, isInternal, partitions: read } of topics) {
    if (asked?.has(topic) === false) continue
    const partitions = read.length > 1 ? read.toSorted((a, b) => a.partition - b.partition) : read
    const plain = { errorCode, topic, topicId, isInternal, partitions }
    const isTold = call.withAuthorizedOperations && operations !== NOT_REPORTED
    told.push(isTold ? { ...plain, authorizedOperations: operationsIn(operations) } : plain)
  }
  return told
}

/** Versions 7, 10 (Kafka 2.8, flexible) with topic ids, and 12 (Kafka 3.1). */
export const [metadataV12, metadataV10, metadataV7] = inVersions([12, 10, 7], version => {
  const isFlexible = version >= 10
  return describeApi({
    key: 3,
    version,
    name: 'Metadata',
    isFlexible,
    request: t.struct({
      topics: t.orNull(
        t.array(t.struct({ _id: t.onlyIf(isFlexible, t.constant(t.uuid, ZERO_UUID), undefined), topic: t.string }))
      ),
      allowAutoTopicCreation: t.boolean,
      _clusterOperations: t.onlyIf(version === 10, t.constant(t.boolean, false), false),
      withAuthorizedOperations: t.onlyIf(isFlexible, t.boolean, false)
    }),
    requestOf: ({ topics, allowAutoTopicCreation, withAuthorizedOperations = false }: MetadataCall) => ({
      topics: topics === null ? null : topics.map(topic => ({ topic })),
      allowAutoTopicCreation,
      withAuthorizedOperations
    }),
    response: {
      brokers: t.array(broker, brokersInAll),
      clusterId: t.nullableString,
      controllerId: t.int32,
      topics: t.array(topicIn(isFlexible), topicsInAll),
      _clusterOperations: t.onlyIf(version === 10, t.int32, NOT_REPORTED)
    },
    asked: ({ topics }) => (topics === null ? undefined : new Set(topics).size),
    responseOf: ({ topics, ...rest }, call): MetadataResponse => ({ ...rest, topics: toldOf(topics, call) })
  })
})
