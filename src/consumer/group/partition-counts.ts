import type { TopicMetadata } from '../../kafka/broker-client.js'
import { errorCodes, kafkaErrorOf } from '../../kafka/error-codes.js'
import type { FetchTopicMetadata, FetchTopicMetadataResult } from '../../router/messages/operations.js'
import { isTopic } from '../../router/requests/problems.js'

const TIMEOUT_MS = 10_000
const NO_LEADER = -1

/** The partitions of a topic; none when there is no such topic. */
export type PartitionsOf = (topic: string) => readonly number[]

/**
 * @param unclear topics of which brokers cannot tell anything at the moment; they are without partitions
 * @param denied topics that brokers do not show to this process: they may exist, and are without partitions
 * @param idOf the incarnation of a topic; `undefined`: brokers do not tell, or there is no such topic
 * @param leaderlessIn partitions of a topic that have no leader at the moment
 */
export type OnPartitions = (
  partitionsOf: PartitionsOf | undefined,
  unclear: readonly string[],
  denied: readonly string[],
  idOf: (topic: string) => string | undefined,
  leaderlessIn: (topic: string) => ReadonlySet<number>
) => void

type AskMetadata = (
  request: Omit<FetchTopicMetadata, 'type' | 'requester'>,
  onResult: (result: FetchTopicMetadataResult) => void
) => void

/**
 * Looks up which partitions topics have. Calls back with `undefined` when no broker answers. Members of other clients may
 * subscribe to names that no topic can have: those are not asked for, and have no partitions.
 */
export function lookUpPartitions(ask: AskMetadata, topics: readonly string[], onFound: OnPartitions): void {
  const request = { requestId: 0, topics: topics.filter(isTopic), timeoutMs: TIMEOUT_MS }
  ask(request, result => {
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

/** That there is no such topic is clear: others need not wait until there is one. */
const isUnclear = (metadata: TopicMetadata | undefined): boolean =>
  metadata !== undefined &&
  metadata.errorCode !== errorCodes.UNKNOWN_TOPIC_OR_PARTITION &&
  kafkaErrorOf(metadata.errorCode).retriable

const isDenied = (metadata: TopicMetadata | undefined): boolean =>
  metadata?.errorCode === errorCodes.TOPIC_AUTHORIZATION_FAILED
