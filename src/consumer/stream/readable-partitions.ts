import { InvalidRequestError } from '../../core/errors.js'
import type { TopicMetadata } from '../../kafka/broker-client.js'
import { errorCodes, kafkaErrorOf } from '../../kafka/error-codes.js'

/**
 * The metadata of a topic that can be read.
 *
 * @param topics what Kafka answered
 * @throws InvalidRequestError `unknownTopic`, `invalidTopic` or `kafka`
 */
export function requireTopic(topic: string, topics: ReadonlyMap<string, TopicMetadata>): TopicMetadata {
  const metadata = topics.get(topic)
  const errorCode = metadata?.errorCode ?? errorCodes.UNKNOWN_TOPIC_OR_PARTITION
  if (metadata && errorCode === errorCodes.NONE) return metadata
  if (errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION)
    throw new InvalidRequestError(`topic ${topic} does not exist`, 'unknownTopic')
  throw new InvalidRequestError(
    `topic ${topic} cannot be read: ${kafkaErrorOf(errorCode).message}`,
    errorCode === errorCodes.INVALID_TOPIC_EXCEPTION ? 'invalidTopic' : 'kafka'
  )
}

/**
 * The partitions to read, each once.
 *
 * @param chosen `undefined`: all
 * @throws InvalidRequestError `unknownPartition`
 */
export function choosePartitions({ topic, partitions }: TopicMetadata, chosen?: readonly number[]): readonly number[] {
  const existing = partitions.map(({ partition }) => partition)
  const missing = chosen?.find(partition => !existing.includes(partition))
  if (missing !== undefined)
    throw new InvalidRequestError(
      `topic ${topic} has no partition ${missing}; ${numbersOf(existing)}`,
      'unknownPartition'
    )
  return chosen === undefined ? existing : [...new Set(chosen)]
}

const numbersOf = (partitions: readonly number[]): string =>
  partitions.length === 1 ? `its only one is ${partitions[0]}` : `they are 0 to ${partitions.length - 1}`
