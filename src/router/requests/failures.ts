import { type CastellanError, type ErrorCode, KafkaError } from '../../core/errors.js'
import { errorCodes, kafkaErrorOf } from '../../kafka/error-codes.js'
import type { Failure } from '../messages/request.js'

/** A failure that Kafka answered, with its code, and whether the same request may succeed later. */
export function kafkaFailure(errorCode: number): Failure {
  const { message, retriable } = kafkaErrorOf(errorCode)
  return { type: 'failed', errorCode, code: failureCodeOf(errorCode), message, retriable }
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

/** A failure that Castellan itself found. */
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

/** The failure for the requests of a call that was rejected for its own sake, not because of the broker. */
export const failureOf = (error: CastellanError): Failure => ({
  type: 'failed',
  errorCode: error instanceof KafkaError ? error.errorCode : undefined,
  code: error.code,
  message: error.message,
  retriable: error.retriable
})
