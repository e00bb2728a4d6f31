import { status } from '@grpc/grpc-js'
import { CastellanError, type ErrorCode, type KafkaError } from '../../../core/errors.js'
import type { RefusedByApi } from '../../../http/api/refused-records.js'
import { type AnyFailure, CONSUMED, failureAnswerOf, isConsumedByOthers, NO_SUCH_TOPIC } from '../failure-texts.js'

const REASONS: ReadonlyMap<status, ErrorCode> = new Map<status, ErrorCode>([
  [status.INVALID_ARGUMENT, 'invalidRequest'],
  [status.UNIMPLEMENTED, 'invalidRequest'],
  [status.DEADLINE_EXCEEDED, 'timedOut'],
  [status.INTERNAL, 'protocol']
])

/** A call that is answered with a status, and no message. */
export class StatusError extends Error {
  readonly code: status
  /** Why, for the counter of refused records. */
  readonly reason: ErrorCode

  constructor(code: status, details: string, reason = REASONS.get(code) ?? 'overloaded') {
    super(details)
    this.code = code
    this.reason = reason
  }
}

/** Counts a record whose call was refused. The status page shows calls that access or a limit refuses as such. */
export const countRefused = (refused: RefusedByApi, { reason, message }: StatusError): void =>
  refused.add({ code: reason, message }, 1, reason !== 'recordTooLarge' && reason !== 'invalidRequest')

/** Statuses of Castellan's errors. All other errors are INTERNAL. */
const STATUSES: ReadonlyMap<ErrorCode, status> = new Map<ErrorCode, status>([
  ['unauthenticated', status.UNAUTHENTICATED],
  ['forbidden', status.PERMISSION_DENIED],
  ['quotaExceeded', status.RESOURCE_EXHAUSTED],
  ['overloaded', status.RESOURCE_EXHAUSTED],
  ['shuttingDown', status.UNAVAILABLE],
  ['logUnavailable', status.UNAVAILABLE]
])

/**
 * The status of a failure of any method.
 *
 * @param unknownTopic the status where Kafka has no such topic
 * @param isReady whether any broker can be reached
 */
export function statusOf(failure: AnyFailure, unknownTopic: status, isReady: boolean): StatusError {
  const { text } = failureAnswerOf(failure, isReady)
  const code = text === NO_SUCH_TOPIC ? unknownTopic : STATUSES.get(failure.code)
  return new StatusError(code ?? status.INTERNAL, text, failure.code)
}

/** The status of a thrown error; `undefined`: the error is a bug. */
export function statusOfError(error: unknown, isReady: boolean): StatusError | undefined {
  if (error instanceof StatusError) return error
  if (!(error instanceof CastellanError)) return undefined
  const { errorCode } = error as Partial<KafkaError>
  const failure: AnyFailure = { code: error.code, message: error.message, errorCode }
  if (isConsumedByOthers(failure)) return new StatusError(status.FAILED_PRECONDITION, CONSUMED)
  return statusOf(failure, status.NOT_FOUND, isReady)
}
