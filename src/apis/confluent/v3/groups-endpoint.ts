import { topicPartitionKey } from '../../../core/model.js'
import type { GroupDescription, GroupReader } from '../../../gateway/gateway.js'
import type { Exchange } from '../../../http/exchange/exchange.js'
import { callerOf, type Params } from '../endpoint-parts.js'
import type { LongList } from '../long-lists.js'
import { byBytes, type TimeLeft } from '../look-up.js'
import { type Links, part, type Resource } from './resources.js'
import { type Cluster, notFound, type V3LookUps } from './v3-look-ups.js'

interface Place {
  readonly topic: string
  readonly partition: number
}

/** How far a group is behind in one partition. */
interface Lag extends Place {
  readonly committed: number
  readonly end: number
  /** `undefined`: no member reads the partition. */
  readonly reader: GroupReader | undefined
}

const lagOf = ({ committed, end }: Lag): number => Math.max(0, end - committed)
const groupPath = (group: string): string => `/consumer-groups/${part(group)}`

/** A partition below the lags of a group, and below the assignments of a member: without `/topics` in front. */
const placePath = ({ topic, partition }: Place): string => `/${part(topic)}/partitions/${partition}`

/** Consumer groups, their members and their lags, of version 3. */
export class GroupsEndpoint {
  readonly #lookUps: V3LookUps

  constructor(lookUps: V3LookUps) {
    this.#lookUps = lookUps
  }

  groups(exchange: Exchange, params: Params): void {
    const { gateway, parts } = this.#lookUps
    const caller = callerOf(parts, exchange)
    this.#lookUps.answer(exchange, params, {}, async ({ links, time }) => {
      const isVisible = (group: string): boolean => caller.allows('admin', { group })
      const described = await gateway.groups.describe('all', time.ms, isVisible)
      function* groups(): Iterable<Resource> {
        const all = [...described.values()].sort((one, other) => byBytes(one.groupId, other.groupId))
        for (const group of all) yield groupJson(links, group)
      }
      return links.longList('KafkaConsumerGroup', '/consumer-groups', groups())
    })
  }

  group(exchange: Exchange, params: Params): void {
    this.#answer(exchange, params, async ({ links }, group) => groupJson(links, group))
  }

  consumers(exchange: Exchange, params: Params): void {
    this.#answer(exchange, params, async ({ links }, { groupId, members }) =>
      links.list(
        'KafkaConsumer',
        `${groupPath(groupId)}/consumers`,
        members.map(member => consumerJson(links, groupId, member))
      )
    )
  }

  consumer(exchange: Exchange, params: Params): void {
    this.#answer(exchange, params, async ({ links }, group) =>
      consumerJson(links, group.groupId, memberOf(group, params))
    )
  }

  assignments(exchange: Exchange, params: Params): void {
    const caller = callerOf(this.#lookUps.parts, exchange)
    this.#answer(exchange, params, async ({ links }, group) => {
      const member = memberOf(group, params)
      const path = `${groupPath(group.groupId)}/consumers/${part(member.memberId)}/assignments`
      const visible = [...member.partitions].filter(([topic]) =>
        caller.allows('admin', { topic, group: group.groupId })
      )
      function* partitions(): Iterable<Resource> {
        for (const [topic, numbers] of visible) {
          for (const partition of numbers) yield assignmentJson(links, group.groupId, member, { topic, partition })
        }
      }
      return links.longList('KafkaConsumerAssignment', path, partitions())
    })
  }

  assignment(exchange: Exchange, params: Params): void {
    const caller = callerOf(this.#lookUps.parts, exchange)
    this.#answer(exchange, params, async ({ links }, group) => {
      const { topic_name: topic = '', partition_id: asked } = params
      const member = memberOf(group, params)
      const isVisible = caller.allows('admin', { topic, group: group.groupId })
      const partition = isVisible ? member.partitions.get(topic)?.find(number => String(number) === asked) : undefined
      if (partition === undefined) throw notFound(`consumer ${member.memberId} does not read ${topic}/${asked}`)
      return assignmentJson(links, group.groupId, member, { topic, partition })
    })
  }

  lags(exchange: Exchange, params: Params): void {
    this.#answer(exchange, params, async ({ links, time }, group) => {
      const lags = await this.#lagsOf(exchange, group, time)
      function* resources(): Iterable<Resource> {
        for (const lag of lags) yield lagJson(links, group.groupId, lag)
      }
      return links.longList('KafkaConsumerLag', `${groupPath(group.groupId)}/lags`, resources())
    })
  }

  lag(exchange: Exchange, params: Params): void {
    this.#answer(exchange, params, async ({ links, time }, group) => {
      const { topic_name: topic, partition_id: partition } = params
      const lags = await this.#lagsOf(exchange, group, time)
      const found = lags.find(lag => lag.topic === topic && String(lag.partition) === partition)
      if (found === undefined) throw notFound(`group ${group.groupId} has committed nothing in ${topic}/${partition}`)
      return lagJson(links, group.groupId, found)
    })
  }

  lagSummary(exchange: Exchange, params: Params): void {
    this.#answer(exchange, params, async ({ links, time }, group) => {
      const lags = await this.#lagsOf(exchange, group, time)
      return summaryJson(links, group.groupId, lags)
    })
  }

  /** Largest first. A group that has committed nothing has none. */
  async #lagsOf(exchange: Exchange, { groupId, members }: GroupDescription, time: TimeLeft): Promise<readonly Lag[]> {
    const { gateway, parts } = this.#lookUps
    const caller = callerOf(parts, exchange)
    const committed = (await gateway.groups.committed(groupId, time.ms)).filter(({ topic }) =>
      caller.allows('admin', { topic, group: groupId })
    )
    if (committed.length === 0) throw notFound(`group ${groupId} has committed nothing`)
    const ends = await gateway.admin.logEnds(committed, time.ms)
    const readers = readersByPartition(members)
    const lags = committed.flatMap(({ topic, partition, offset }, at): Lag[] => {
      const end = ends[at]?.end
      const reader = readers.get(topicPartitionKey(topic, partition))
      return end === undefined ? [] : [{ topic, partition, committed: offset, end, reader }]
    })
    if (lags.length === 0) throw notFound(`group ${groupId} has committed nothing in topics that there are`)
    return lags.sort(
      (one, other) => lagOf(other) - lagOf(one) || byBytes(one.topic, other.topic) || one.partition - other.partition
    )
  }

  #answer(
    exchange: Exchange,
    params: Params,
    work: (cluster: Cluster, group: GroupDescription) => Promise<Resource | LongList>
  ): void {
    const { consumer_group_id: group = '' } = params
    const { gateway } = this.#lookUps
    this.#lookUps.answer(exchange, params, { group }, async cluster => {
      const found = (await gateway.groups.describe([group], cluster.time.ms)).get(group)
      if (found === undefined || found.state === 'Dead') throw notFound(`there is no consumer group ${group}`)
      return work(cluster, found)
    })
  }
}

function memberOf({ groupId, members }: GroupDescription, { consumer_id: id }: Params): GroupReader {
  const found = members.find(({ memberId }) => memberId === id)
  if (found === undefined) throw notFound(`group ${groupId} has no consumer ${id}`)
  return found
}

function readersByPartition(members: readonly GroupReader[]): ReadonlyMap<string, GroupReader> {
  const readers = new Map<string, GroupReader>()
  for (const member of members) {
    for (const [topic, partitions] of member.partitions) {
      for (const partition of partitions) readers.set(topicPartitionKey(topic, partition), member)
    }
  }
  return readers
}

/** `PreparingRebalance` => `PREPARING_REBALANCE` */
const upperSnake = (name: string): string => name.replace(/([a-z])([A-Z])/g, '$1_$2').toUpperCase()

function groupJson(links: Links, group: GroupDescription): Resource {
  const { groupId, type, isSimple, isMixed, assignor, state, coordinatorId } = group
  const path = groupPath(groupId)
  return links.resource('KafkaConsumerGroup', path, `/consumer-group=${groupId}`, {
    consumer_group_id: groupId,
    is_simple: isSimple,
    partition_assignor: assignor,
    state: upperSnake(state),
    type: type.toUpperCase(),
    is_mixed_consumer_group: isMixed,
    ...(coordinatorId >= 0 && { coordinator: links.related(`/brokers/${coordinatorId}`) }),
    consumers: links.related(`${path}/consumers`),
    lag_summary: links.related(`${path}/lag-summary`)
  })
}

function consumerJson(links: Links, group: string, { memberId, instanceId, clientId }: GroupReader): Resource {
  const path = `${groupPath(group)}/consumers/${part(memberId)}`
  return links.resource('KafkaConsumer', path, `/consumer-group=${group}/consumer=${memberId}`, {
    consumer_group_id: group,
    consumer_id: memberId,
    instance_id: instanceId,
    client_id: clientId,
    assignments: links.related(`${path}/assignments`)
  })
}

function assignmentJson(links: Links, group: string, { memberId }: GroupReader, place: Place): Resource {
  const { topic, partition } = place
  const path = `${groupPath(group)}/consumers/${part(memberId)}/assignments${placePath(place)}`
  const name = `/consumer-group=${group}/consumer=${memberId}/assignment=${topic}/partition=${partition}`
  return links.resource('KafkaConsumerAssignment', path, name, {
    consumer_group_id: group,
    consumer_id: memberId,
    topic_name: topic,
    partition_id: partition,
    partition: links.related(`/topics${placePath(place)}`),
    lag: links.related(`${groupPath(group)}/lags${placePath(place)}`)
  })
}

function lagJson(links: Links, group: string, lag: Lag): Resource {
  const { topic, partition, committed, end, reader } = lag
  const path = `${groupPath(group)}/lags${placePath(lag)}`
  return links.resource('KafkaConsumerLag', path, `/consumer-group=${group}/lag=${topic}/partition=${partition}`, {
    consumer_group_id: group,
    topic_name: topic,
    partition_id: partition,
    current_offset: committed,
    log_end_offset: end,
    lag: lagOf(lag),
    consumer_id: reader?.memberId ?? '',
    instance_id: reader?.instanceId ?? null,
    client_id: reader?.clientId ?? ''
  })
}

function summaryJson(links: Links, group: string, lags: readonly Lag[]): Resource {
  const [largest] = lags as readonly [Lag, ...Lag[]]
  const { topic, partition, reader } = largest
  const path = groupPath(group)
  return links.resource('KafkaConsumerGroupLagSummary', `${path}/lag-summary`, `/consumer-group=${group}/lag-summary`, {
    consumer_group_id: group,
    max_lag_consumer_id: reader?.memberId ?? '',
    max_lag_instance_id: reader?.instanceId ?? null,
    max_lag_client_id: reader?.clientId ?? '',
    max_lag_topic_name: topic,
    max_lag_partition_id: partition,
    max_lag: lagOf(largest),
    total_lag: lags.reduce((sum, lag) => sum + lagOf(lag), 0),
    ...(reader !== undefined && { max_lag_consumer: links.related(`${path}/consumers/${part(reader.memberId)}`) }),
    max_lag_partition: links.related(`/topics${placePath(largest)}`)
  })
}
