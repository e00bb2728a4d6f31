import type { ErrorCode } from '../../core/errors.js'
import type { BatchAnswer, SealedBatch } from '../messages/operations.js'
import type { Accepted } from '../requests/accepted.js'
import type { Obstacle, OperationDescriptor } from '../requests/operation.js'

/** A sealed batch of delivery. It is answered by its own method, and not by its deadline while a call that carries it is in flight. */
export const produceBatch = {
  kind: 'produceBatch',
  role: 'produce',
  target: { type: 'leader', topicPartition: batch => batch },
  tags: { operation: 'produceBatch' },
  problemOf: () => undefined,
  give: (batch, answer) => batch.answer(answer),
  failed: (_, { errorCode, code, message }) =>
    errorCode === undefined ? { type: 'notSent', reason: reasonOf(code), message } : { type: 'rejected', errorCode },
  timedOut: ({ request, inFlight, obstacle }) => (inFlight ? undefined : notSentAnswer(request, obstacle)),
  unknown: (batch, what) => notSentAnswer(batch, what === 'topic' ? 'unknownTopic' : 'unknownPartition')
} as const satisfies OperationDescriptor<'produceBatch'>

/** Answers a batch of which not one byte has left. */
export const notSent = (accepted: Accepted<'produceBatch'>, reason: Obstacle): boolean =>
  accepted.answer(notSentAnswer(accepted.request, reason))

const notSentAnswer = ({ topic, partition }: SealedBatch, reason: Obstacle): BatchAnswer => ({
  type: 'notSent',
  reason,
  message: `${topic}/${partition}: ${OBSTACLES[reason]}`
})

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
