import { incarnationOfTopic, type TopicPartition } from '../../core/model.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { FetchTopicMetadataResult } from '../../router/messages/operations.js'
import type { AskRouter } from './ask.js'

const TIMEOUT_MS = 5_000

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
  { ask }: { readonly ask: AskRouter },
  { topic, partition }: TopicPartition,
  topicId: string | undefined,
  onKnown: (now: PartitionNow, answer: FetchTopicMetadataResult) => void
): void {
  ask('fetchTopicMetadata', { topics: [topic], timeoutMs: TIMEOUT_MS }, answer => {
    const found = answer.type === 'success' ? answer.topics.get(topic) : undefined
    if (found?.errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION) onKnown('gone', answer)
    else if (found?.errorCode !== errorCodes.NONE) onKnown('unclear', answer)
    else {
      const incarnation = incarnationOfTopic(topicId, found.topicId)
      const isThere = found.partitions.some(one => one.partition === partition)
      onKnown(incarnation === 'same' && !isThere ? 'gone' : incarnation, answer)
    }
  })
}
