import { incarnationOfTopic, type TopicPartition } from '../../core/model.js'
import type { TopicMetadata } from '../../kafka/broker-client.js'
import { errorCodes, kafkaErrorOf } from '../../kafka/error-codes.js'
import { isTopic } from '../../router/requests/failures.js'
import type { GroupRuntime } from './group-runtime.js'

const TIMEOUT_MS = 10_000
const NO_LEADER = -1

/** Returns the partitions of a topic, or an empty list when there is no such topic. */
export type PartitionsOf = (topic: string) => readonly number[]

/**
 * @param unclear topics about which brokers cannot report anything at the moment; `partitionsOf` returns no partitions
 *   for them
 * @param denied topics that brokers do not show to this process and that may exist; `partitionsOf` returns no
 *   partitions for them
 * @param idOf the incarnation of a topic; `undefined`: brokers do not report topic ids, or there is no such topic
 * @param leaderlessIn partitions of a topic that have no leader at the moment
 */
export type OnPartitions = (
  partitionsOf: PartitionsOf | undefined,
  unclear: readonly string[],
  denied: readonly string[],
  idOf: (topic: string) => string | undefined,
  leaderlessIn: (topic: string) => ReadonlySet<number>
) => void

/**
 * Looks up the partitions of topics. Calls back with `undefined` when no broker answers. Another client may
 * subscribe to invalid topic names. Such names are not looked up, and have no partitions.
 */
export function lookUpPartitions(
  { ask }: Pick<GroupRuntime, 'ask'>,
  topics: readonly string[],
  onFound: OnPartitions
): void {
  const request = { requestId: 0, topics: topics.filter(isTopic), timeoutMs: TIMEOUT_MS }
  ask('fetchTopicMetadata', request, result => {
    if (result.type !== 'success')
      onFound(
        undefined,
        [],
        [],
        () => undefined,
        () => new Set()
      )
    else {
      const unclear = topics.filter(topic => isUnclear(result.topics.get(topic)))
      const denied = topics.filter(topic => isDenied(result.topics.get(topic)))
      const idOf = (topic: string): string | undefined => result.topics.get(topic)?.topicId
      const leaderlessIn = (topic: string): ReadonlySet<number> => withoutLeader(result.topics.get(topic))
      onFound(topic => partitionsIn(result.topics.get(topic)), unclear, denied, idOf, leaderlessIn)
    }
  })
}

const partitionsIn = (metadata: TopicMetadata | undefined): readonly number[] =>
  metadata?.errorCode === errorCodes.NONE ? metadata.partitions.map(({ partition }) => partition) : []

const withoutLeader = (metadata: TopicMetadata | undefined): ReadonlySet<number> =>
  new Set(metadata?.partitions.filter(({ leaderId }) => leaderId === NO_LEADER).map(({ partition }) => partition))

/** True when brokers gave no clear answer about a topic. "The topic does not exist" is a clear answer. */
const isUnclear = (metadata: TopicMetadata | undefined): boolean =>
  metadata !== undefined &&
  metadata.errorCode !== errorCodes.UNKNOWN_TOPIC_OR_PARTITION &&
  kafkaErrorOf(metadata.errorCode).retriable

const isDenied = (metadata: TopicMetadata | undefined): boolean =>
  metadata?.errorCode === errorCodes.TOPIC_AUTHORIZATION_FAILED

const PARTITION_TIMEOUT_MS = 5_000

/**
 * The present state of a partition. `another`: its topic was created again. `gone`: there is no such topic or
 * partition. `unclear`: brokers do not know it at the moment.
 */
type PartitionNow = 'same' | 'another' | 'gone' | 'unclear'

/**
 * Looks up the present state of a partition whose topic had this id.
 *
 * @param topicId `undefined`: the id is unknown, so any topic of this name counts as the same
 */
export function partitionNow(
  { ask }: Pick<GroupRuntime, 'ask'>,
  { topic, partition }: TopicPartition,
  topicId: string | undefined,
  onKnown: (now: PartitionNow) => void
): void {
  ask('fetchTopicMetadata', { requestId: 0, topics: [topic], timeoutMs: PARTITION_TIMEOUT_MS }, result => {
    const found = result.type === 'success' ? result.topics.get(topic) : undefined
    if (found?.errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION) onKnown('gone')
    else if (found?.errorCode !== errorCodes.NONE) onKnown('unclear')
    else {
      const incarnation = incarnationOfTopic(topicId, found.topicId)
      if (incarnation === 'same') onKnown(found.partitions.some(one => one.partition === partition) ? 'same' : 'gone')
      else onKnown(incarnation)
    }
  })
}
