import { incarnationOfTopic, type TopicPartition } from '../../core/model.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { GroupRuntime } from './group-runtime.js'

const TIMEOUT_MS = 5_000

/**
 * What brokers say of a partition now. `another`: its topic was created anew. `gone`: there is no such topic or partition.
 * `unclear`: they cannot tell at the moment.
 */
export type PartitionNow = 'same' | 'another' | 'gone' | 'unclear'

/**
 * Asks brokers for a partition whose topic had this id.
 *
 * @param topicId `undefined`: not known, and any topic of the name is the same
 */
export function partitionNow(
  { ask }: Pick<GroupRuntime, 'ask'>,
  { topic, partition }: TopicPartition,
  topicId: string | undefined,
  onKnown: (now: PartitionNow) => void
): void {
  ask('fetchTopicMetadata', { requestId: 0, topics: [topic], timeoutMs: TIMEOUT_MS }, result => {
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
