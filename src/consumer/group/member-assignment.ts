import { type Logger, type TopicPartition, topicPartitionKey } from '../../core/model.js'
import { decodeAssignment, userDataOfAssignment } from '../../kafka/protocol/consumer-protocol.js'
import { type AssignedFrom, checksumOf, decodeAssignedFrom, decodeStarts, type GroupStarts } from './start-messages.js'

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
