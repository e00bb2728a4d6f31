import { z } from 'zod'
import { type BrokerNode, topicPartitionKey } from '../../../core/model.js'
import { seenBy } from '../../../http/api/endpoint.js'
import { lazily } from '../../../http/api/long-lists.js'
import type { ClusterDescription } from '../../../verbs/admin.js'
import type { GroupDescription, GroupReader } from '../../../verbs/verbs.js'
import { inOrderOfBytes } from '../look-up.js'
import { kind, link, linkIfAny, type Members, pathOf, type ResourcePlace, text, upperSnake } from './resources.js'
import { type AskV3, brokerOf, CLUSTER, list, notFound, one, type V3Route } from './routes.js'

const cluster = kind<ClusterDescription>('KafkaCluster', () => [], {
  controller: linkIfAny(({ controllerId }) => (controllerId >= 0 ? `/brokers/${controllerId}` : undefined)),
  acls: link(() => '/acls'),
  brokers: link(() => '/brokers'),
  broker_configs: link(() => '/broker-configs'),
  consumer_groups: link(() => '/consumer-groups'),
  topics: link(() => '/topics'),
  partition_reassignments: link(() => '/topics/-/partitions/-/reassignment')
})

const broker = kind<BrokerNode>('KafkaBroker', ({ nodeId }) => ['brokers', nodeId], {
  broker_id: [z.int(), ({ nodeId }) => nodeId],
  host: [text, ({ host }) => host],
  port: [z.int(), ({ port }) => port],
  rack: [text.optional(), ({ rack }) => rack ?? undefined],
  configs: link((_, path) => `${path}/configs`),
  partition_replicas: link((_, path) => `${path}/partition-replicas`)
})

/** A client that may only produce is told the id of the cluster, and nothing of the brokers. */
const clustersFor = async ({ describe, caller, links: { clusterId } }: AskV3): Promise<ClusterDescription[]> =>
  seenBy(caller, 'admin.describeCluster', 'nothing')({})
    ? [await describe()]
    : [{ clusterId, controllerId: -1, brokers: [] }]

/** The routes of version 3 about clusters and brokers, by id. */
export const clusterRoutes = {
  listClusters: list('admin.clusterId', '/v3/clusters', 'The clusters', cluster, clustersFor),
  getCluster: one('admin.describeCluster', CLUSTER, 'A cluster', cluster, ({ describe }) => describe()),
  listBrokersV3: list(
    'admin.describeCluster',
    `${CLUSTER}/brokers`,
    'The brokers',
    broker,
    async ({ describe }) => (await describe()).brokers
  ),
  getBroker: one('admin.describeCluster', `${CLUSTER}/brokers/{broker_id}`, 'A broker', broker, brokerOf)
} as const satisfies Readonly<Record<string, V3Route>>

/** A partition, and what a group has to do with it. */
interface GroupPartition {
  readonly groupId: string
  readonly topic: string
  readonly partition: number
}
interface MemberOfGroup {
  readonly groupId: string
  readonly member: GroupReader
}
/** How far a group is behind in one partition. */
interface Lag extends GroupPartition {
  readonly committed: number
  readonly end: number
  /** `undefined`: no member reads the partition. */
  readonly reader: GroupReader | undefined
}
interface Summary {
  readonly groupId: string
  readonly largest: Lag
  readonly total: number
}

const lagOf = ({ committed, end }: Lag): number => Math.max(0, end - committed)
const placeOfGroup = ({ groupId }: { readonly groupId: string }): ResourcePlace => ['consumer-groups', groupId]
const placeOfMember = (one: MemberOfGroup): ResourcePlace => [...placeOfGroup(one), 'consumers', one.member.memberId]
/** A partition below the topics, the lags of a group, and the assignments of a member. */
const placeBelow = (place: ResourcePlace, { topic, partition }: GroupPartition): ResourcePlace => [
  ...place,
  topic,
  'partitions',
  partition
]
const placeOfLag = (one: GroupPartition): ResourcePlace => placeBelow([...placeOfGroup(one), 'lags'], one)

const ofGroup = { consumer_group_id: [text, ({ groupId }: { readonly groupId: string }) => groupId] } as const
const ofPlace = {
  topic_name: [text, ({ topic }: GroupPartition) => topic],
  partition_id: [z.int(), ({ partition }: GroupPartition) => partition]
} as const
const readerMembers = <One>(prefix: string, readerOf: (one: One) => GroupReader | undefined): Members<One> => ({
  [`${prefix}consumer_id`]: [text, one => readerOf(one)?.memberId ?? ''],
  [`${prefix}instance_id`]: [text.nullable(), one => readerOf(one)?.instanceId ?? null],
  [`${prefix}client_id`]: [text, one => readerOf(one)?.clientId ?? '']
})

const groups = kind<GroupDescription>('KafkaConsumerGroup', placeOfGroup, {
  ...ofGroup,
  is_simple: [z.boolean(), ({ isSimple }) => isSimple],
  partition_assignor: [text, ({ assignor }) => assignor],
  state: [text, ({ state }) => upperSnake(state)],
  type: [text, ({ type }) => type.toUpperCase()],
  is_mixed_consumer_group: [z.boolean(), ({ isMixed }) => isMixed],
  coordinator: linkIfAny(({ coordinatorId }) => (coordinatorId >= 0 ? `/brokers/${coordinatorId}` : undefined)),
  consumers: link((_, path) => `${path}/consumers`),
  lag_summary: link((_, path) => `${path}/lag-summary`)
})
const consumers = kind<MemberOfGroup>('KafkaConsumer', placeOfMember, {
  ...ofGroup,
  ...readerMembers('', ({ member }) => member),
  assignments: link((_, path) => `${path}/assignments`)
})
const assignments = kind<GroupPartition & MemberOfGroup>(
  'KafkaConsumerAssignment',
  one => placeBelow([...placeOfMember(one), 'assignments'], one),
  {
    ...ofGroup,
    consumer_id: [text, ({ member }) => member.memberId],
    ...ofPlace,
    partition: link(one => pathOf(placeBelow(['topics'], one))),
    lag: link(one => pathOf(placeOfLag(one)))
  }
)
const lags = kind<Lag>('KafkaConsumerLag', placeOfLag, {
  ...ofGroup,
  ...ofPlace,
  current_offset: [z.int(), ({ committed }) => committed],
  log_end_offset: [z.int(), ({ end }) => end],
  lag: [z.int(), lagOf],
  ...readerMembers('', ({ reader }) => reader)
})
const summaries = kind<Summary>('KafkaConsumerGroupLagSummary', one => [...placeOfGroup(one), 'lag-summary'], {
  ...ofGroup,
  ...readerMembers('max_lag_', ({ largest }) => largest.reader),
  max_lag_topic_name: [text, ({ largest }) => largest.topic],
  max_lag_partition_id: [z.int(), ({ largest }) => largest.partition],
  max_lag: [z.int(), ({ largest }) => lagOf(largest)],
  total_lag: [z.int(), ({ total }) => total],
  max_lag_consumer: linkIfAny(
    ({ groupId, largest: { reader } }) => reader && pathOf(placeOfMember({ groupId, member: reader }))
  ),
  max_lag_partition: link(({ largest }) => pathOf(placeBelow(['topics'], largest)))
})

async function groupOf({ verbs, params: { consumer_group_id: group = '' }, time }: AskV3): Promise<GroupDescription> {
  const found = (await verbs.groups.describe([group], time.ms)).get(group)
  if (found === undefined || found.state === 'Dead') throw notFound(`there is no consumer group ${group}`)
  return found
}

async function memberOf(ask: AskV3): Promise<MemberOfGroup> {
  const { groupId, members } = await groupOf(ask)
  const { consumer_id: id } = ask.params
  const member = members.find(({ memberId }) => memberId === id)
  if (member === undefined) throw notFound(`group ${groupId} has no consumer ${id}`)
  return { groupId, member }
}

/** The lags of a group, largest first. A group that has committed nothing has none. */
async function lagsOf(ask: AskV3): Promise<readonly [Lag, ...Lag[]]> {
  const { verbs, caller, time } = ask
  const { groupId, members } = await groupOf(ask)
  const isVisible = seenBy(caller, 'groups.committed', 'topic+group')
  const all = await verbs.groups.committed(groupId, time.ms)
  const committed = all.filter(({ topic }) => isVisible({ topic, group: groupId }))
  if (committed.length === 0) throw notFound(`group ${groupId} has committed nothing`)
  const ends = await verbs.admin.logEnds(committed, time.ms)
  const readers = readersByPartition(members)
  const lags = committed.flatMap(({ topic, partition, offset }, at): Lag[] => {
    const end = ends[at]?.end
    const reader = readers.get(topicPartitionKey(topic, partition))
    return end === undefined ? [] : [{ groupId, topic, partition, committed: offset, end, reader }]
  })
  if (lags.length === 0) throw notFound(`group ${groupId} has committed nothing in topics that there are`)
  lags.sort(
    (one, other) =>
      lagOf(other) - lagOf(one) || inOrderOfBytes(one.topic, other.topic) || one.partition - other.partition
  )
  return lags as [Lag, ...Lag[]]
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

const GROUP = `${CLUSTER}/consumer-groups/{consumer_group_id}`
const CONSUMER = `${GROUP}/consumers/{consumer_id}`

/** The routes of version 3 about consumer groups, their members and their lags, by id. */
export const groupRoutes = {
  listGroups: list(
    'groups.describe',
    `${CLUSTER}/consumer-groups`,
    'The consumer groups',
    groups,
    async ({ verbs, caller, time }) => {
      const isVisible = seenBy(caller, 'groups.describe', 'group')
      const described = await verbs.groups.describe('all', time.ms, group => isVisible({ group }))
      return lazily(() => [...described.values()].sort((one, other) => inOrderOfBytes(one.groupId, other.groupId)))
    }
  ),
  getGroup: one('groups.describe', GROUP, 'A consumer group', groups, groupOf),
  listConsumers: list('groups.describe', `${GROUP}/consumers`, 'The members of a group', consumers, async ask => {
    const { groupId, members } = await groupOf(ask)
    return members.map(member => ({ groupId, member }))
  }),
  getConsumer: one('groups.describe', CONSUMER, 'A member of a group', consumers, memberOf),
  listAssignments: list(
    'groups.describe',
    `${CONSUMER}/assignments`,
    'The partitions that a member reads',
    assignments,
    async ask => {
      const found = await memberOf(ask)
      const { groupId: group, member } = found
      const isVisible = seenBy(ask.caller, 'groups.describe', 'topic+group')
      return lazily(function* () {
        for (const [topic, partitions] of member.partitions) {
          if (!isVisible({ topic, group })) continue
          for (const partition of partitions) yield { ...found, topic, partition }
        }
      })
    }
  ),
  getAssignment: one(
    'groups.describe',
    `${CONSUMER}/assignments/{topic_name}/partitions/{partition_id}`,
    'A partition that a member reads',
    assignments,
    async ask => {
      const { topic_name: topic = '', partition_id: asked } = ask.params
      const found = await memberOf(ask)
      const { groupId: group, member } = found
      const isVisible = seenBy(ask.caller, 'groups.describe', 'topic+group')({ topic, group })
      const partition = isVisible ? member.partitions.get(topic)?.find(number => String(number) === asked) : undefined
      if (partition === undefined) throw notFound(`consumer ${member.memberId} does not read ${topic}/${asked}`)
      return { ...found, topic, partition }
    }
  ),
  listLags: list('groups.committed', `${GROUP}/lags`, 'How far a group is behind, the largest lag first', lags, lagsOf),
  getLag: one(
    'groups.committed',
    `${GROUP}/lags/{topic_name}/partitions/{partition_id}`,
    'How far a group is behind in a partition',
    lags,
    async ask => {
      const { consumer_group_id: group, topic_name: topic, partition_id: partition } = ask.params
      const found = (await lagsOf(ask)).find(lag => lag.topic === topic && String(lag.partition) === partition)
      if (found === undefined) throw notFound(`group ${group} has committed nothing in ${topic}/${partition}`)
      return found
    }
  ),
  getLagSummary: one(
    'groups.committed',
    `${GROUP}/lag-summary`,
    'How far a group is behind in all',
    summaries,
    async ask => {
      const all = await lagsOf(ask)
      const [largest] = all
      return { groupId: largest.groupId, largest, total: all.reduce((sum, lag) => sum + lagOf(lag), 0) }
    }
  )
} as const satisfies Readonly<Record<string, V3Route>>
