import { status } from '@grpc/grpc-js'
import type { Gateway, GroupOffset, TopicMetadata } from '../../../gateway/gateway.js'
import { sparseAcksOf } from '../../../gateway/offsets.js'
import { errorCodes } from '../../../kafka/error-codes.js'
import {
  CONFIG_VERSION,
  configsOf,
  lagOf,
  NO_OFFSET,
  NoReadersError,
  readersOf,
  type TopicConfigs,
  UNKNOWN_TOPIC
} from '../groups.js'
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

/** The methods about offsets, topics and consumers. */
export class LookUps {
  readonly #timeoutMs: number

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs
  }

  async getOffsets(gateway: Gateway, { group, topic }: ToGroup): Promise<GetOffsetsRs> {
    const offsets = await gateway.groups.offsets(group, topic, this.#timeoutMs)
    if (offsets === undefined) throw unknownTopic()
    return { offsets: offsets.map(toPartitionOffset) }
  }

  async setOffsets(gateway: Gateway, { group, topic, offsets }: SetOffsetsRq): Promise<object> {
    if (offsets.some(({ partition }) => partition < 0)) throw unknownTopic()
    const changes = new Map(offsets.map(({ partition, offset, metadata }) => [partition, { offset, metadata }]))
    const outcomes = await gateway.groups.commit(group, topic, changes, this.#timeoutMs)
    if ([...outcomes.values()].includes('unknownTopicOrPartition')) throw unknownTopic()
    return {}
  }

  /** @param isListed whether the client may see a topic */
  async listTopics(
    gateway: Gateway,
    { with_partitions }: ListTopicRq,
    isListed: (topic: string) => boolean
  ): Promise<ListTopicRs> {
    const all = await gateway.topics('all', this.#timeoutMs)
    const topics = new Map([...all].filter(([topic]) => isListed(topic)))
    const configs = await configsOf(gateway, [...topics.keys()], this.#timeoutMs)
    const described = [...topics].map(([name, topic]) => [name, toMetadata(topic, configs, with_partitions)] as const)
    return { topics: Object.fromEntries(described) }
  }

  async getTopicMetadata(
    gateway: Gateway,
    { topic, with_partitions }: GetTopicMetadataRq
  ): Promise<GetTopicMetadataRs> {
    const found = (await gateway.topics([topic], this.#timeoutMs)).get(topic)
    if (!found || found.errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION) throw unknownTopic()
    return toMetadata(found, await configsOf(gateway, [topic], this.#timeoutMs), with_partitions)
  }

  /** @param isListed whether the client may see a group that reads the topic */
  async listConsumers(
    gateway: Gateway,
    { topic, group }: ToGroup,
    isListed: (group: string) => boolean
  ): Promise<ListConsumersRs> {
    const asked = { topic, group: group === '' ? undefined : group }
    const groups = await readersOf(gateway, asked, isListed, this.#timeoutMs).catch(asStatus)
    return {
      groups: Object.fromEntries([...groups].map(([name, clients]) => [name, { consumers: toConsumers(clients) }]))
    }
  }
}

const notFound = (details: string): StatusError => new StatusError(status.NOT_FOUND, details)
const unknownTopic = (): StatusError => notFound(UNKNOWN_TOPIC)

function toPartitionOffset(place: GroupOffset): PartitionOffset {
  const { partition, earliest: begin, latest: end, committed } = place
  const { offset = NO_OFFSET, metadata = '' } = committed ?? {}
  const lag = lagOf(place)
  const sparse_acks = sparseAcksOf({ offset, metadata })
  return { partition, begin, end, count: end - begin, offset, lag, metadata, sparse_acks }
}

const toMetadata = (
  { topic, partitions }: TopicMetadata,
  configs: TopicConfigs,
  withPartitions: boolean
): GetTopicMetadataRs => ({
  version: CONFIG_VERSION,
  config: Object.fromEntries(configs.get(topic) ?? []),
  partitions: withPartitions
    ? partitions.map(({ partition, leaderId: leader, replicas, isr }) => ({ partition, leader, replicas, isr }))
    : []
})

const toConsumers = (clients: ReadonlyMap<string, readonly number[]>) =>
  Object.fromEntries([...clients].map(([name, partitions]) => [name, { partitions }]))

function asStatus(error: unknown): never {
  throw error instanceof NoReadersError ? notFound(error.message) : error
}
