import { isCount } from '../../core/counts.js'
import { type Logger, type LogPosition, type Offset, type TopicPartition, topicPartitionKey } from '../../core/model.js'
import { crc32c } from '../../kafka/crc32c.js'
import {
  decodeAssignment,
  decodeSubscription,
  userDataOfAssignment,
  userDataOfSubscription
} from '../../kafka/protocol/consumer-protocol.js'

/**
 * Messages between members of a group about the start of reading, in the user data of subscriptions and assignments.
 * Clients of other kinds ignore these messages, and write other user data or none.
 *
 *   subscription   {"castellan":1,"begun":[0,2],"renewed":1}                         indexes of topics
 *   assignment     {"castellan":1,"undecided":["audit"],"ends":[["orders","Ux…",[[0,118],[1,97]],[4,null]]]}
 *                  the last list are the leader epochs of these ends; null: not known
 *                  "topics":3735928559,"counts":[["orders",2],["audit",0]]         see AssignedFrom
 */
const FORMAT = 1
const MARK = Buffer.from(`{"castellan":${FORMAT},`)
/** Limits of messages that are parsed, because a member of a group may write messages of any length. */
const MAX_SUBSCRIPTION_BYTES = 64 * 1024
const MAX_ASSIGNMENT_BYTES = 4 * 1024 * 1024

/** The ends of a topic's partitions when the group was assigned the topic for the first time. */
export interface TopicEnds {
  /** The incarnation of the topic; `undefined`: brokers do not report topic ids. */
  readonly topicId: string | undefined
  /** The ends by partition. A partition without an end begins at its earliest record. */
  readonly ends: ReadonlyMap<number, LogPosition>
}

/**
 * The leader's decision where members begin in partitions without a committed offset: at the `ends` in topics that are
 * assigned to the group for the first time, and at the earliest record in all other partitions.
 */
export interface GroupStarts {
  /** Topics without a decision of the leader. Each member decides alone. */
  readonly undecided: ReadonlySet<string>
  readonly ends: ReadonlyMap<string, TopicEnds>
}

/**
 * The basis of a member's assignment. A restarted static member uses it to check whether the assignment is still right.
 */
export interface AssignedFrom {
  /** The checksum of the topics that the member asked for: {@link checksumOf}. */
  readonly topics: number
  /** The number of partitions of each topic of the group. Only the assignment of the leader has it. */
  readonly counts?: ReadonlyMap<string, number> | undefined
}

export const checksumOf = (topics: readonly string[]): number => crc32c(Buffer.from(topics.join('\0')))

/**
 * @param begun true when the group has begun to read a topic, so that no further partition of the topic begins at its
 *   end
 * @param renewals a new number changes the subscription, so that the coordinator starts a rebalance
 */
export function encodeBegun(topics: readonly string[], begun: (topic: string) => boolean, renewals = 0): Buffer {
  return encode({
    begun: topics.flatMap((topic, at) => (begun(topic) ? [at] : [])),
    ...(renewals > 0 && { renewed: renewals })
  })
}

/** True when a Castellan wrote this user data. Such a member begins where the leader decides. */
export const isOfCastellan = (userData: Buffer): boolean => userData.subarray(0, MARK.length).equals(MARK)

/**
 * The topics that the member has begun to read; none for a client that is not Castellan. If a message is too long to be
 * parsed, all topics count as begun, because a group that begins at the end by mistake skips records.
 */
export function decodeBegun(userData: Buffer, topics: readonly string[]): readonly string[] {
  if (userData.length > MAX_SUBSCRIPTION_BYTES) return isOfCastellan(userData) ? topics : []
  const { begun } = decode(userData, MAX_SUBSCRIPTION_BYTES) ?? {}
  return listOf(begun)
    .slice(0, topics.length)
    .flatMap(at => (typeof at === 'number' ? (topics[at] ?? []) : []))
}

/** The message for one member, with only the ends of its partitions. */
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
  const entries = Array.from(ofMember, ([topic, { offsets, epochs }]) => {
    return [topic, ends.get(topic)!.topicId ?? null, offsets, epochs]
  })
  return encode({
    undecided: [...undecided],
    ends: entries,
    ...(from && { topics: from.topics }),
    ...(from?.counts && { counts: [...from.counts] })
  })
}

export function decisionOn(starts: GroupStarts | undefined, topic: string): TopicEnds | 'earliest' | undefined {
  return starts === undefined || starts.undecided.has(topic) ? undefined : (starts.ends.get(topic) ?? 'earliest')
}

/** Decodes the leader's decision; `undefined`: another client leads the group, and does not decide. */
export function decodeStarts(userData: Buffer): GroupStarts | undefined {
  const found = decode(userData, MAX_ASSIGNMENT_BYTES)
  if (!found) return undefined
  const ends = new Map<string, TopicEnds>()
  for (const [topic, topicId, offsets, epochs] of listOf(found['ends']).map(listOf)) {
    if (typeof topic !== 'string') continue
    const ofTopic = endsIn(listOf(offsets), listOf(epochs))
    ends.set(topic, { topicId: typeof topicId === 'string' ? topicId : undefined, ends: ofTopic })
  }
  return { undecided: new Set(listOf(found['undecided']).filter(topic => typeof topic === 'string')), ends }
}

/** Decodes the basis of an assignment; `undefined`: another client leads the group, or an earlier version. */
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
    return JSON.parse(String(userData))
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

const isCountOfTopic = (pair: readonly unknown[]): pair is [string, number] =>
  typeof pair[0] === 'string' && isCount(pair[1])

/**
 * True when a member reports in its subscription that it has begun to read a topic; false when the subscription cannot
 * be read.
 *
 * @param subscription `undefined`: the subscription was too long to be kept, so the member may have begun any topic
 */
export function hasBegunIn(subscription: Buffer | undefined, topic: string): boolean {
  if (subscription === undefined) return true
  try {
    return decodeBegun(userDataOfSubscription(subscription), decodeSubscription(subscription)).includes(topic)
  } catch {
    return false
  }
}

/**
 * Reads the leader's assignment for a member. Another client may lead the group, and have a bug. An assignment that
 * cannot be read is empty.
 *
 * @param topics the topics for which the member has joined; other topics are ignored
 * @returns the partitions, and where to begin in them; `undefined`: another client leads the group
 */
export function readAssignment(
  assignment: Buffer,
  topics: readonly string[],
  log: Logger
): [readonly TopicPartition[], GroupStarts | undefined] {
  try {
    return [possible(decodeAssignment(assignment), new Set(topics)), readable(assignment, decodeStarts)]
  } catch (error) {
    log.error({ err: error }, 'the assignment of the leader cannot be read')
    return [[], undefined]
  }
}

/**
 * The basis of an assignment, if it was made for a member that asks for these topics. Leaders of other software do not
 * report it. Their assignments are accepted if they have a partition of each topic.
 *
 * @returns `undefined`: the assignment was made for other topics
 */
export function madeFrom(
  assignment: Buffer,
  partitions: readonly TopicPartition[],
  topics: readonly string[]
): Partial<AssignedFrom> | undefined {
  const from = readable(assignment, decodeAssignedFrom)
  if (from) return from.topics === checksumOf(topics) ? from : undefined
  const assigned = new Set(partitions.map(({ topic }) => topic))
  return topics.every(topic => assigned.has(topic)) ? {} : undefined
}

/** Decodes the user data; `undefined` when it cannot be read, because a client that is not Castellan wrote it. */
function readable<Data>(assignment: Buffer, decode: (userData: Buffer) => Data | undefined): Data | undefined {
  try {
    return decode(userDataOfAssignment(assignment))
  } catch {
    return undefined
  }
}

/** The partitions that belong to these topics and have a valid number, each once. */
const possible = (partitions: readonly TopicPartition[], topics: ReadonlySet<string>): readonly TopicPartition[] => [
  ...new Map(
    partitions
      .filter(({ topic, partition }) => partition >= 0 && topics.has(topic))
      .map(one => [topicPartitionKey(one.topic, one.partition), one] as const)
  ).values()
]
