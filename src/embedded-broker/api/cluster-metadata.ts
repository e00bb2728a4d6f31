import { isLegalTopicName } from '../../core/model.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { NO_LEADER } from '../topics/partition.js'
import { type ClusterImage, NO_TOPIC_ID, type PartitionImage, type TopicImage } from '../topics/topic-table.js'
import { advertisedHost, type Call, defineApi, NO_AUTHORIZED_OPERATIONS, type ServedApi } from './api.js'

/** A requested topic: its name, or its id when the name is null. */
interface AskedTopic {
  readonly name: string | null
  readonly id: string
}
/** Without ACLs everything is allowed. A bit for each operation on topics, as in Kafka. */
const ALL_OPERATIONS = 0xdf8

interface MetadataRequest {
  /** `null`: all topics. */
  readonly topics: readonly AskedTopic[] | null
  readonly allowAutoTopicCreation: boolean
  readonly withTopicOperations: boolean
}

/** A topic in the answer; `topic` is absent when it does not exist. */
interface LookedTopic {
  readonly name: string | null
  readonly id: string
  readonly topic: TopicImage | undefined
}

const metadata = defineApi<MetadataRequest>({
  key: 3,
  name: 'Metadata',
  minVersion: 0,
  maxVersion: 12,
  flexibleFrom: 9,
  read(reader, version) {
    const topics = reader.nullableStructs(() => ({
      id: version >= 10 ? reader.uuid() : NO_TOPIC_ID,
      name: version >= 10 ? reader.nullableString() : reader.string()
    }))
    const allowAutoTopicCreation = version >= 4 ? reader.boolean() : true
    if (version >= 8 && version <= 10) reader.boolean()
    const withTopicOperations = version >= 8 && reader.boolean()
    // Version 0 has no null: an empty list means all topics.
    return {
      topics: version === 0 && topics?.length === 0 ? null : topics,
      allowAutoTopicCreation,
      withTopicOperations
    }
  },
  targets: (request, cluster) =>
    lookUp(request, cluster.image).flatMap(({ name, topic }) => {
      const partitions = topic?.partitions.map(({ index }) => ({ topic: topic.name, partition: index }))
      return partitions ?? (name === null ? [] : [{ topic: name }])
    }),
  answer(request, call) {
    const { cluster, nodeId, response, version } = call
    const image = cluster.imageOf(nodeId)
    if (version >= 3) response.int32(0)
    response.structs(image.liveNodes, node => {
      response.int32(node.nodeId).string(advertisedHost(call, node)).int32(node.port)
      if (version >= 1) response.nullableString(node.rack)
    })
    if (version >= 2) response.nullableString(cluster.clusterId)
    if (version >= 1) response.int32(image.controllerId)
    response.structs(lookUp(request, image), looked => writeTopic(call, looked, request))
    if (version >= 8 && version <= 10) response.int32(NO_AUTHORIZED_OPERATIONS)
  }
})

/** Returns each topic once, even when it is requested several times. */
function lookUp({ topics }: MetadataRequest, image: ClusterImage): LookedTopic[] {
  const known = (topic: TopicImage): LookedTopic => ({ name: topic.name, id: topic.id, topic })
  if (topics === null) return image.all().map(known)
  const found = new Map<string, LookedTopic>()
  for (const { name, id } of topics) {
    const topic = name === null ? image.topicById(id) : image.topic(name)
    const unknownId = name === null ? id : NO_TOPIC_ID
    found.set(topic?.name ?? name ?? `id ${id}`, topic ? known(topic) : { name, id: unknownId, topic: undefined })
  }
  return [...found.values()]
}

function writeTopic({ cluster, faults, response, version }: Call, looked: LookedTopic, request: MetadataRequest): void {
  const { name } = looked
  const injected = name === null ? 0 : faults.before(name)
  const topic = injected ? undefined : looked.topic
  response.int16(injected || (name !== null && faults.after(name)) || errorOf(looked))
  // Before version 12 a name cannot be null.
  response.nullableString(version < 12 ? (name ?? '') : name)
  if (version >= 10) response.uuid(injected ? NO_TOPIC_ID : looked.id)
  if (version >= 1) response.boolean(false)
  response.structs(topic?.partitions ?? [], partition => {
    const code = faults.before(topic!.name, partition.index) || faults.after(topic!.name, partition.index)
    writePartition(partition, code)
  })
  if (version >= 8) response.int32(request.withTopicOperations && topic ? ALL_OPERATIONS : NO_AUTHORIZED_OPERATIONS)
  if (!topic && !injected && request.allowAutoTopicCreation && name !== null) cluster.autoCreate(name)

  function writePartition(partition: PartitionImage, injectedCode: number): void {
    const leaderId = injectedCode ? NO_LEADER : partition.leaderId
    response.int16(injectedCode || (leaderId === NO_LEADER ? errorCodes.LEADER_NOT_AVAILABLE : errorCodes.NONE))
    response.int32(partition.index).int32(leaderId)
    if (version >= 7) response.int32(partition.leaderEpoch)
    response.array(partition.replicas, id => response.int32(id))
    response.array(partition.inSync, id => response.int32(id))
    if (version >= 5) response.array(partition.offline, id => response.int32(id))
  }
}

function errorOf({ name, topic }: LookedTopic): number {
  if (topic) return errorCodes.NONE
  if (name === null) return errorCodes.UNKNOWN_TOPIC_ID
  return isLegalTopicName(name) ? errorCodes.UNKNOWN_TOPIC_OR_PARTITION : errorCodes.INVALID_TOPIC_EXCEPTION
}

const BROKERS = 1

const describeCluster = defineApi({
  key: 60,
  name: 'DescribeCluster',
  minVersion: 0,
  maxVersion: 1,
  flexibleFrom: 0,
  read(reader, version) {
    reader.boolean()
    return { endpointType: version >= 1 ? reader.int8() : BROKERS }
  },
  answer({ endpointType }, call) {
    const { cluster, response, faults, version } = call
    const refusal = endpointType === BROKERS ? errorCodes.NONE : errorCodes.UNSUPPORTED_ENDPOINT_TYPE
    const errorCode = faults.before() || refusal
    response
      .int32(0)
      .int16(errorCode || faults.after())
      .nullableString(null)
    if (version >= 1) response.int8(endpointType)
    response.string(cluster.clusterId).int32(cluster.controllerId)
    response.structs(errorCode ? [] : cluster.liveNodes, node =>
      response.int32(node.nodeId).string(advertisedHost(call, node)).int32(node.port).nullableString(node.rack)
    )
    response.int32(NO_AUTHORIZED_OPERATIONS)
  }
})

/** First version with several keys per request. */
const MANY_KEYS_SINCE = 4
const GROUP = 0
const TRANSACTION = 1

const findCoordinator = defineApi({
  key: 10,
  name: 'FindCoordinator',
  minVersion: 0,
  maxVersion: 5,
  flexibleFrom: 3,
  read(reader, version) {
    const first = version < MANY_KEYS_SINCE ? [reader.string()] : undefined
    const keyType = version >= 1 ? reader.int8() : GROUP
    return { keys: first ?? reader.array(() => reader.string()), keyType }
  },
  answer({ keys, keyType }, call) {
    const { response, version } = call
    if (version >= 1) response.int32(0)
    if (version < MANY_KEYS_SINCE) return writeOne(call, keys[0]!, keyType)
    response.structs(keys, key => writeOfMany(call, key, keyType))
  }
})

function writeOne(call: Call, key: string, keyType: number): void {
  const { response, version } = call
  const { errorCode, message, node } = find(call, key, keyType)
  response.int16(errorCode)
  if (version >= 1) response.nullableString(message)
  response.int32(node.nodeId).string(node.host).int32(node.port)
}

function writeOfMany(call: Call, key: string, keyType: number): void {
  const { errorCode, message, node } = find(call, key, keyType)
  call.response.string(key).int32(node.nodeId).string(node.host).int32(node.port)
  call.response.int16(errorCode).nullableString(message)
}

const NOBODY = { nodeId: -1, host: '', port: -1 }

function find(call: Call, key: string, keyType: number) {
  const { cluster, faults } = call
  const injected = faults.before() || faults.after()
  const node = injected ? undefined : cluster.coordinatorOf(key)
  const isKnownType = keyType === GROUP || keyType === TRANSACTION
  const unavailable = node ? errorCodes.NONE : errorCodes.COORDINATOR_NOT_AVAILABLE
  const errorCode = injected || (isKnownType ? unavailable : errorCodes.INVALID_REQUEST)
  if (errorCode || !node) return { errorCode, message: 'the coordinator is not available', node: NOBODY }
  return { errorCode, message: null, node: { ...node, host: advertisedHost(call, node) } }
}

export const clusterMetadata: readonly ServedApi[] = [metadata, describeCluster, findCoordinator]
