import { isCount } from '../../core/counts.js'
import { errorCodeOf } from '../../core/error-code-of.js'
import { type CastellanError, type ErrorCode, KafkaError } from '../../core/errors.js'
import { MAX_TOPIC_LENGTH, type Offset, type TopicPartition } from '../../core/model.js'
import { errorCodes, kafkaErrorOf, shownWords } from '../../kafka/error-codes.js'
import type { Failure } from '../messages/request.js'

/**
 * The failure for an error code of Kafka.
 *
 * @param message the text of the broker, which is told where it may be shown; `null`: it has sent none
 */
export function kafkaFailure(errorCode: number, message: string | null = null): Failure {
  const error = kafkaErrorOf(errorCode)
  const { retriable } = error
  return {
    type: 'failed',
    errorCode,
    code: failureCodeOf(errorCode),
    message: shownWords(errorCode, message) ?? error.message,
    retriable
  }
}

const failureCodeOf = (errorCode: number): ErrorCode => {
  switch (errorCode) {
    case errorCodes.INVALID_TOPIC_EXCEPTION:
      return 'invalidTopic'
    case errorCodes.TOPIC_AUTHORIZATION_FAILED:
    case errorCodes.GROUP_AUTHORIZATION_FAILED:
    case errorCodes.CLUSTER_AUTHORIZATION_FAILED:
      return 'notAuthorized'
    default:
      return 'kafka'
  }
}

export const ownFailure = (code: ErrorCode, message: string, retriable: boolean, setting?: string): Failure => ({
  type: 'failed',
  errorCode: undefined,
  code,
  message,
  retriable,
  setting
})

const MAX_WAITING = 'advanced.router.maxWaitingRequests'
/** The failure of a request for which there is no place. */
export const tooManyWait = (what: string, limit: number): Failure =>
  ownFailure('overloaded', `${what} (limit ${limit}; ${MAX_WAITING})`, true, MAX_WAITING)

/** The failure for a broker's answer without an error code whose offset is impossible in a log or beyond 2^53. */
export const oddOffset = (offset: number | undefined): Failure =>
  ownFailure('protocol', `the broker answered with an impossible offset: ${offset ?? 'beyond 2^53'}`, false)

/** The failure for the requests of a call that was rejected because of its content, not because of the broker. */
export const failureOf = (error: CastellanError): Failure => ({
  type: 'failed',
  errorCode: error instanceof KafkaError ? error.errorCode : undefined,
  code: errorCodeOf(error),
  message: error.message,
  retriable: error.retriable,
  setting: error.setting
})

// The limit is far below that of the protocol, whose length field has 16 bits.
const MAX_GROUP_LENGTH = 8_000
export const MAX_PARTITION = 0x7fff_ffff

/** The failure for a request that can never be sent to a broker. */
export const invalid = (code: 'invalidTopic' | 'invalidRequest', message: string): Failure =>
  ownFailure(code, message, false)

// A broker returns a name that is not valid UTF-16 as another name.
const SURROGATES = /[\ud800-\udfff]/
export const isTopic = (topic: unknown): boolean =>
  typeof topic === 'string' && topic.length > 0 && topic.length <= MAX_TOPIC_LENGTH && !SURROGATES.test(topic)

interface PlacedRequest {
  readonly topicPartition: TopicPartition
  readonly offset: Offset
}

export function problemOfPartition({ topic, partition }: TopicPartition): Failure | undefined {
  if (!isTopic(topic)) return invalid('invalidTopic', 'the topic name is not legal')
  if (isCount(partition) && partition <= MAX_PARTITION) return undefined
  return invalid('invalidRequest', `the partition must be a number of at least 0, got ${JSON.stringify(partition)}`)
}

export const problemOfPlace = ({ topicPartition, offset }: PlacedRequest): Failure | undefined =>
  problemOfPartition(topicPartition) ??
  (isCount(offset) ? undefined : invalid('invalidRequest', `not an offset: ${offset}`))

export function problemOfGroup(groupId: unknown): Failure | undefined {
  if (typeof groupId === 'string' && groupId.length <= MAX_GROUP_LENGTH) return undefined
  return invalid('invalidRequest', 'the group id is too long')
}
