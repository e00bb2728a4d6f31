import type { ActorRef } from '../../core/actor/actor.js'
import type { AskedKind, RoutedOperations, RouterMessage } from '../../router/messages/operations.js'

export type AskedRequest<Kind extends AskedKind> = Omit<RoutedOperations[Kind]['request'], 'requester' | 'type'>

/** Sends a request to the Router. Calls back once, unless the reader has ended meanwhile. */
export type AskRouter = <Kind extends AskedKind>(
  kind: Kind,
  request: AskedRequest<Kind>,
  onResult: (result: RoutedOperations[Kind]['result']) => void
) => void

/** Sends a request to the Router, and calls back in the tick in which the Router answers. */
export const asking =
  (router: ActorRef<RouterMessage>): AskRouter =>
  (kind, request, reply) =>
    router.tell({ type: kind, ...request, requester: { reply } } as RouterMessage)
