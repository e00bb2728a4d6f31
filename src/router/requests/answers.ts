import type { AskedKind, Failure } from '../messages/operations.js'
import type { Accepted, AnyAccepted } from './accepted.js'
import type { AskedDescriptor, Outcome, ResultFor } from './operation.js'

/** Answers with `outcome` and what the result repeats of the request. */
export function reply<Kind extends AskedKind>(accepted: Accepted<Kind>, outcome: Outcome<Kind>): void {
  const { echo } = accepted.operation as AskedDescriptor<Kind>
  accepted.answer({ ...echo(accepted.request), ...outcome } as unknown as ResultFor<Kind>)
}

export function replyAll<Kind extends AskedKind>(waiters: readonly Accepted<Kind>[], outcome: Outcome<Kind>): void {
  for (const waiter of waiters) reply(waiter, outcome)
}

// A union of operations cannot be called with a union of their requests: the compiler does not see that they match.
type Any = Accepted<'fetchData'>

/** Answers a request of any operation with a failure. */
export function fail(accepted: AnyAccepted, failure: Failure): void {
  const { operation, request } = accepted as Any
  ;(accepted as Any).answer(operation.failed(request, failure))
}

/**
 * The time of a request is up. A batch in flight gets its answer from its call, because only that tells what became of it.
 *
 * @param awayBecause why no broker can be reached, if none can
 */
export function answerTimedOut(accepted: AnyAccepted, awayBecause?: string): void {
  const result = (accepted as Any).operation.timedOut(accepted as Any, accepted.lastError ?? awayBecause)
  if (result !== undefined) (accepted as Any).answer(result)
}

/** Kafka has no such topic or partition, and refreshes have confirmed it. */
export function answerUnknown(accepted: AnyAccepted, what: 'topic' | 'partition'): void {
  const { operation, request } = accepted as Any
  ;(accepted as Any).answer(operation.unknown(request, what))
}
