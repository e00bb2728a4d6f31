import type { Requester } from '../../core/actor/requester.js'
import type { ErrorCode } from '../../core/errors.js'

/** The parts that all requests have. An accepted request gets exactly one result, within its `timeoutMs`. */
export interface Request<Result> {
  readonly requester: Requester<Result>
  readonly timeoutMs?: number | undefined
}

/** Kafka answered with an error that has no result of its own, or the Router could not take the request. */
export interface Failure {
  readonly type: 'failed'
  /** Kafka's protocol error code; `undefined` when the failure is our own (`code` tells). */
  readonly errorCode: number | undefined
  readonly code: ErrorCode
  readonly message: string
  /** True: the same request may succeed later. */
  readonly retriable: boolean
}
/** There was no answer before the deadline of the request. */
export interface TimedOut {
  readonly type: 'timedOut'
  /** The cause, when it is known: the last error of this request, or why no broker can be reached. */
  readonly reason?: string
}
