import { errors } from '../protocol/error-codes.js'
import { NO_LEADER, type Partition } from '../topics/partition.js'
import { isLegalTopicName } from '../topics/topic-name.js'
import type { Topic } from '../topics/topic-table.js'
import { type Call, defineApi } from './api.js'

/** "Not asked for", as Kafka writes it. */
const NO_AUTHORIZED_OPERATIONS = -2147483648

interface MetadataRequest {
  /** `null`: all. */
  readonly topics: readonly string[] | null
  readonly allowAutoTopicCreation: boolean
}

export const metadata = defineApi<MetadataRequest>({
  key: 3,
  name: 'Metadata',
  minVersion: 0,
  maxVersion: 8,
  read(reader, version) {
    const topics = reader.nullableArray(() => reader.string())
    const allowAutoTopicCreation = version >= 4 ? reader.boolean() : true
    // Version 0 has no null: nothing named means all.
    return { topics: version === 0 && topics?.length === 0 ? null : topics, allowAutoTopicCreation }
  },
  targets: ({ topics }, cluster) =>
    (topics ?? cluster.topics.all().map(({ name }) => name)).flatMap(topic => {
      const partitions = cluster.topics.get(topic)?.partitions
      return partitions?.map(({ index }) => ({ topic, partition: index })) ?? [{ topic }]
    }),
  answer({ topics, allowAutoTopicCreation }, call) {
    const { cluster, response, version } = call
    if (version >= 3) response.int32(0)
    response.array(cluster.liveNodes, node => {
      response.int32(node.nodeId).string(node.host).int32(node.port)
      if (version >= 1) response.nullableString(node.rack)
    })
    if (version >= 2) response.nullableString(cluster.clusterId)
    if (version >= 1) response.int32(cluster.controllerId)
    const names = topics === null ? cluster.topics.all().map(({ name }) => name) : [...new Set(topics)]
    response.array(names, name => writeTopic(call, name, allowAutoTopicCreation))
    if (version >= 8) response.int32(NO_AUTHORIZED_OPERATIONS)
  }
})

function writeTopic({ cluster, faults, response, version }: Call, name: string, mayCreate: boolean): void {
  const injected = faults.before(name)
  const topic = injected ? undefined : cluster.topics.get(name)
  response.int16(injected || faults.after(name) || errorOf(name, topic))
  response.string(name)
  if (version >= 1) response.boolean(false)
  response.array(topic?.partitions ?? [], partition => {
    const code = faults.before(name, partition.index) || faults.after(name, partition.index)
    writePartition(partition, code)
  })
  if (version >= 8) response.int32(NO_AUTHORIZED_OPERATIONS)
  if (!topic && !injected && mayCreate) cluster.autoCreate(name)

  function writePartition(partition: Partition, injectedCode: number): void {
    const leaderId = injectedCode ? NO_LEADER : partition.leaderId
    response.int16(injectedCode || (leaderId === NO_LEADER ? errors.leaderNotAvailable : errors.none))
    response.int32(partition.index).int32(leaderId)
    if (version >= 7) response.int32(partition.leaderEpoch)
    response.array(partition.replicas, id => response.int32(id))
    response.array(cluster.inSyncReplicas(partition), id => response.int32(id))
    if (version >= 5)
      response.array(
        partition.replicas.filter(id => !cluster.isAlive(id)),
        id => response.int32(id)
      )
  }
}

function errorOf(name: string, topic: Topic | undefined): number {
  if (topic) return errors.none
  return isLegalTopicName(name) ? errors.unknownTopicOrPartition : errors.invalidTopic
}
