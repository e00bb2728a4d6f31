import type { BrokerNode } from '../../core/model.js'
import type { BrokerClient, FindCoordinatorResponse } from '../../kafka/broker-client.js'
import type { Accepted, AnyAccepted } from '../requests/accepted.js'
import { kafkaFailure } from '../requests/failures.js'
import { describeOperation } from '../requests/operation.js'
import { problemOfGroup } from '../requests/problems.js'
import { anyBrokerAction } from './error-actions.js'
import { GroupWaiters } from './group-waiters.js'
import type { ProcessorContext } from './processor-context.js'
import { type QueueProcessor, type Returned, returned, stillOpen } from './queue-processor.js'

const MAX_PORT = 65_535

type Waiter = Accepted<'findCoordinator'>
export interface FindCoordinatorCall {
  readonly groupId: string
  readonly waiters: readonly Waiter[]
}

/** Finds the broker that coordinates a group. One call per group, to any broker; only the Router itself asks it. */
export class FindCoordinatorProcessor implements QueueProcessor<FindCoordinatorCall, FindCoordinatorResponse> {
  readonly name = 'findCoordinator'
  readonly #callTimeoutMs: number
  readonly #waiting = new GroupWaiters<Waiter>()

  constructor(callTimeoutMs: number) {
    this.#callTimeoutMs = callTimeoutMs
  }

  get isEmpty(): boolean {
    return this.#waiting.isEmpty
  }

  addToQueue(request: Waiter): void {
    this.#waiting.add(request)
  }

  nextCall(): FindCoordinatorCall | undefined {
    return this.#waiting.take()
  }

  send(client: BrokerClient, { groupId }: FindCoordinatorCall): Promise<FindCoordinatorResponse> {
    return client.findCoordinator({ groupId, timeoutMs: this.#callTimeoutMs })
  }

  processResponse({ waiters }: FindCoordinatorCall, response: FindCoordinatorResponse): readonly Returned[] {
    const action = anyBrokerAction(response.errorCode)
    if (action === 'retryLater' || (action === 'success' && !canBeReached(response.coordinator))) {
      return returned('retryLater', waiters)
    }
    for (const waiter of waiters) {
      if (action === 'success') waiter.answer({ type: 'success', coordinator: response.coordinator })
      else waiter.answer(kafkaFailure(response.errorCode))
    }
    return []
  }

  callFailed({ waiters }: FindCoordinatorCall): readonly AnyAccepted[] {
    return stillOpen(waiters)
  }

  drain(): AnyAccepted[] {
    return this.#waiting.drain()
  }
}

/** A broker that does not know the coordinator yet names node -1 without a host, in some versions without an error code. */
const canBeReached = ({ nodeId, host, port }: BrokerNode): boolean =>
  nodeId >= 0 && host !== '' && port > 0 && port <= MAX_PORT

export const findCoordinator = describeOperation('findCoordinator', {
  role: 'control',
  target: { type: 'any' },
  echo: () => ({}),
  problemOf: ({ groupId }) => problemOfGroup(groupId),
  createProcessor: ({ callTimeoutMs }: ProcessorContext) => new FindCoordinatorProcessor(callTimeoutMs)
})
