import { isLegalTopicName } from '../../core/model.js'
import { messageOf } from '../../core/node-errors.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { ServedCluster } from '../cluster.js'
import { TopicConfig } from '../topics/topic-config.js'
import { NO_TOPIC_ID, type Topic } from '../topics/topic-table.js'
import { type Call, defineApi, type ServedApi } from './api.js'
import { SOURCE_DEFAULT, SOURCE_TOPIC } from './configs.js'

interface TopicRefusal {
  readonly errorCode: number
  readonly message: string | null
}
const refuse = (errorCode: number, message: string): TopicRefusal => ({ errorCode, message })
const MAX_PARTITIONS = 10_000

/** Returns the refusal by a fault, or the refusal when another node is the controller. */
function controllerRefusal({ cluster, faults, nodeId }: Call, topic: string): TopicRefusal | undefined {
  const injected = faults.before(topic)
  if (injected) return { errorCode: injected, message: null }
  return cluster.controllerId === nodeId
    ? undefined
    : refuse(errorCodes.NOT_CONTROLLER, 'another node is the controller')
}

interface TopicToCreate {
  readonly name: string
  readonly partitions: number
  readonly replicationFactor: number
  readonly assignments: readonly { readonly partition: number; readonly replicas: readonly number[] }[]
  readonly configs: readonly (readonly [string, string | null])[]
}

const createTopics = defineApi({
  key: 19,
  name: 'CreateTopics',
  minVersion: 2,
  maxVersion: 7,
  flexibleFrom: 5,
  read(reader) {
    const topics = reader.structs(() => ({
      name: reader.string(),
      partitions: reader.int32(),
      replicationFactor: reader.int16(),
      assignments: reader.structs(() => ({ partition: reader.int32(), replicas: reader.array(() => reader.int32()) })),
      configs: reader.structs(() => [reader.string(), reader.nullableString()] as const)
    }))
    reader.int32()
    return { topics, isValidateOnly: reader.boolean() }
  },
  targets: ({ topics }) => topics.map(({ name }) => ({ topic: name })),
  answer({ topics, isValidateOnly }, call) {
    const { response, version, faults } = call
    response.int32(0)
    response.structs(topics, topic => {
      const outcome = controllerRefusal(call, topic.name) ?? createOne(call.cluster, topic, isValidateOnly)
      const created = outcome || isValidateOnly ? undefined : call.cluster.topics.get(topic.name)
      response.string(topic.name)
      if (version >= 7) response.uuid(created?.id ?? NO_TOPIC_ID)
      response.int16(faults.after(topic.name) || (outcome?.errorCode ?? errorCodes.NONE))
      response.nullableString(outcome?.message ?? null)
      if (version >= 5) writeCreated(call, created)
    })
  }
})

function writeCreated({ response }: Call, topic: Topic | undefined): void {
  response.int32(topic?.partitions.length ?? -1).int16(topic?.partitions[0]?.replicas.length ?? -1)
  const config = topic?.config
  response.structs(config ? [...TopicConfig.names] : [], name => {
    response
      .string(name)
      .nullableString(config!.get(name) ?? null)
      .boolean(false)
    response.int8(config!.isDefault(name) ? SOURCE_DEFAULT : SOURCE_TOPIC).boolean(false)
  })
}

function createOne(cluster: ServedCluster, topic: TopicToCreate, isValidateOnly: boolean): TopicRefusal | undefined {
  const refusal = nameRefusal(cluster, topic.name) ?? configRefusal(topic.configs) ?? sizeRefusal(cluster, topic)
  if (refusal || isValidateOnly) return refusal
  const config = new Map(topic.configs as [string, string][])
  return stored(() => cluster.createAssignedTopic(topic.name, replicasOf(cluster, topic), config))
}

/** Makes a change. Returns a refusal when the storage fails. */
function stored(change: () => void): TopicRefusal | undefined {
  try {
    change()
    return undefined
  } catch (error) {
    return refuse(errorCodes.KAFKA_STORAGE_ERROR, `the storage fails: ${messageOf(error)}`)
  }
}

function nameRefusal(cluster: ServedCluster, name: string): TopicRefusal | undefined {
  if (!isLegalTopicName(name)) return refuse(errorCodes.INVALID_TOPIC_EXCEPTION, `'${name}' is not a legal topic name`)
  if (cluster.topics.get(name)) return refuse(errorCodes.TOPIC_ALREADY_EXISTS, `Topic '${name}' already exists.`)
  const other = cluster.topics.collidingWith(name)
  return other === undefined
    ? undefined
    : refuse(errorCodes.INVALID_TOPIC_EXCEPTION, `Topic '${name}' collides with existing topic: ${other}`)
}

function configRefusal(configs: TopicToCreate['configs']): TopicRefusal | undefined {
  for (const [name, value] of configs) {
    const problem = TopicConfig.problem(name, value)
    if (problem) return refuse(errorCodes.INVALID_CONFIG, problem)
  }
  return undefined
}

function sizeRefusal(
  cluster: ServedCluster,
  { partitions, replicationFactor, assignments }: TopicToCreate
): TopicRefusal | undefined {
  if (assignments.length > 0) {
    const known = new Set(cluster.nodes.map(({ nodeId }) => nodeId))
    const isGood = assignments.every(({ replicas }) => areReplicas(replicas, known))
    const numbers = new Set(assignments.map(({ partition }) => partition))
    const isDense = numbers.size === assignments.length && assignments.every((_, index) => numbers.has(index))
    const isEven = new Set(assignments.map(({ replicas }) => replicas.length)).size === 1
    if (!isGood || !isDense || !isEven)
      return refuse(errorCodes.INVALID_REPLICA_ASSIGNMENT, 'the replica assignment is invalid')
  }
  const count = partitionsOf(cluster, { partitions, assignments })
  if (count < 1 || count > MAX_PARTITIONS) {
    return refuse(errorCodes.INVALID_PARTITIONS, `Number of partitions must be between 1 and ${MAX_PARTITIONS}.`)
  }
  const nodes = cluster.nodes.length
  if (replicationFactor !== -1 && (replicationFactor < 1 || replicationFactor > nodes)) {
    return refuse(
      errorCodes.INVALID_REPLICATION_FACTOR,
      `Replication factor ${replicationFactor} with ${nodes} brokers.`
    )
  }
  const problem = cluster.capacityProblem(1, count)
  return problem === undefined ? undefined : refuse(errorCodes.POLICY_VIOLATION, problem)
}

/** True when each replica is a known broker, and no broker occurs twice. */
const areReplicas = (replicas: readonly number[], known: ReadonlySet<number>): boolean =>
  replicas.length > 0 && replicas.every(id => known.has(id)) && new Set(replicas).size === replicas.length

function partitionsOf(
  cluster: ServedCluster,
  { partitions, assignments }: Pick<TopicToCreate, 'partitions' | 'assignments'>
) {
  if (assignments.length > 0) return assignments.length
  return partitions === -1 ? cluster.options.defaultPartitions : partitions
}

function replicasOf(cluster: ServedCluster, topic: TopicToCreate): number[][] {
  const { replicationFactor, assignments } = topic
  if (assignments.length > 0) {
    return [...assignments].sort((one, other) => one.partition - other.partition).map(({ replicas }) => [...replicas])
  }
  const factor = replicationFactor === -1 ? Math.min(3, cluster.nodes.length) : replicationFactor
  return Array.from({ length: partitionsOf(cluster, topic) }, (_, index) => cluster.assignReplicas(index, factor))
}

/** A topic to delete, by its name, or by its id when the name is null. */
interface DoomedTopic {
  readonly name: string | null
  readonly id: string
}
/** First version in which topics can be named by id. */
const DELETION_BY_ID_SINCE = 6

const deleteTopics = defineApi({
  key: 20,
  name: 'DeleteTopics',
  minVersion: 1,
  maxVersion: 6,
  flexibleFrom: 4,
  read(reader, version) {
    const topics =
      version >= DELETION_BY_ID_SINCE
        ? reader.structs(() => ({ name: reader.nullableString(), id: reader.uuid() }))
        : reader.array(() => ({ name: reader.string(), id: NO_TOPIC_ID }))
    reader.int32()
    return { topics }
  },
  targets: ({ topics }, cluster) =>
    topics.flatMap(doomed => {
      const name = nameOf(cluster, doomed)
      return name === null ? [] : [{ topic: name }]
    }),
  answer({ topics }, call) {
    const { response, version } = call
    response.int32(0)
    response.structs(topics, doomed => {
      const name = nameOf(call.cluster, doomed)
      const id = (name === null ? undefined : call.cluster.topics.get(name)?.id) ?? doomed.id
      const errorCode = name === null ? errorCodes.UNKNOWN_TOPIC_ID : deleteOne(call, name)
      response.nullableString(name)
      if (version >= DELETION_BY_ID_SINCE) response.uuid(id)
      response.int16(errorCode)
      if (version >= 5) response.nullableString(null)
    })
  }
})

const nameOf = (cluster: ServedCluster, { name, id }: DoomedTopic): string | null =>
  name ?? cluster.topics.byId(id)?.name ?? null

function deleteOne(call: Call, name: string): number {
  const deleted = () => (call.cluster.deleteTopic(name) ? errorCodes.NONE : errorCodes.UNKNOWN_TOPIC_OR_PARTITION)
  const errorCode = controllerRefusal(call, name)?.errorCode ?? deleted()
  return call.faults.after(name) || errorCode
}

interface Growth {
  readonly name: string
  readonly partitions: number
  readonly assignments: readonly (readonly number[])[] | null
}

const createPartitions = defineApi({
  key: 37,
  name: 'CreatePartitions',
  minVersion: 0,
  maxVersion: 3,
  flexibleFrom: 2,
  read(reader) {
    const topics = reader.structs(() => ({
      name: reader.string(),
      partitions: reader.int32(),
      assignments: reader.nullableStructs(() => reader.array(() => reader.int32()))
    }))
    reader.int32()
    return { topics, isValidateOnly: reader.boolean() }
  },
  targets: ({ topics }) => topics.map(({ name }) => ({ topic: name })),
  answer({ topics, isValidateOnly }, call) {
    const { response, faults } = call
    response.int32(0)
    response.structs(topics, growth => {
      const outcome = controllerRefusal(call, growth.name) ?? growOne(call.cluster, growth, isValidateOnly)
      response.string(growth.name).int16(faults.after(growth.name) || (outcome?.errorCode ?? errorCodes.NONE))
      response.nullableString(outcome?.message ?? null)
    })
  }
})

function growOne(cluster: ServedCluster, growth: Growth, isValidateOnly: boolean): TopicRefusal | undefined {
  const topic = cluster.topics.get(growth.name)
  if (!topic) return refuse(errorCodes.UNKNOWN_TOPIC_OR_PARTITION, 'This server does not host this topic-partition.')
  const current = topic.partitions.length
  if (growth.partitions <= current || growth.partitions > MAX_PARTITIONS) {
    const message = `Topic currently has ${current} partitions, ${growth.partitions} would not be an increase.`
    return refuse(errorCodes.INVALID_PARTITIONS, message)
  }
  if (growth.assignments && growth.assignments.length !== growth.partitions - current) {
    return refuse(errorCodes.INVALID_REPLICA_ASSIGNMENT, 'one assignment per new partition is needed')
  }
  const known = new Set(cluster.nodes.map(({ nodeId }) => nodeId))
  if (growth.assignments?.some(replicas => !areReplicas(replicas, known))) {
    return refuse(errorCodes.INVALID_REPLICA_ASSIGNMENT, 'the replica assignment names an unknown broker')
  }
  const problem = cluster.capacityProblem(0, growth.partitions - current)
  if (problem !== undefined) return refuse(errorCodes.POLICY_VIOLATION, problem)
  if (isValidateOnly) return undefined
  return stored(() => cluster.growTopic(topic, growth.partitions, growth.assignments ?? undefined))
}

/** No partition is ever being moved: another leader takes over at once, because all nodes have one log. */
const listPartitionReassignments = defineApi({
  key: 46,
  name: 'ListPartitionReassignments',
  minVersion: 0,
  maxVersion: 0,
  flexibleFrom: 0,
  read(reader) {
    reader.int32()
    const readTopic = () => ({ topic: reader.string(), partitions: reader.array(() => reader.int32()) })
    return { topics: reader.nullableStructs(readTopic) }
  },
  answer(_, { response, faults }) {
    response
      .int32(0)
      .int16(faults.before() || faults.after())
      .nullableString(null)
    response.structs([], () => undefined)
  }
})

export const topicAdmin: readonly ServedApi[] = [
  createTopics,
  deleteTopics,
  createPartitions,
  listPartitionReassignments
]
