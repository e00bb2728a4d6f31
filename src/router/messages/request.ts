import type { Requester } from '../../core/actor/actor.js'
import type { ErrorCode } from '../../core/errors.js'

/** The fields of all requests. An accepted request gets exactly one result, within its `timeoutMs`. */
export interface Request<Result> {
  readonly requester: Requester<Result>
  readonly timeoutMs?: number | undefined
}

/** Kafka answered with an error for which there is no other result, or the Router did not accept the request. */
export interface Failure {
  readonly type: 'failed'
  /** Kafka's protocol error code; `undefined` when the failure comes from Castellan, which `code` names. */
  readonly errorCode: number | undefined
  readonly code: ErrorCode
  readonly message: string
  /** True: the same request may succeed later. */
  readonly retriable: boolean
  /** The setting of the limit; absent: no setting limits it. */
  readonly setting?: string | undefined
}
/** There was no answer before the deadline of the request. */
export interface TimedOut {
  readonly type: 'timedOut'
  /** The cause, when it is known: the last error of this request, or why no broker can be reached. */
  readonly reason?: string
}
