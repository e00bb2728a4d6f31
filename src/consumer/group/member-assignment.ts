import { type Logger, type TopicPartition, topicPartitionKey } from '../../core/model.js'
import { decodeAssignment, userDataOfAssignment } from '../../kafka/protocol/consumer-protocol.js'
import type { GroupRuntime } from './group-runtime.js'
import { type AssignedFrom, checksumOf, decodeAssignedFrom, decodeStarts, type GroupStarts } from './start-messages.js'
import { lookUpPartitions } from './topic-look-ups.js'

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

/** Assigned partitions that exist. */
export interface Existing {
  readonly found: readonly TopicPartition[]
  /** The number of partitions of each topic, if some assigned partitions do not exist; absent: all of them exist. */
  readonly counts?: ReadonlyMap<string, number>
}

/** Looks up which of the assigned partitions exist. Calls back with `undefined` when no broker answers. */
export function findExisting(
  runtime: GroupRuntime,
  partitions: readonly TopicPartition[],
  onFound: (existing: Existing | undefined) => void
): void {
  const topics = [...new Set(partitions.map(({ topic }) => topic))]
  lookUpPartitions(runtime, topics, partitionsOf => {
    if (partitionsOf === undefined) {
      onFound(undefined)
      return
    }
    const existing = new Map(topics.map(topic => [topic, new Set(partitionsOf(topic))]))
    const found = partitions.filter(({ topic, partition }) => existing.get(topic)!.has(partition))
    const unknown = partitions.length - found.length
    if (unknown === 0) onFound({ found })
    else {
      runtime.log.warn({ partitions: unknown }, 'the leader of the group has assigned partitions that do not exist')
      onFound({ found, counts: new Map(Array.from(existing, ([topic, ofTopic]) => [topic, ofTopic.size])) })
    }
  })
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
