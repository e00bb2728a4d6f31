import type { BrokerClient } from '../../kafka/broker-client.js'
import type { MembershipOperations } from '../messages/membership.js'
import type { Accepted, AnyAccepted } from '../requests/accepted.js'
import { reply } from '../requests/answers.js'
import { kafkaFailure } from '../requests/failures.js'
import type { Outcome, RequestFor } from '../requests/operation.js'
import { groupAction } from './error-actions.js'
import { type OperationProcessor, type Returned, returned, stillOpen } from './queue-processor.js'

/** What members of groups ask of their coordinator. */
type MemberKind = keyof MembershipOperations

interface MemberCall<Kind extends MemberKind, Response> {
  send(client: BrokerClient, request: RequestFor<Kind>): Promise<Response>
  /** The outcome of an answer; `undefined`: what follows from its error code. */
  outcome(response: Response): Outcome<Kind> | undefined
}

/** Makes a processor for requests of members of groups: each is a call of its own, and they are sent in order. */
export function createMemberProcessor<Kind extends MemberKind, Response extends { readonly errorCode: number }>(
  name: Kind,
  { send, outcome }: MemberCall<Kind, Response>
): OperationProcessor {
  let queue: Accepted<Kind>[] = []
  const settle = (request: Accepted<Kind>, response: Response): readonly Returned[] => {
    const known = outcome(response)
    if (known) {
      reply(request, known)
      return []
    }
    const action = groupAction(response.errorCode)
    if (action === 'notCoordinator' || action === 'retryLater') return returned(action, [request as AnyAccepted])
    reply(request, kafkaFailure(response.errorCode) as unknown as Outcome<Kind>)
    return []
  }
  const processor = {
    name,
    get isEmpty() {
      return queue.length === 0
    },
    addToQueue: (request: Accepted<Kind>) => void queue.push(request),
    nextCall() {
      queue = queue.filter(({ settled }) => !settled)
      return queue.shift()
    },
    send: (client: BrokerClient, { request }: Accepted<Kind>) => send(client, request),
    processResponse: settle,
    callFailed: (request: Accepted<Kind>) => stillOpen([request as AnyAccepted]),
    drain() {
      const waiting = stillOpen(queue as AnyAccepted[])
      queue = []
      return waiting
    }
  }
  return processor as unknown as OperationProcessor
}
