import { incarnationOfTopic, type TopicPartition } from '../../core/model.js'
import type { TopicMetadata } from '../../kafka/broker-client.js'
import { errorCodes, kafkaErrorOf } from '../../kafka/error-codes.js'
import { isTopic } from '../../router/requests/failures.js'
import type { GroupRuntime } from './group-runtime.js'

const TIMEOUT_MS = 10_000
const NO_LEADER = -1
const UNKNOWN = errorCodes.UNKNOWN_TOPIC_OR_PARTITION

/** The answer of brokers about some topics. */
export class FoundTopics {
  readonly #asked: readonly string[]
  readonly #topics: ReadonlyMap<string, TopicMetadata>

  constructor(asked: readonly string[], topics: ReadonlyMap<string, TopicMetadata>) {
    this.#asked = asked
    this.#topics = topics
  }

  /** Topics about which brokers cannot report anything at the moment. "The topic does not exist" is a clear answer. */
  get unclear(): readonly string[] {
    return this.#whoseErrorIs(code => code !== UNKNOWN && kafkaErrorOf(code).retriable)
  }

  /** Topics that brokers do not show to this process, and that may exist. */
  get denied(): readonly string[] {
    return this.#whoseErrorIs(code => code === errorCodes.TOPIC_AUTHORIZATION_FAILED)
  }

  /** The partitions of a topic; none: there is no such topic, or it is unclear or denied. */
  partitionsOf(topic: string): readonly number[] {
    const metadata = this.#topics.get(topic)
    return metadata?.errorCode === errorCodes.NONE ? metadata.partitions.map(({ partition }) => partition) : []
  }

  /** The incarnation of a topic; `undefined`: brokers do not report topic ids, or there is no such topic. */
  idOf(topic: string): string | undefined {
    return this.#topics.get(topic)?.topicId
  }

  /** Partitions of a topic that have no leader at the moment. */
  leaderlessIn(topic: string): ReadonlySet<number> {
    const partitions = this.#topics.get(topic)?.partitions ?? []
    return new Set(partitions.filter(({ leaderId }) => leaderId === NO_LEADER).map(({ partition }) => partition))
  }

  #whoseErrorIs(is: (errorCode: number) => boolean): readonly string[] {
    return this.#asked.filter(topic => is(this.#topics.get(topic)?.errorCode ?? errorCodes.NONE))
  }
}

/**
 * Looks up topics. Calls back with `undefined` when no broker answers. Another client may subscribe to invalid topic
 * names. Such names are not looked up, and have no partitions.
 */
export function lookUpTopics(
  { ask }: Pick<GroupRuntime, 'ask'>,
  topics: readonly string[],
  onFound: (found: FoundTopics | undefined) => void
): void {
  const request = { requestId: 0, topics: topics.filter(isTopic), timeoutMs: TIMEOUT_MS }
  ask('fetchTopicMetadata', request, result =>
    onFound(result.type === 'success' ? new FoundTopics(topics, result.topics) : undefined)
  )
}

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
    if (found?.errorCode === UNKNOWN) onKnown('gone')
    else if (found?.errorCode !== errorCodes.NONE) onKnown('unclear')
    else {
      const incarnation = incarnationOfTopic(topicId, found.topicId)
      if (incarnation === 'same') onKnown(found.partitions.some(one => one.partition === partition) ? 'same' : 'gone')
      else onKnown(incarnation)
    }
  })
}
