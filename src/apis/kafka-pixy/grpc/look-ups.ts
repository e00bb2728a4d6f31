import { status } from '@grpc/grpc-js'
import type { Gateway, GroupOffset, GroupReader, TopicMetadata } from '../../../gateway/gateway.js'
import { sparseAcksOf } from '../../../gateway/sparse-acks.js'
import { errorCodes } from '../../../kafka/error-codes.js'
import { lagOf } from '../lag.js'
import { partitionsByClient } from '../reader-names.js'
import type {
  GetOffsetsRs,
  GetTopicMetadataRq,
  GetTopicMetadataRs,
  ListConsumersRs,
  ListTopicRq,
  ListTopicRs,
  PartitionOffset,
  SetOffsetsRq,
  ToGroup
} from './messages.js'
import { StatusError } from './statuses.js'

const UNKNOWN_TOPIC = 'Unknown topic'
/** What a group that has committed nothing has for an offset. */
const NONE = -1
/** Of the document in which Kafka-Pixy found the settings of a topic. */
const CONFIG_VERSION = 1

/** The methods about offsets, topics and consumers. */
export class LookUps {
  readonly #timeoutMs: number

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs
  }

  async getOffsets(gateway: Gateway, { group, topic }: ToGroup): Promise<GetOffsetsRs> {
    const offsets = await gateway.offsets(group, topic, this.#timeoutMs)
    if (offsets === undefined) throw unknownTopic()
    return { offsets: offsets.map(toPartitionOffset) }
  }

  async setOffsets(gateway: Gateway, { group, topic, offsets }: SetOffsetsRq): Promise<object> {
    if (offsets.some(({ partition }) => partition < 0)) throw unknownTopic()
    const changes = new Map(offsets.map(({ partition, offset, metadata }) => [partition, { offset, metadata }]))
    const outcomes = await gateway.commit(group, topic, changes, this.#timeoutMs)
    if ([...outcomes.values()].includes('unknownTopicOrPartition')) throw unknownTopic()
    return {}
  }

  /** @param isListed whether the client may be told of a topic */
  async listTopics(
    gateway: Gateway,
    { with_partitions }: ListTopicRq,
    isListed: (topic: string) => boolean
  ): Promise<ListTopicRs> {
    const all = await gateway.topics('all', this.#timeoutMs)
    const topics = new Map([...all].filter(([topic]) => isListed(topic)))
    const configs = await this.#configs(gateway, [...topics.keys()])
    const described = [...topics].map(([name, topic]) => [name, toMetadata(topic, configs, with_partitions)] as const)
    return { topics: Object.fromEntries(described) }
  }

  async getTopicMetadata(
    gateway: Gateway,
    { topic, with_partitions }: GetTopicMetadataRq
  ): Promise<GetTopicMetadataRs> {
    const found = (await gateway.topics([topic], this.#timeoutMs)).get(topic)
    if (!found || found.errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION) throw unknownTopic()
    return toMetadata(found, await this.#configs(gateway, [topic]), with_partitions)
  }

  /** @param isListed whether the client may be told of a group that reads the topic */
  async listConsumers(
    gateway: Gateway,
    { topic, group }: ToGroup,
    isListed: (group: string) => boolean
  ): Promise<ListConsumersRs> {
    const only = { topic, includes: isListed }
    const groups = await gateway.consumers(group === '' ? 'all' : [group], this.#timeoutMs, only)
    if (group !== '' && !groups.has(group)) throw notFound(`unknown consumer group ${group}`)
    const ofTopic = [...groups].map(([name, readers]) => [name, { consumers: consumersOf(readers, topic) }] as const)
    const reading = ofTopic.filter(([, { consumers }]) => Object.keys(consumers).length > 0)
    if (group !== '' && reading.length === 0) throw notFound(`topic ${topic} is not consumed by ${group}`)
    return { groups: Object.fromEntries(reading) }
  }

  #configs(gateway: Gateway, topics: readonly string[]): Promise<Configs> {
    return topics.length === 0 ? Promise.resolve(new Map()) : gateway.topicConfigs(topics, this.#timeoutMs)
  }
}

/** Settings that topics have for themselves, by topic. */
type Configs = ReadonlyMap<string, ReadonlyMap<string, string>>

const notFound = (details: string): StatusError => new StatusError(status.NOT_FOUND, details)
const unknownTopic = (): StatusError => notFound(UNKNOWN_TOPIC)

function toPartitionOffset(place: GroupOffset): PartitionOffset {
  const { partition, earliest: begin, latest: end, committed } = place
  const { offset = NONE, metadata = '' } = committed ?? {}
  const lag = lagOf(place)
  const sparse_acks = sparseAcksOf({ offset, metadata })
  return { partition, begin, end, count: end - begin, offset, lag, metadata, sparse_acks }
}

const toMetadata = (
  { topic, partitions }: TopicMetadata,
  configs: Configs,
  withPartitions: boolean
): GetTopicMetadataRs => ({
  version: CONFIG_VERSION,
  config: Object.fromEntries(configs.get(topic) ?? []),
  partitions: withPartitions
    ? partitions.map(({ partition, leaderId: leader, replicas, isr }) => ({ partition, leader, replicas, isr }))
    : []
})

const consumersOf = (readers: readonly GroupReader[], topic: string) =>
  Object.fromEntries(
    [...partitionsByClient(readers, topic)].map(([name, partitions]) => [name, { partitions }] as const)
  )
