import { isOfAnother, markIn } from '../consumer/group/ack-encoding.js'
import type { ActorRef } from '../core/actor/actor.js'
import { performanceClock } from '../core/clocks.js'
import { InvalidRequestError, KafkaError } from '../core/errors.js'
import { getOrAdd, groupBy } from '../core/maps.js'
import type { MonotonicClock, Offset, TopicPartition } from '../core/model.js'
import type { TopicMetadata } from '../kafka/calls.js'
import { errorCodes, kafkaErrorOf } from '../kafka/error-codes.js'
import type { RouterMessage } from '../router/messages/operations.js'
import { askRouter, mapInPortions } from '../router/routing/ask-router.js'
import { requireAnswer, toAdminError } from './kafka-admin.js'
import { TimeLimit } from './offsets.js'

/** Partitions of one group that are read. A group with more is refused, because its offsets are in memory together. */
const MAX_PARTITIONS = 20_000

/** The position of a group in a partition, and the end of the partition's log. */
export interface PartitionLag {
  readonly partition: number
  /** `undefined`: the group has committed no offset in this partition, or only in an earlier topic of the same name. */
  readonly committed: Offset | undefined
  /** Offset of the next record to be written. `undefined`: the partition does not exist. */
  readonly end: Offset | undefined
  /**
   * Records after the committed offset. `undefined`: it is not known, since no offset is committed, or the offset is
   * beyond the end of the log.
   */
  readonly lag: number | undefined
}

/** Why the last question had no answer: what an operator can do depends on it. */
export type LagFailure = 'refused' | 'tooLarge' | 'noAnswer'

/** The lag of a group in a topic, in which it has committed at least one offset. */
export interface TopicLag {
  readonly topic: string
  /** All partitions of the topic. Empty: the topic cannot be read. */
  readonly partitions: readonly PartitionLag[]
  /** Why the lag is not known, or only a part of it; `undefined`: it is known. */
  readonly trouble: string | undefined
  /** Kafka does not let the topic be described. */
  readonly failure?: 'refused' | undefined
}

export interface LagRow {
  readonly cluster: string
  readonly group: string
  /** `undefined`: the row is about the group as a whole. */
  readonly topic: string | undefined
  readonly partitions: number
  /** Partitions of the topic in which the group has committed no offset. Their records do not count as lag. */
  readonly uncommitted: number
  /** Records after the committed offsets of all partitions that have one. `undefined`: it is not known. */
  readonly lag: number | undefined
  /** When Kafka answered, in milliseconds since 1970. `undefined`: it has not answered yet. */
  readonly asOf: number | undefined
  /** Why the lag is not known, or is that of an earlier time; `undefined`: all is well. */
  readonly trouble: string | undefined
  /** `undefined`: the last question was answered. */
  readonly failure?: LagFailure | undefined
}

/** The known lag of consumer groups. */
export interface LagSource {
  /** Time between two questions about a group. `undefined`: Kafka is not asked, and there are no rows. */
  readonly everyMs: number | undefined
  /** The rows in no particular order. Kafka is not asked. */
  lagOf(): readonly LagRow[]
}

/**
 * Asks Kafka for the lag of a group in all topics in which it has committed offsets. All requests but the look-up of the
 * topics use the connections for administration, so they delay no commit and no reader. The committed offsets are read
 * before the ends, so a lag is never too small.
 *
 * @returns in the order of the topics; empty: the group has committed nothing, or does not exist
 * @throws CastellanError when Kafka does not answer in time, KafkaError when it refuses
 */
export async function readLag(
  router: ActorRef<RouterMessage>,
  groupId: string,
  timeoutMs: number,
  clock: MonotonicClock = performanceClock
): Promise<readonly TopicLag[]> {
  const limit = new TimeLimit(timeoutMs, clock)
  const committed = await committedOf(router, groupId, limit)
  const topics = await topicsOf(router, [...committed.keys()], limit)
  let partitions = 0
  for (const topic of committed.keys()) partitions += topics.get(topic)?.partitions.length ?? 0
  if (partitions > MAX_PARTITIONS) {
    throw new InvalidRequestError(
      `the group has offsets in topics of ${partitions} partitions (limit ${MAX_PARTITIONS})`
    )
  }
  const names = [...committed.keys()].sort()
  const asked = names.flatMap(topic =>
    (topics.get(topic)?.partitions ?? []).map(({ partition }) => ({ topic, partition }))
  )
  // All topics are asked about together, so that a partition without a leader costs the others no time.
  const ends = await mapInPortions(asked, topicPartition => endOf(router, topicPartition, limit))
  const byTopic = new Map<string, End[]>(names.map(topic => [topic, []]))
  for (const end of ends) byTopic.get(end.topic)!.push(end)
  return names.map(topic => lagIn(topic, topics.get(topic), committed.get(topic)!, byTopic.get(topic)!))
}

/**
 * Asks Kafka for the lag of a share group in all topics for which it has a state. `committed` is where the partition begins for the
 * group, `lag` what is not settled from there on, and `end` is not told.
 *
 * @returns in the order of the topics; empty: the group has no state, or does not exist
 * @throws CastellanError when Kafka does not answer in time, KafkaError when it refuses
 */
export async function readShareLag(
  router: ActorRef<RouterMessage>,
  groupId: string,
  timeoutMs: number
): Promise<readonly TopicLag[]> {
  const result = await askRouter(router, { type: 'fetchShareOffsets', groupId, topic: null, timeoutMs })
  // A Kafka without share groups has no such group.
  if (result.type === 'failed' && result.errorCode === errorCodes.UNSUPPORTED_VERSION) return []
  const { offsets } = requireAnswer(result, `the offsets of share group ${groupId}`, timeoutMs)
  return [...groupBy(offsets, ({ topic }) => topic)]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([topic, offsets]) => ({
      topic,
      // Before the first settling Kafka does not tell the lag, and the start may still change.
      partitions: offsets.map(({ partition, startOffset, lag }) => {
        return {
          partition,
          committed: lag < 0 ? undefined : startOffset,
          end: undefined,
          lag: lag < 0 ? undefined : lag
        }
      }),
      trouble: undefined
    }))
}

interface Stored {
  readonly offset: Offset
  readonly metadata: string
}

async function committedOf(
  router: ActorRef<RouterMessage>,
  groupId: string,
  limit: TimeLimit
): Promise<ReadonlyMap<string, ReadonlyMap<number, Stored>>> {
  const result = await askRouter(router, { type: 'fetchGroupOffsets', groupId, timeoutMs: limit.remainingMs })
  const { offsets } = requireAnswer(result, `the offsets of group ${groupId}`, limit.timeoutMs)
  const byTopic = new Map<string, Map<number, Stored>>()
  for (const { topic, partition, offset, metadata } of offsets) {
    getOrAdd(byTopic, topic, () => new Map()).set(partition, { offset, metadata })
  }
  return byTopic
}

async function topicsOf(
  router: ActorRef<RouterMessage>,
  names: readonly string[],
  limit: TimeLimit
): Promise<ReadonlyMap<string, TopicMetadata>> {
  if (names.length === 0) return new Map()
  const asked = { type: 'fetchTopicMetadata', topics: names, timeoutMs: limit.remainingMs } as const
  const result = await askRouter(router, asked)
  return requireAnswer(result, 'the request for the topics of a group', limit.timeoutMs).topics
}

const NO_SUCH_TOPIC = 'the topic does not exist any more'
/** A group that goes on there may skip records, or read them again. */
export const BEYOND_END =
  'a committed offset is beyond the end of the log: the topic was created again, or the end of the log was lost'

interface End extends TopicPartition {
  readonly end: Offset | undefined
  readonly trouble: string | undefined
}

async function endOf(router: ActorRef<RouterMessage>, topicPartition: TopicPartition, limit: TimeLimit): Promise<End> {
  const result = await askRouter(router, { type: 'fetchLogEnd', topicPartition, timeoutMs: limit.remainingMs })
  if (result.type === 'success') return { ...topicPartition, end: result.offset, trouble: undefined }
  if (result.type === 'unknownTopicOrPartition') return { ...topicPartition, end: undefined, trouble: NO_SUCH_TOPIC }
  const { message } = toAdminError(
    result,
    `the end of ${topicPartition.topic}/${topicPartition.partition}`,
    limit.timeoutMs
  )
  return { ...topicPartition, end: undefined, trouble: message }
}

function lagIn(
  topic: string,
  metadata: TopicMetadata | undefined,
  committed: ReadonlyMap<number, Stored>,
  ends: readonly End[]
): TopicLag {
  const { errorCode = errorCodes.UNKNOWN_TOPIC_OR_PARTITION, topicId } = metadata ?? {}
  if (errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION) return { topic, partitions: [], trouble: NO_SUCH_TOPIC }
  if (errorCode !== errorCodes.NONE) {
    const trouble = kafkaErrorOf(errorCode).message
    return { topic, partitions: [], trouble, ...(isRefusal(errorCode) && { failure: 'refused' }) }
  }
  let trouble = ends.find(one => one.trouble !== undefined)?.trouble
  const partitions = ends.map(({ partition, end }): PartitionLag => {
    const stored = committed.get(partition)
    if (stored === undefined || isOfAnother(markIn(stored), topicId)) {
      return { partition, committed: undefined, end, lag: undefined }
    }
    const { offset } = stored
    const isBeyond = end !== undefined && offset > end
    if (isBeyond) trouble ??= BEYOND_END
    return { partition, committed: offset, end, lag: end === undefined || isBeyond ? undefined : end - offset }
  })
  partitions.sort((one, other) => one.partition - other.partition)
  return { topic, partitions, trouble }
}

const REFUSALS: ReadonlySet<number> = new Set([
  errorCodes.TOPIC_AUTHORIZATION_FAILED,
  errorCodes.GROUP_AUTHORIZATION_FAILED,
  errorCodes.CLUSTER_AUTHORIZATION_FAILED
])
const isRefusal = (errorCode: number): boolean => REFUSALS.has(errorCode)

/** Why {@link readLag} has thrown. */
export function lagFailureOf(error: unknown): LagFailure {
  if (error instanceof InvalidRequestError) return 'tooLarge'
  return error instanceof KafkaError && isRefusal(error.errorCode) ? 'refused' : 'noAnswer'
}

/** The sum of what is known of a topic's partitions. */
export function sumOf({ partitions }: TopicLag): Pick<LagRow, 'partitions' | 'uncommitted' | 'lag'> {
  const known = partitions.flatMap(({ lag }) => lag ?? [])
  return {
    partitions: partitions.length,
    uncommitted: partitions.filter(({ committed }) => committed === undefined).length,
    lag: known.length === 0 ? undefined : known.reduce((sum, lag) => sum + lag, 0)
  }
}
