import type { BrokerClient } from '../../kafka/broker-client.js'
import type { ListGroupsResponse } from '../../kafka/protocol/list-groups.js'
import type { Accepted, AnyAccepted } from '../requests/accepted.js'
import { replyAll } from '../requests/answers.js'
import { kafkaFailure } from '../requests/failures.js'
import { describeOperation } from '../requests/operation.js'
import { invalid, isCount } from '../requests/problems.js'
import { groupAction } from './error-actions.js'
import type { ProcessorContext } from './processor-context.js'
import { type QueueProcessor, type Returned, returned, stillOpen } from './queue-processor.js'
import { WaitingList } from './waiting-list.js'

/** States of groups that have members. The last two are of groups of the protocol of KIP-848. */
const STATES = ['Stable', 'PreparingRebalance', 'CompletingRebalance', 'Assigning', 'Reconciling']

export type ListGroupsWaiters = readonly Accepted<'listGroups'>[]

/** The groups of one broker. Requests that wait together share a call. */
export class ListGroupsProcessor implements QueueProcessor<ListGroupsWaiters, ListGroupsResponse> {
  readonly name = 'listGroups'
  readonly #callTimeoutMs: number
  readonly #queue = new WaitingList<Accepted<'listGroups'>>()

  constructor({ callTimeoutMs }: Pick<ProcessorContext, 'callTimeoutMs'>) {
    this.#callTimeoutMs = callTimeoutMs
  }

  get isEmpty(): boolean {
    return this.#queue.isEmpty
  }

  addToQueue(request: Accepted<'listGroups'>): void {
    this.#queue.add(request)
  }

  nextCall(): ListGroupsWaiters | undefined {
    const waiters = this.#queue.takeAll()
    return waiters.length > 0 ? waiters : undefined
  }

  send(client: BrokerClient): Promise<ListGroupsResponse> {
    return client.listGroups({ states: STATES, timeoutMs: this.#callTimeoutMs })
  }

  processResponse(waiters: ListGroupsWaiters, { errorCode, groups }: ListGroupsResponse): readonly Returned[] {
    const action = groupAction(errorCode)
    // The broker itself is asked: that it does not coordinate groups yet is no reason to ask another one.
    if (action === 'retryLater' || action === 'notCoordinator') return returned('retryLater', waiters)
    if (action === 'success') replyAll(waiters, { type: 'success', groups })
    else replyAll(waiters, kafkaFailure(errorCode))
    return []
  }

  callFailed(waiters: ListGroupsWaiters): readonly AnyAccepted[] {
    return stillOpen(waiters)
  }

  drain(): AnyAccepted[] {
    return this.#queue.takeAll()
  }
}

/** The groups with members that a broker coordinates. */
export const listGroups = describeOperation('listGroups', {
  role: 'control',
  target: { type: 'node', nodeId: ({ nodeId }) => nodeId },
  echo: () => ({}),
  problemOf: ({ nodeId }) => (isCount(nodeId) ? undefined : invalid('invalidRequest', `no broker id: ${nodeId}`)),
  createProcessor: (context: ProcessorContext) => new ListGroupsProcessor(context)
})
