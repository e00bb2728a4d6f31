import { type CastellanError, type ErrorCode, KafkaError } from '../errors.js'
import type { Failure } from '../operations.js'
import { kafkaErrorOf } from '../wire/error-codes.js'
import type { Accepted, AnyAccepted, Obstacle, Routed } from './accepted.js'

/** What a result repeats of its request. */
interface EchoKeys {
  fetchData: 'operation' | 'topicPartition' | 'offset'
  fetchOffset: 'operation' | 'topicPartition' | 'offsetType'
  fetchConsumerOffset: 'operation' | 'topicPartition' | 'groupId'
  commitConsumerOffset: 'operation' | 'topicPartition' | 'groupId' | 'offsetAndMetadata'
  fetchTopicMetadata: 'operation' | 'requestId'
}
type Echoing = keyof EchoKeys
type OmitEach<Union, Keys extends PropertyKey> = Union extends unknown ? Omit<Union, Keys> : never
/** A result without what it repeats. */
export type Outcome<Kind extends Echoing> = OmitEach<Routed[Kind]['result'], EchoKeys[Kind]>

/** Answers with `outcome` and the keys of the request. */
export function reply<Kind extends Echoing>(accepted: Accepted<Kind>, outcome: Outcome<Kind>): void {
  accepted.answer({ ...echoOf(accepted as AnyAccepted), ...outcome } as unknown as Routed[Kind]['result'])
}

export function replyAll<Kind extends Echoing>(waiters: readonly Accepted<Kind>[], outcome: Outcome<Kind>): void {
  for (const waiter of waiters) reply(waiter, outcome)
}

function echoOf(accepted: AnyAccepted): object {
  switch (accepted.kind) {
    case 'fetchData':
      return {
        operation: 'fetchData',
        topicPartition: accepted.request.topicPartition,
        offset: accepted.request.offset
      }
    case 'fetchOffset':
      return {
        operation: 'fetchOffset',
        topicPartition: accepted.request.topicPartition,
        offsetType: accepted.request.offsetType
      }
    case 'fetchConsumerOffset':
      return {
        operation: 'fetchConsumerOffset',
        topicPartition: accepted.request.topicPartition,
        groupId: accepted.request.groupId
      }
    case 'commitConsumerOffset':
      return {
        operation: 'commitConsumerOffset',
        topicPartition: accepted.request.topicPartition,
        groupId: accepted.request.groupId,
        offsetAndMetadata: accepted.request.offsetAndMetadata
      }
    case 'fetchTopicMetadata':
      return { operation: 'fetchTopicMetadata', requestId: accepted.request.requestId }
    case 'initProducerId':
    case 'findCoordinator':
    case 'produceBatch':
      return {}
  }
}

/** Kafka said so: the code, and whether the same request may succeed later. */
export function kafkaFailure(errorCode: number): Failure {
  const { message, retriable } = kafkaErrorOf(errorCode)
  return { type: 'failed', errorCode, code: failureCodeOf(errorCode), message, retriable }
}

const failureCodeOf = (errorCode: number): ErrorCode => {
  switch (errorCode) {
    case 17:
      return 'invalidTopic'
    case 29:
    case 30:
    case 31:
      return 'notAuthorized'
    default:
      return 'kafka'
  }
}

/** We said so. */
export const ownFailure = (code: ErrorCode, message: string, retriable: boolean): Failure => ({
  type: 'failed',
  errorCode: undefined,
  code,
  message,
  retriable
})

/** A broker answered without an error, but with an offset that no log can have, or that is beyond 2^53. */
export const oddOffset = (offset: number | undefined): Failure =>
  ownFailure('protocol', `the broker answered with an impossible offset: ${offset ?? 'beyond 2^53'}`, false)

/** Why a call failed, where the error is about the call and not about the broker. */
export const failureOf = (error: CastellanError): Failure => ({
  type: 'failed',
  errorCode: error instanceof KafkaError ? error.errorCode : undefined,
  code: error.code,
  message: error.message,
  retriable: error.retriable
})

/** Answers a request of any operation with a failure of our own. */
export function fail(accepted: AnyAccepted, failure: Failure): void {
  if (accepted.kind === 'produceBatch') {
    if (failure.errorCode !== undefined) accepted.answer({ type: 'rejected', errorCode: failure.errorCode })
    else accepted.answer({ type: 'notSent', reason: reasonOf(failure.code), message: failure.message })
  } else {
    ;(accepted as Accepted<'fetchData'>).answer({ ...echoOf(accepted), ...failure } as never)
  }
}

const reasonOf = (code: ErrorCode): Obstacle =>
  code === 'shuttingDown' || code === 'brokerUnreachable' || code === 'overloaded' || code === 'unknownTopic'
    ? code
    : 'noLeader'

const OBSTACLES: Readonly<Record<Obstacle, string>> = {
  noLeader: 'no leader was found for the partition in time',
  unknownTopic: 'the topic does not exist',
  unknownPartition: 'the topic has no such partition',
  brokerUnreachable: 'the leader could not be reached in time',
  overloaded: 'too many requests wait',
  shuttingDown: 'the router is shutting down',
  clusterChanged: 'another Kafka cluster is connected than the one the batch was sealed for'
}

export function notSent(accepted: Accepted<'produceBatch'>, reason: Obstacle): void {
  const { topic, partition } = accepted.request
  accepted.answer({ type: 'notSent', reason, message: `${topic}/${partition}: ${OBSTACLES[reason]}` })
}

/**
 * The time of a request is up. A batch on its way is left to its call, which alone knows what became of it.
 *
 * @param awayBecause why no broker can be reached, if none can
 */
export function answerTimedOut(accepted: AnyAccepted, awayBecause?: string): void {
  const reason = accepted.lastError ?? awayBecause
  if (accepted.kind === 'produceBatch') {
    if (!accepted.inFlight) notSent(accepted, accepted.obstacle)
  } else {
    ;(accepted as Accepted<'fetchData'>).answer({
      ...echoOf(accepted),
      type: 'timedOut',
      ...(reason !== undefined && { reason })
    } as never)
  }
}

/** Kafka has no such topic or partition, and a refresh has confirmed it. */
export function answerUnknown(accepted: AnyAccepted, what: 'topic' | 'partition'): void {
  switch (accepted.kind) {
    case 'fetchData':
      reply(accepted, { type: 'unknownTopicOrPartition' })
      break
    case 'fetchOffset':
      reply(accepted, { type: 'unknownTopicOrPartition' })
      break
    case 'commitConsumerOffset':
      reply(accepted, { type: 'unknownTopicOrPartition' })
      break
    case 'fetchConsumerOffset':
      reply(accepted, { type: 'notFound' })
      break
    case 'produceBatch':
      notSent(accepted, what === 'topic' ? 'unknownTopic' : 'unknownPartition')
      break
    case 'fetchTopicMetadata':
    case 'initProducerId':
    case 'findCoordinator':
      fail(accepted, ownFailure('unknownTopic', 'no such topic', false))
  }
}
