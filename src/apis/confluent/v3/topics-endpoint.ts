import type { AclOperation } from '../../../gateway/admin.js'
import type { TopicMetadata } from '../../../gateway/gateway.js'
import type { Operation } from '../../../http/access/access.js'
import { type Exchange, sentUrlOf } from '../../../http/exchange/exchange.js'
import { errorCodes } from '../../../kafka/error-codes.js'
import { callerOf, type EndpointParts, type Params } from '../endpoint-parts.js'
import type { LongList } from '../long-lists.js'
import {
  byBytes,
  noPartition,
  type Partition,
  ProblemError,
  requirePartition,
  requireTopic,
  type TimeLeft,
  unknownTopic
} from '../look-up.js'
import { type Links, part, type Resource } from './resources.js'
import { type Cluster, notFound, requireBroker, type V3LookUps } from './v3-look-ups.js'

/** The only value of `offset_type`. */
const BOTH_OFFSETS = 'earliest_and_latest'
const BAD_OFFSET_TYPE = { status: 400, code: 400, message: `offset_type must be ${BOTH_OFFSETS}` }

/** The published name, and the one that the original reads where it lists topics. Both are read on both routes. */
const operationsParameters = ['include_authorized_operations', 'includeAuthorizedOperations']
/** What a client needs by `access` for an operation of Kafka. */
const permissions: Readonly<Record<AclOperation, Operation>> = {
  READ: 'consume',
  WRITE: 'produce',
  CREATE: 'create',
  DELETE: 'delete',
  ALTER: 'alter',
  DESCRIBE: 'admin',
  DESCRIBE_CONFIGS: 'admin',
  ALTER_CONFIGS: 'alter'
}

const topicPath = (topic: string): string => `/topics/${part(topic)}`

/** Topics, their partitions and settings, of version 3. */
export class TopicsEndpoint {
  readonly #lookUps: V3LookUps

  constructor(lookUps: V3LookUps) {
    this.#lookUps = lookUps
  }

  topics(exchange: Exchange, params: Params): void {
    const { gateway } = this.#lookUps
    this.#lookUps.answer(exchange, params, {}, async ({ links, time }) => {
      const all = await gateway.topics('all', time.ms)
      const operations = await this.#operationsOn(exchange, 'all', time)
      const { parts } = this.#lookUps
      function* resources(): Iterable<Resource> {
        for (const topic of visibleTopics(parts, exchange, all)) {
          yield { ...topicJson(links, topic), ...operations(topic.topic) }
        }
      }
      return links.longList('KafkaTopic', '/topics', resources())
    })
  }

  topic(exchange: Exchange, params: Params): void {
    this.#answer(exchange, params, async ({ links, time }, found) => {
      const operations = await this.#operationsOn(exchange, [found.topic], time)
      return { ...topicJson(links, found), ...operations(found.topic) }
    })
  }

  partitions(exchange: Exchange, params: Params): void {
    this.#answer(exchange, params, async ({ links }, { topic, partitions }) => {
      function* resources(): Iterable<Resource> {
        for (const partition of partitions) yield partitionJson(links, topic, partition)
      }
      return links.longList('KafkaPartition', `${topicPath(topic)}/partitions`, resources())
    })
  }

  partition(exchange: Exchange, params: Params): void {
    this.#answer(exchange, params, async ({ links }, found) =>
      partitionJson(links, found.topic, requirePartition(found, params.partition_id ?? ''))
    )
  }

  replicas(exchange: Exchange, params: Params): void {
    this.#answer(exchange, params, async ({ links }, found) => {
      const partition = requirePartition(found, params.partition_id ?? '')
      return links.list(
        'KafkaReplica',
        `${topicPath(found.topic)}/partitions/${partition.partition}/replicas`,
        partition.replicas.map(broker => replicaJson(links, found.topic, partition, broker))
      )
    })
  }

  replica(exchange: Exchange, params: Params): void {
    this.#answer(exchange, params, async ({ links }, found) => {
      const partition = requirePartition(found, params.partition_id ?? '')
      const broker = partition.replicas.find(replica => String(replica) === params.broker_id)
      if (broker === undefined) throw notFound(`the partition has no replica on broker ${params.broker_id}`)
      return replicaJson(links, found.topic, partition, broker)
    })
  }

  offset(exchange: Exchange, params: Params): void {
    const { gateway } = this.#lookUps
    const type = queryOf(exchange).get('offset_type') ?? BOTH_OFFSETS
    this.#answer(exchange, params, async ({ links, time }, found) => {
      if (type !== BOTH_OFFSETS) throw new ProblemError(BAD_OFFSET_TYPE)
      const { topic } = found
      const { partition } = requirePartition(found, params.partition_id ?? '')
      const [ends] = await gateway.admin.logEnds([{ topic, partition }], time.ms)
      if (ends === undefined) throw new ProblemError(noPartition(topic, String(partition)))
      const path = `${topicPath(topic)}/partitions/${partition}/offset`
      const name = `/topic=${topic}/partition=${partition}/offset_type=${BOTH_OFFSETS}`
      return links.resource('KafkaPartitionWithOffsets', path, name, {
        topic_name: topic,
        partition_id: partition,
        earliest_offset: ends.start,
        latest_offset: ends.end
      })
    })
  }

  /** `GET …/brokers/BROKER/partition-replicas` */
  replicasOn(exchange: Exchange, params: Params): void {
    const { gateway } = this.#lookUps
    this.#lookUps.answer(exchange, params, {}, async ({ links, describe, time }) => {
      const { nodeId } = requireBroker(await describe(), params.broker_id)
      const all = await gateway.topics('all', time.ms)
      const { parts } = this.#lookUps
      function* replicas(): Iterable<Resource> {
        for (const { topic, partitions } of visibleTopics(parts, exchange, all)) {
          for (const partition of partitions) {
            if (partition.replicas.includes(nodeId)) yield replicaJson(links, topic, partition, nodeId)
          }
        }
      }
      return links.longList('KafkaReplica', `/brokers/${nodeId}/partition-replicas`, replicas())
    })
  }

  /**
   * The member that says what may be done with a topic: what Kafka allows Castellan, without what `access` forbids the
   * client.
   *
   * @returns no member: the request does not ask for it, or Kafka does not report it
   */
  async #operationsOn(exchange: Exchange, topics: readonly string[] | 'all', time: TimeLeft) {
    const { gateway, parts } = this.#lookUps
    const query = queryOf(exchange)
    if (!operationsParameters.some(name => query.get(name)?.toLowerCase() === 'true')) return () => undefined
    const found = await gateway.admin.topicOperations(topics, time.ms)
    const caller = callerOf(parts, exchange)
    return (topic: string): Resource | undefined => {
      const allowed = found.get(topic)?.filter(operation => caller.allows(permissions[operation], { topic }))
      return allowed && { authorized_operations: allowed }
    }
  }

  #answer(
    exchange: Exchange,
    params: Params,
    work: (cluster: Cluster, topic: TopicMetadata) => Promise<Resource | LongList>
  ): void {
    const { topic_name: topic = '' } = params
    const { gateway } = this.#lookUps
    this.#lookUps.answer(exchange, params, { topic }, async cluster =>
      work(cluster, requireTopic(await gateway.topics([topic], cluster.time.ms), topic, unknownTopic(topic)))
    )
  }
}

const queryOf = ({ request }: Exchange): URLSearchParams => new URLSearchParams(sentUrlOf(request).split('?')[1])

/** The topics that the client may see, in the order of their names. */
export function visibleTopics(
  parts: EndpointParts,
  exchange: Exchange,
  all: ReadonlyMap<string, TopicMetadata>
): readonly TopicMetadata[] {
  const caller = callerOf(parts, exchange)
  return [...all.values()]
    .filter(({ topic, errorCode }) => errorCode === errorCodes.NONE && caller.allows('admin', { topic }))
    .sort((one, other) => byBytes(one.topic, other.topic))
}

export function topicJson(links: Links, { topic, isInternal, partitions }: TopicMetadata): Resource {
  const path = topicPath(topic)
  return links.resource('KafkaTopic', path, `/topic=${topic}`, {
    topic_name: topic,
    is_internal: isInternal,
    replication_factor: partitions[0]?.replicas.length ?? 0,
    partitions_count: partitions.length,
    partitions: links.related(`${path}/partitions`),
    configs: links.related(`${path}/configs`),
    partition_reassignments: links.related(`${path}/partitions/-/reassignment`)
  })
}

function partitionJson(links: Links, topic: string, { partition, leaderId }: Partition): Resource {
  const path = `${topicPath(topic)}/partitions/${partition}`
  return links.resource('KafkaPartition', path, `/topic=${topic}/partition=${partition}`, {
    topic_name: topic,
    partition_id: partition,
    ...(leaderId >= 0 && { leader: links.related(`${path}/replicas/${leaderId}`) }),
    replicas: links.related(`${path}/replicas`),
    reassignment: links.related(`${path}/reassignment`)
  })
}

function replicaJson(links: Links, topic: string, { partition, leaderId, isr }: Partition, broker: number): Resource {
  const path = `${topicPath(topic)}/partitions/${partition}/replicas/${broker}`
  return links.resource('KafkaReplica', path, `/topic=${topic}/partition=${partition}/replica=${broker}`, {
    topic_name: topic,
    partition_id: partition,
    broker_id: broker,
    is_leader: broker === leaderId,
    is_in_sync: isr.includes(broker),
    broker: links.related(`/brokers/${broker}`)
  })
}
