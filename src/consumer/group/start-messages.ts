import type { LogPosition, Offset, TopicPartition } from '../../core/model.js'
import { crc32c } from '../../kafka/crc32c.js'
import { decodeSubscription, userDataOfSubscription } from '../../kafka/protocol/consumer-protocol.js'

/**
 * What members of a group tell each other about where reading begins, in the user data of subscriptions and assignments.
 * Members of other clients ignore it, and write something else or nothing there.
 *
 *   subscription   {"castellan":1,"begun":[0,2],"renewed":1}                         indexes of topics
 *   assignment     {"castellan":1,"undecided":["audit"],"ends":[["orders","Ux…",[[0,118],[1,97]],[4,null]]]}
 *                  the last list are the leader epochs of these ends; null: not known
 *                  "topics":3735928559,"counts":[["orders",2],["audit",0]]         see AssignedFrom
 */
const FORMAT = 1
const MARK = Buffer.from(`{"castellan":${FORMAT},`)
/** Any member of a group may write these bytes, and a client chooses how many: more than this are not parsed. */
const MAX_SUBSCRIPTION_BYTES = 64 * 1024
const MAX_ASSIGNMENT_BYTES = 4 * 1024 * 1024

/** The ends of a topic's partitions when the group was assigned the topic for the first time. */
export interface TopicEnds {
  /** The incarnation of the topic; `undefined`: brokers do not tell. */
  readonly topicId: string | undefined
  /** By partition. One that is missing begins at its earliest record. */
  readonly ends: ReadonlyMap<number, LogPosition>
}

/**
 * Where members begin in partitions without a committed offset, as the leader has decided for all: at the `ends` of topics that
 * the group is assigned for the first time, and at the earliest record of all other partitions.
 */
export interface GroupStarts {
  /** Topics of which the leader could not decide: each member decides alone. */
  readonly undecided: ReadonlySet<string>
  readonly ends: ReadonlyMap<string, TopicEnds>
}

/** What the assignment of a member was made from, which tells a static member that has restarted whether it still holds. */
export interface AssignedFrom {
  /** Checksum of the topics that it asked for: {@link checksumOf}. */
  readonly topics: number
  /** In the assignment of the leader: how many partitions each topic of the group had. */
  readonly counts?: ReadonlyMap<string, number> | undefined
}

export const checksumOf = (topics: readonly string[]): number => crc32c(Buffer.from(topics.join('\0')))

/**
 * @param begun which of the topics the group has begun to read: it begins nowhere at the end any more
 * @param renewals each number makes the subscription another one than it was, so that the coordinator has the group join again
 */
export function encodeBegun(topics: readonly string[], begun: (topic: string) => boolean, renewals = 0): Buffer {
  return encode({
    begun: topics.flatMap((topic, at) => (begun(topic) ? [at] : [])),
    ...(renewals > 0 && { renewed: renewals })
  })
}

/** Whether the user data of a subscription is of a member that begins where the leader decides. */
export const isOfCastellan = (userData: Buffer): boolean => userData.subarray(0, MARK.length).equals(MARK)

/**
 * The topics that the member has begun to read; none when it is of another client. Of one that writes too much to be parsed it
 * is all of its topics: a group that begins at the end by mistake skips records.
 */
export function decodeBegun(userData: Buffer, topics: readonly string[]): readonly string[] {
  if (userData.length > MAX_SUBSCRIPTION_BYTES) return isOfCastellan(userData) ? topics : []
  const { begun } = decode(userData, MAX_SUBSCRIPTION_BYTES) ?? {}
  return listOf(begun)
    .slice(0, topics.length)
    .flatMap(at => (typeof at === 'number' ? (topics[at] ?? []) : []))
}

/** For one member: of the ends, those of its partitions. */
export function encodeStarts(
  { undecided, ends }: GroupStarts,
  partitions: readonly TopicPartition[],
  from?: AssignedFrom
): Buffer {
  const ofMember = new Map<string, { offsets: [partition: number, offset: Offset][]; epochs: (number | null)[] }>()
  for (const { topic, partition } of partitions) {
    const end = ends.get(topic)?.ends.get(partition)
    if (end === undefined) continue
    const ofTopic = ofMember.get(topic) ?? { offsets: [], epochs: [] }
    ofMember.set(topic, ofTopic)
    ofTopic.offsets.push([partition, end.offset])
    ofTopic.epochs.push(end.leaderEpoch ?? null)
  }
  const told = Array.from(ofMember, ([topic, { offsets, epochs }]) => {
    return [topic, ends.get(topic)!.topicId ?? null, offsets, epochs]
  })
  return encode({
    undecided: [...undecided],
    ends: told,
    ...(from && { topics: from.topics }),
    ...(from?.counts && { counts: [...from.counts] })
  })
}

/** What the leader has decided about a topic. */
export function decisionOn(starts: GroupStarts | undefined, topic: string): TopicEnds | 'earliest' | undefined {
  return starts === undefined || starts.undecided.has(topic) ? undefined : (starts.ends.get(topic) ?? 'earliest')
}

/** `undefined`: the leader is of another client, which decides nothing. */
export function decodeStarts(userData: Buffer): GroupStarts | undefined {
  const found = decode(userData, MAX_ASSIGNMENT_BYTES)
  if (!found) return undefined
  const ends = new Map<string, TopicEnds>()
  for (const [topic, topicId, offsets, epochs] of listOf(found['ends']).map(listOf)) {
    if (typeof topic !== 'string') continue
    const ofTopic = endsIn(listOf(offsets), listOf(epochs))
    ends.set(topic, { topicId: typeof topicId === 'string' ? topicId : undefined, ends: ofTopic })
  }
  return { undecided: new Set(listOf(found['undecided']) as string[]), ends }
}

/** `undefined`: the leader is of another client, or of an earlier version. */
export function decodeAssignedFrom(userData: Buffer): AssignedFrom | undefined {
  const found = decode(userData, MAX_ASSIGNMENT_BYTES)
  const topics = found?.['topics']
  if (!isCount(topics)) return undefined
  const counts = listOf(found?.['counts']).map(listOf).filter(isCountOfTopic)
  return { topics, ...(counts.length > 0 && { counts: new Map(counts) }) }
}

const encode = (what: object): Buffer => Buffer.from(JSON.stringify({ castellan: FORMAT, ...what }))

function decode(userData: Buffer, maxBytes: number): Record<string, unknown> | undefined {
  if (userData.length > maxBytes || !userData.subarray(0, MARK.length).equals(MARK)) return undefined
  try {
    return JSON.parse(String(userData)) as Record<string, unknown>
  } catch {
    return undefined
  }
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

function endsIn(offsets: readonly unknown[], epochs: readonly unknown[]): ReadonlyMap<number, LogPosition> {
  const ends = new Map<number, LogPosition>()
  for (const [at, pair] of offsets.map(listOf).entries()) {
    const [partition, offset] = pair
    const leaderEpoch = epochs[at]
    if (pair.length !== 2 || !isCount(partition) || !isCount(offset)) continue
    ends.set(partition, { offset, ...(isCount(leaderEpoch) && { leaderEpoch }) })
  }
  return ends
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

const isCountOfTopic = (pair: readonly unknown[]): pair is [string, number] =>
  typeof pair[0] === 'string' && isCount(pair[1])

/**
 * Whether a member has begun to read a topic, by its whole subscription; not when that cannot be read.
 *
 * @param subscription `undefined`: too long to be told; the member may have begun any topic
 */
export function hasBegunIn(subscription: Buffer | undefined, topic: string): boolean {
  if (subscription === undefined) return true
  try {
    return decodeBegun(userDataOfSubscription(subscription), decodeSubscription(subscription)).includes(topic)
  } catch {
    return false
  }
}
