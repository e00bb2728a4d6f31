import { isLegalTopicName } from '../../core/model.js'
import { errors } from '../protocol/error-codes.js'
import { NO_LEADER } from '../topics/partition.js'
import { NO_TOPIC_ID } from '../topics/topic-id.js'
import type { ClusterImage, PartitionImage, TopicImage } from '../topics/topic-image.js'
import { advertisedHost, type Call, defineApi, NO_AUTHORIZED_OPERATIONS } from './api.js'

/** A requested topic: its name or, where that is null, its id. */
interface AskedTopic {
  readonly name: string | null
  readonly id: string
}
interface MetadataRequest {
  /** `null`: all. */
  readonly topics: readonly AskedTopic[] | null
  readonly allowAutoTopicCreation: boolean
}

/** A topic in the answer; `topic` is absent when it does not exist. */
interface Looked {
  readonly name: string | null
  readonly id: string
  readonly topic: TopicImage | undefined
}

export const metadata = defineApi<MetadataRequest>({
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
    if (version >= 8) reader.boolean()
    // Version 0 has no null: an empty list means all.
    return { topics: version === 0 && topics?.length === 0 ? null : topics, allowAutoTopicCreation }
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
    response.structs(lookUp(request, image), looked => writeTopic(call, looked, request.allowAutoTopicCreation))
    if (version >= 8 && version <= 10) response.int32(NO_AUTHORIZED_OPERATIONS)
  }
})

/** Each topic once, even when it is requested several times. */
function lookUp({ topics }: MetadataRequest, image: ClusterImage): Looked[] {
  const known = (topic: TopicImage): Looked => ({ name: topic.name, id: topic.id, topic })
  if (topics === null) return image.all().map(known)
  const found = new Map<string, Looked>()
  for (const { name, id } of topics) {
    const topic = name === null ? image.topicById(id) : image.topic(name)
    const unknownId = name === null ? id : NO_TOPIC_ID
    found.set(topic?.name ?? name ?? `id ${id}`, topic ? known(topic) : { name, id: unknownId, topic: undefined })
  }
  return [...found.values()]
}

function writeTopic({ cluster, faults, response, version }: Call, looked: Looked, mayCreate: boolean): void {
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
  if (version >= 8) response.int32(NO_AUTHORIZED_OPERATIONS)
  if (!topic && !injected && mayCreate && name !== null) cluster.autoCreate(name)

  function writePartition(partition: PartitionImage, injectedCode: number): void {
    const leaderId = injectedCode ? NO_LEADER : partition.leaderId
    response.int16(injectedCode || (leaderId === NO_LEADER ? errors.leaderNotAvailable : errors.none))
    response.int32(partition.index).int32(leaderId)
    if (version >= 7) response.int32(partition.leaderEpoch)
    response.array(partition.replicas, id => response.int32(id))
    response.array(partition.inSync, id => response.int32(id))
    if (version >= 5) response.array(partition.offline, id => response.int32(id))
  }
}

function errorOf({ name, topic }: Looked): number {
  if (topic) return errors.none
  if (name === null) return errors.unknownTopicId
  return isLegalTopicName(name) ? errors.unknownTopicOrPartition : errors.invalidTopic
}
