import { z } from 'zod'
import { LOOK_UP_TIMEOUT_MS } from '../../http/api/api.js'
import { seenBy } from '../../http/api/endpoint.js'
import type { GroupDescription, GroupOffset } from '../../verbs/verbs.js'
import { ToolError } from './failures.js'
import {
  cursor,
  cursorAfter,
  fittingRows,
  groupName,
  nameBefore,
  PAGE,
  pageOf,
  requireRight,
  type ToolCall,
  tool,
  topicName
} from './tool.js'
import { requireTopic } from './topic-tools.js'

/** Topics that a group is listed with. */
const MAX_TOPICS = 20
/** Partitions that are shown one by one: those that are furthest behind. */
const MAX_PARTITIONS = 50
/** Partitions of a group whose ends are looked up together. */
const MAX_LOOKED_UP = 1_000
const MAX_MEMBERS = 50
/** Characters of the name that a client has given itself. */
const MAX_CLIENT = 256

export const listGroups = tool(
  {
    name: 'list_groups',
    description: `Groups that you may see, by name, ${PAGE} at a time, with state, members and topics. consumer: consumer groups. queue: share groups, whose messages clients acquire as from a queue.`,
    input: z.strictObject({ kind: z.enum(['consumer', 'queue']).default('consumer'), cursor }),
    rights: ['admin', 'offsets']
  },
  (call, { kind, cursor }) => (kind === 'consumer' ? consumerGroups(call, cursor) : shareGroups(call, cursor))
)

async function consumerGroups(call: ToolCall, cursor: string | undefined): Promise<object> {
  requireRight(call, 'groups.describe', {})
  const { caller, verbs } = call
  const isVisible = seenBy(caller, 'groups.describe', 'group')
  const all = await verbs.groups.describe('all', LOOK_UP_TIMEOUT_MS, group => isVisible({ group }))
  const { rows, next } = pageOf([...all.keys()], cursor, name => rowOf(call, all.get(name)!))
  return { groups: rows, next }
}

function rowOf({ caller }: ToolCall, { groupId: group, state, type, members }: GroupDescription): object {
  const read = new Set(members.flatMap(({ partitions }) => [...partitions.keys()]))
  const isVisible = seenBy(caller, 'groups.describe', 'topic+group')
  const topics = [...read].filter(topic => isVisible({ topic, group })).sort()
  return { group, state, type, members: members.length, topics: topics.slice(0, MAX_TOPICS) }
}

async function shareGroups(call: ToolCall, cursor: string | undefined): Promise<object> {
  requireRight(call, 'shareGroups.list', {})
  const { caller, verbs } = call
  const isListed = seenBy(caller, 'shareGroups.list', 'group')
  const isVisible = seenBy(caller, 'shareGroups.list', 'topic+group')
  const only = { after: nameBefore(cursor), most: PAGE, includes: (group: string) => isListed({ group }) }
  const { groups, next } = await verbs.shareGroups.list(only, LOOK_UP_TIMEOUT_MS)
  const rows = groups.map(({ groupId: group, state, members, topics }) => {
    const visible = topics.filter(topic => isVisible({ topic, group }))
    return { group, state, members: members.length, topics: visible.slice(0, MAX_TOPICS) }
  })
  const fitting = fittingRows(rows)
  const after = fitting.length < rows.length ? fitting.at(-1)!.group : next
  return { groups: fitting, next: after && cursorAfter(after) }
}

export const groupLag = tool(
  {
    name: 'group_lag',
    description: `How many records a consumer group is behind the ends of the logs, in all and by partition (${MAX_PARTITIONS} at most, the largest lag first). Without a topic: by topic, of the topics in which it has committed offsets.`,
    input: z.strictObject({ group: groupName, topic: topicName.optional() }),
    rights: ['offsets']
  },
  (call, { group, topic }) => (topic === undefined ? lagByTopic(call, group) : lagIn(call, group, topic))
)

async function lagIn(call: ToolCall, group: string, topic: string): Promise<object> {
  requireRight(call, 'groups.offsets', { topic, group })
  await requireTopic(call, topic)
  const offsets = await call.verbs.groups.offsets(group, topic, LOOK_UP_TIMEOUT_MS)
  if (offsets === undefined) throw new ToolError('unknownTopic')
  const rows = offsets.map(one => ({
    partition: one.partition,
    committed: one.committed?.offset,
    first_offset: one.earliest,
    next_offset: one.latest,
    lag: lagOf(one)
  }))
  rows.sort((a, b) => (b.lag ?? -1) - (a.lag ?? -1) || a.partition - b.partition)
  const known = rows.flatMap(({ lag }) => lag ?? [])
  return {
    group,
    topic,
    lag: known.length === 0 ? null : known.reduce((sum, one) => sum + one, 0),
    partition_count: rows.length,
    without_offset: rows.filter(({ committed }) => committed === undefined).length,
    partitions: rows.slice(0, MAX_PARTITIONS)
  }
}

/** A negative offset is a word of its client. `undefined`: where the group goes on is not known. */
function lagOf({ committed, beginsAt, latest }: GroupOffset): number | undefined {
  const from = committed === undefined ? beginsAt : committed.offset
  return from === undefined || from < 0 ? undefined : Math.max(0, latest - from)
}

async function lagByTopic(call: ToolCall, group: string): Promise<object> {
  requireRight(call, 'groups.committed', { group })
  const { caller, verbs } = call
  const isSeen = seenBy(caller, 'groups.committed', 'topic+group')
  const hasOffsets = seenBy(caller, 'groups.offsets', 'topic+group')
  const all = await verbs.groups.committed(group, LOOK_UP_TIMEOUT_MS)
  const committed = all
    .filter(({ topic }) => [isSeen, hasOffsets].every(may => may({ topic, group })))
    .slice(0, MAX_LOOKED_UP)
  const ends = await verbs.admin.logEnds(committed, LOOK_UP_TIMEOUT_MS)
  const lags = new Map<string, { lag: number; partitions: number }>()
  for (const [at, { topic, offset }] of committed.entries()) {
    const bounds = ends[at]
    if (bounds === undefined || offset < 0) continue
    const { lag, partitions } = lags.get(topic) ?? { lag: 0, partitions: 0 }
    lags.set(topic, { lag: lag + Math.max(0, bounds.end - offset), partitions: partitions + 1 })
  }
  const topics = Array.from(lags, ([topic, of]) => ({ topic, ...of })).sort((a, b) => b.lag - a.lag)
  return { group, topics: topics.slice(0, PAGE), ...(committed.length === MAX_LOOKED_UP && { incomplete: true }) }
}

export const queueStatus = tool(
  {
    name: 'queue_status',
    description: `A queue, which is a topic and a share group: state, members, settings, and of each partition (${PAGE} at most) the records that are not settled (lag).`,
    input: z.strictObject({ topic: topicName, group: groupName }),
    rights: ['offsets']
  },
  async (call, { topic, group }) => {
    requireRight(call, 'queues.describe', { topic, group })
    const { state, members, partitions, settings } = await call.verbs.queues.describe(topic, group, LOOK_UP_TIMEOUT_MS)
    const known = partitions.flatMap(({ lag }) => lag ?? [])
    return {
      topic,
      group,
      state,
      lag: known.length === 0 ? null : known.reduce((sum, one) => sum + one, 0),
      member_count: members.length,
      members: members
        .slice(0, MAX_MEMBERS)
        .map(({ clientId, clientHost }) => ({ client: clientId.slice(0, MAX_CLIENT), host: clientHost })),
      partitions: partitions.slice(0, PAGE).map(({ partition, startOffset, lag, error }) => ({
        partition,
        first_unsettled: startOffset,
        lag,
        error
      })),
      settings: settings ?? null
    }
  }
)
