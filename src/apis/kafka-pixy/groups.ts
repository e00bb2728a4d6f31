import { ApiError } from '../../http/api/api-answers.js'
import type { GroupOffset, GroupReader, Verbs } from '../../verbs/verbs.js'

type PartitionsByClient = ReadonlyMap<string, readonly number[]>

/** The named group does not exist, or does not read the topic. */
export class NoReadersError extends ApiError {}

/**
 * Looks up the readers of a topic by group. Groups without a reader of the topic are left out.
 *
 * @param group absent: all groups
 * @param includes whether the client may see a group
 * @throws NoReadersError when the named group does not read the topic
 */
export async function readersOf(
  verbs: Verbs,
  { topic, group }: { readonly topic: string; readonly group?: string | undefined },
  includes: (group: string) => boolean,
  timeoutMs: number
): Promise<ReadonlyMap<string, PartitionsByClient>> {
  const groups = await verbs.groups.consumers(group === undefined ? 'all' : [group], timeoutMs, { topic, includes })
  if (group !== undefined && !groups.has(group)) throw new NoReadersError(400, `unknown consumer group ${group}`)
  const found = [...groups].map(([name, readers]) => [name, partitionsByClient(readers, topic)] as const)
  const reading = found.filter(([, clients]) => clients.size > 0)
  if (group !== undefined && reading.length === 0) {
    throw new NoReadersError(400, `topic ${topic} is not consumed by ${group}`)
  }
  return new Map(reading)
}

/** Settings that topics have for themselves, by topic. */
export type TopicConfigs = ReadonlyMap<string, ReadonlyMap<string, string>>

/** Version of the document in which Kafka-Pixy found the settings of a topic. */
export const CONFIG_VERSION = 1

export const configsOf = (verbs: Verbs, topics: readonly string[], timeoutMs: number): Promise<TopicConfigs> =>
  topics.length === 0 ? Promise.resolve(new Map()) : verbs.topicConfigs(topics, timeoutMs)

/**
 * The readers of a topic and their partitions, by the name of the client. Clients of one group may have the same name;
 * then the coordinator's name distinguishes them.
 */
function partitionsByClient(readers: readonly GroupReader[], topic: string): PartitionsByClient {
  const clients = new Map<string, number>()
  for (const { clientId } of readers) clients.set(clientId, (clients.get(clientId) ?? 0) + 1)
  const found = new Map<string, readonly number[]>()
  for (const { instanceId, clientId, memberId, partitions } of readers) {
    const ofTopic = partitions.get(topic)
    if (ofTopic === undefined || ofTopic.length === 0) continue
    found.set(instanceId ?? (clients.get(clientId) === 1 ? clientId : memberId), ofTopic)
  }
  return found
}

/** Offsets that stand for positions: the end, where a group without a committed offset starts, and the first record. */
const NEWEST = -1
const OLDEST = -2

/**
 * Number of records that a group has not read, counted as Kafka-Pixy does: from the committed offset, or from the
 * group's start.
 */
export function lagOf({ earliest, latest, committed, beginsAt }: GroupOffset): number {
  const offset = committed?.offset ?? beginsAt ?? NEWEST
  return offset === NEWEST ? 0 : latest - (offset === OLDEST ? earliest : offset)
}

/** The offset of a group that has committed nothing. */
export const NO_OFFSET = -1
export const UNKNOWN_TOPIC = 'Unknown topic'
