import { z } from 'zod'
import { seenBy } from '../../../http/api/endpoint.js'
import { lazily } from '../../../http/api/long-lists.js'
import type { ShareGroup, ShareGroupMember } from '../../../verbs/verbs.js'
import { inOrderOfBytes } from '../look-up.js'
import { kind, link, linkIfAny, pathOf, type ResourceKind, type ResourcePlace, text, upperSnake } from './resources.js'
import { type AskV3, CLUSTER, change, list, notFound, one, type V3Route } from './routes.js'

interface SharedPartition {
  readonly topic: string
  readonly partition: number
}
/** A group with what of its partitions the client may see. */
interface ShownGroup {
  readonly group: ShareGroup
  readonly places: readonly SharedPartition[]
}
interface MemberOfShareGroup {
  readonly groupId: string
  readonly member: ShareGroupMember
}

const placeOfGroup = (groupId: string): ResourcePlace => ['share-groups', groupId]
const placeOfMember = ({ groupId, member }: MemberOfShareGroup): ResourcePlace => [
  ...placeOfGroup(groupId),
  'consumers',
  member.memberId
]
const placeOf = ({ topic, partition }: SharedPartition): ResourcePlace => ['topics', topic, 'partitions', partition]
const ofPlace = {
  topic_name: [text, ({ topic }: SharedPartition) => topic],
  partition_id: [z.int(), ({ partition }: SharedPartition) => partition],
  partition: link((place: SharedPartition) => pathOf(placeOf(place)))
} as const

const topicPartition: ResourceKind<SharedPartition> = kind('KafkaShareGroupTopicPartition', placeOf, ofPlace)

const groups = kind<ShownGroup>('KafkaShareGroup', ({ group }) => placeOfGroup(group.groupId), {
  share_group_id: [text, ({ group }) => group.groupId],
  state: [text, ({ group }) => upperSnake(group.state)],
  coordinator: linkIfAny(({ group: { coordinatorId } }) =>
    coordinatorId >= 0 ? `/brokers/${coordinatorId}` : undefined
  ),
  consumers: link((_, path) => `${path}/consumers`),
  consumer_count: [z.int(), ({ group }) => group.members.length],
  partition_count: [z.int(), ({ places }) => places.length],
  assigned_topic_partitions: [
    z.array(topicPartition.schema),
    ({ places }, _, links) => places.map(place => topicPartition.json(place, links))
  ]
})
const ofMember = {
  group_id: [text, ({ groupId }: MemberOfShareGroup) => groupId],
  consumer_id: [text, ({ member }: MemberOfShareGroup) => member.memberId]
} as const
const consumers = kind<MemberOfShareGroup>(
  'KafkaShareGroupConsumer',
  placeOfMember,
  {
    ...ofMember,
    client_id: [text, ({ member }) => member.clientId],
    assignments: link((_, path) => `${path}/assignments`)
  },
  'KafkaShareConsumer'
)
const assignments = kind<SharedPartition & MemberOfShareGroup>(
  'KafkaShareGroupConsumerAssignment',
  one => [...placeOfMember(one), 'assignments', one.topic, 'partitions', one.partition],
  { ...ofMember, ...ofPlace },
  'KafkaConsumerAssignment'
)

const groupOf = ({ verbs, params: { share_group_id: group = '' }, time }: AskV3): Promise<ShareGroup> =>
  verbs.shareGroups.describe(group, time.ms)

function shown({ caller }: AskV3, group: ShareGroup): ShownGroup {
  const isVisible = seenBy(caller, 'shareGroups.describe', 'topic+group')
  const places = [...group.partitions]
    .filter(([topic]) => isVisible({ topic, group: group.groupId }))
    .flatMap(([topic, partitions]) => partitions.map(partition => ({ topic, partition })))
  return { group, places }
}

async function memberOf(ask: AskV3): Promise<MemberOfShareGroup> {
  const { groupId, members } = await groupOf(ask)
  const { consumer_id: id } = ask.params
  const member = members.find(({ memberId }) => memberId === id)
  if (member === undefined) throw notFound(`share group ${groupId} has no consumer ${id}`)
  return { groupId, member }
}

const GROUP = `${CLUSTER}/share-groups/{share_group_id}`
const CONSUMER = `${GROUP}/consumers/{consumer_id}`

/** The routes of version 3 about share groups and their members, by id. */
export const shareGroupRoutes = {
  listShareGroups: list('shareGroups.list', `${CLUSTER}/share-groups`, 'The share groups', groups, async ask => {
    const isVisible = seenBy(ask.caller, 'shareGroups.list', 'group')
    const { groups } = await ask.verbs.shareGroups.list({ includes: group => isVisible({ group }) }, ask.time.ms)
    const inOrder = [...groups].sort((one, other) => inOrderOfBytes(one.groupId, other.groupId))
    return lazily(function* () {
      for (const group of inOrder) yield shown(ask, group)
    })
  }),
  getShareGroup: one('shareGroups.describe', GROUP, 'A share group', groups, async ask =>
    shown(ask, await groupOf(ask))
  ),
  deleteShareGroup: change(
    {
      verb: 'shareGroups.delete',
      method: 'delete',
      path: GROUP,
      summary: 'Deletes a share group without members'
    },
    async ask => {
      const { groupId: group, topics } = await groupOf(ask)
      for (const topic of topics) {
        const refusal = ask.caller.refusalOf('delete', { topic, group })
        if (refusal !== undefined) throw refusal
      }
      await ask.verbs.shareGroups.delete(group, ask.time.ms)
      return undefined
    }
  ),
  listShareConsumers: list(
    'shareGroups.describe',
    `${GROUP}/consumers`,
    'The members of a share group',
    consumers,
    async ask => {
      const { groupId, members } = await groupOf(ask)
      return members.map(member => ({ groupId, member }))
    }
  ),
  getShareConsumer: one('shareGroups.describe', CONSUMER, 'A member of a share group', consumers, memberOf),
  listShareAssignments: list(
    'shareGroups.describe',
    `${CONSUMER}/assignments`,
    'The partitions that are assigned to a member of a share group',
    assignments,
    async ask => {
      const found = await memberOf(ask)
      const isVisible = seenBy(ask.caller, 'shareGroups.describe', 'topic+group')
      return lazily(function* () {
        for (const [topic, partitions] of found.member.partitions) {
          if (!isVisible({ topic, group: found.groupId })) continue
          for (const partition of partitions) yield { ...found, topic, partition }
        }
      })
    }
  )
} as const satisfies Readonly<Record<string, V3Route>>
