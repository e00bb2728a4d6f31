import type { ActorRef } from '../../core/actor/actor.js'
import { ask } from '../../core/actor/requester.js'
import type { Operations, RequestOf, ResultOf, RouterMessage } from '../messages/operations.js'

/** A request of one operation without its requester. */
export type Unasked<Operation extends keyof Operations> = Operation extends keyof Operations
  ? Omit<RequestOf<Operation>, 'requester'>
  : never

const DEFAULT_TIMEOUT_MS = 30_000
// The Router itself answers timedOut at the deadline. This margin is for a Router that has stopped.
const MARGIN_MS = 1_000

/**
 * Asks the Router from code outside the actors. The type of the result follows from the type of the request:
 *
 *   const result = await askRouter(router, { type: 'fetchOffset', topicPartition, offsetType: 'latest' })
 *   if (result.type === 'success') result.offset
 *
 * @throws TimedOutError when the Router itself does not answer; a request whose time is up has the result `timedOut`
 */
export function askRouter<Operation extends keyof Operations>(
  router: ActorRef<RouterMessage>,
  request: Unasked<Operation> & { readonly type: Operation }
): Promise<ResultOf<Operation>> {
  const timeoutMs = request.timeoutMs ?? DEFAULT_TIMEOUT_MS
  return ask<ResultOf<Operation>>(request.type, timeoutMs + MARGIN_MS, requester =>
    router.tell({ ...request, timeoutMs, requester } as unknown as RouterMessage)
  )
}
