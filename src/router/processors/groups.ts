import { ResponseTooLargeError } from '../../core/errors.js'
import type { BrokerNode } from '../../core/model.js'
import type { BrokerClient, FindCoordinatorResponse } from '../../kafka/broker-client.js'
import { codesOf, errorCodes } from '../../kafka/error-codes.js'
import type {
  DescribeConsumerGroupsResponse,
  DescribeGroupsResponse,
  ListGroupsResponse
} from '../../kafka/protocol/groups.js'
import { invalid, isCount, kafkaFailure, problemOfGroup } from '../requests/failures.js'
import { type OpenRequest, replyAll, stillOpen } from '../requests/open-requests.js'
import { describeOperation } from '../requests/operation.js'
import { anyBrokerAction, groupAction } from './error-actions.js'
import { type OperationProcessor, type ProcessorContext, type Returned, returned } from './queue-processor.js'
import { SharedCalls } from './shared-calls.js'

/**
 * Maximum number of groups in one call. A larger call delays the next calls on the same connection. Kafka keeps a group
 * in one record, of at most 1 MB by default, so a response stays well below its limit of 100 MB.
 */
const MAX_GROUPS_PER_CALL = 20
/** The state in which a coordinator reports a group that it does not know. */
const NO_SUCH_GROUP = 'Dead'
/** States of groups that have members. The last two belong to the group protocol of KIP-848. */
const STATES_WITH_MEMBERS = ['Stable', 'PreparingRebalance', 'CompletingRebalance', 'Assigning', 'Reconciling']
const MAX_PORT = 65_535
/** A coordinator of which the protocol of KIP-848 is switched off answers UNSUPPORTED_VERSION for each group. */
const isUnknownGroup = codesOf('GROUP_ID_NOT_FOUND', 'UNSUPPORTED_VERSION')

export const describeGroup = describeOperation('describeGroup', {
  role: 'control',
  target: { type: 'coordinator', groupId: ({ groupId }) => groupId },
  problemOf: ({ groupId }) => problemOfGroup(groupId),
  createProcessor: ({ callTimeoutMs, tags }: ProcessorContext) =>
    new DescribeGroupProcessor(callTimeoutMs, Number(tags.broker_id))
})

/** A group of the protocol of KIP-848. DescribeGroups reports such a group as unknown. */
export const describeConsumerGroup = describeOperation('describeConsumerGroup', {
  role: 'admin',
  target: { type: 'coordinator', groupId: ({ groupId }) => groupId },
  problemOf: ({ groupId }) => problemOfGroup(groupId),
  createProcessor: ({ callTimeoutMs, tags }: ProcessorContext) =>
    new SharedCalls('describeConsumerGroup', {
      keyOf: ({ groupId }) => groupId,
      send: (client, { groupId }) => client.describeConsumerGroups({ groupIds: [groupId], timeoutMs: callTimeoutMs }),
      outcomeOf({ groups: [group] }: DescribeConsumerGroupsResponse) {
        if (group === undefined) return 'retryLater'
        const { errorCode, errorMessage, state, assignor, members } = group
        if (isUnknownGroup.has(errorCode) || state === NO_SUCH_GROUP) return { type: 'notFound' }
        const action = groupAction(errorCode)
        if (action === 'notCoordinator' || action === 'retryLater') return action
        if (action !== 'success') return kafkaFailure(errorCode, errorMessage)
        return { type: 'success', state, assignor, coordinatorId: Number(tags.broker_id), members }
      }
    })
})

export const listGroups = describeOperation('listGroups', {
  role: 'admin',
  target: { type: 'node', nodeId: ({ nodeId }) => nodeId },
  problemOf: ({ nodeId }) => (isCount(nodeId) ? undefined : invalid('invalidRequest', `not a broker id: ${nodeId}`)),
  createProcessor: ({ callTimeoutMs }: ProcessorContext) => new ListGroupsProcessor(callTimeoutMs)
})

/** The broker that coordinates a group. Only the Router itself makes this request. */
export const findCoordinator = describeOperation('findCoordinator', {
  role: 'control',
  target: { type: 'any' },
  problemOf: ({ groupId }) => problemOfGroup(groupId),
  createProcessor: ({ callTimeoutMs }: ProcessorContext) => new FindCoordinatorProcessor(callTimeoutMs)
})

type DescribeWaiters = readonly OpenRequest<'describeGroup'>[]
type DescribeGroupCall = ReadonlyMap<string, DescribeWaiters>

/** Describes groups. Waiting requests for groups of one coordinator share a call. */
export class DescribeGroupProcessor implements OperationProcessor {
  readonly name = 'describeGroup'
  readonly #callTimeoutMs: number
  readonly #nodeId: number
  readonly #waiting = new GroupWaiters<OpenRequest<'describeGroup'>>()
  /** Groups whose descriptions were too large for one response. Each gets a call of its own. */
  readonly #alone = new GroupWaiters<OpenRequest<'describeGroup'>>()

  constructor(callTimeoutMs: number, nodeId: number) {
    this.#callTimeoutMs = callTimeoutMs
    this.#nodeId = nodeId
  }

  get isEmpty(): boolean {
    return this.#waiting.isEmpty && this.#alone.isEmpty
  }

  addToQueue(request: OpenRequest<'describeGroup'>): void {
    this.#waiting.add(request)
  }

  nextCall(): DescribeGroupCall | undefined {
    const alone = this.#alone.take()
    if (alone) return new Map([[alone.groupId, alone.waiters]])
    const call = new Map<string, DescribeWaiters>()
    while (call.size < MAX_GROUPS_PER_CALL) {
      const next = this.#waiting.take()
      if (next === undefined) break
      call.set(next.groupId, next.waiters)
    }
    return call.size > 0 ? call : undefined
  }

  send(client: BrokerClient, call: DescribeGroupCall): Promise<DescribeGroupsResponse> {
    return client.describeGroups({ groupIds: [...call.keys()], timeoutMs: this.#callTimeoutMs })
  }

  processResponse(call: DescribeGroupCall, { groups }: DescribeGroupsResponse): readonly Returned[] {
    const unanswered = new Map(call)
    const back: Returned[] = []
    for (const group of groups) {
      const waiters = unanswered.get(group.groupId)
      unanswered.delete(group.groupId)
      if (waiters) back.push(...settleDescription(waiters, group, this.#nodeId))
    }
    for (const waiters of unanswered.values()) back.push(...returned('retryLater', waiters))
    return back
  }

  /**
   * After a response that was too large, each group gets a call of its own, so that only groups that are too large
   * fail.
   */
  callFailed(call: DescribeGroupCall, error: Error): readonly OpenRequest[] {
    const waiters = stillOpen([...call.values()].flat())
    if (call.size === 1 || !(error instanceof ResponseTooLargeError)) return waiters
    for (const waiter of waiters) this.#alone.add(waiter)
    return []
  }

  drain(): OpenRequest[] {
    return [...this.#alone.drain(), ...this.#waiting.drain()]
  }
}

function settleDescription(
  waiters: DescribeWaiters,
  { errorCode, state, protocolType, protocol, members }: DescribeGroupsResponse['groups'][number],
  coordinatorId: number
): Returned[] {
  const action = groupAction(errorCode)
  if (action === 'notCoordinator' || action === 'retryLater') return returned(action, waiters)
  if (errorCode === errorCodes.GROUP_ID_NOT_FOUND || state === NO_SUCH_GROUP) replyAll(waiters, { type: 'notFound' })
  else if (action === 'success') {
    replyAll(waiters, { type: 'success', protocolType, state, protocol, coordinatorId, members })
  } else replyAll(waiters, kafkaFailure(errorCode))
  return []
}

interface ListGroupsCall {
  readonly withMembers: boolean
  readonly waiters: readonly OpenRequest<'listGroups'>[]
}

/** Lists the groups of one broker. Waiting requests for the same groups share a call. */
export class ListGroupsProcessor implements OperationProcessor {
  readonly name = 'listGroups'
  readonly #callTimeoutMs: number
  #waiting: OpenRequest<'listGroups'>[] = []

  constructor(callTimeoutMs: number) {
    this.#callTimeoutMs = callTimeoutMs
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0
  }

  addToQueue(request: OpenRequest<'listGroups'>): void {
    this.#waiting.push(request)
  }

  nextCall(): ListGroupsCall | undefined {
    const waiting = this.drain()
    const [first] = waiting
    if (first === undefined) return undefined
    const { withMembers } = first.request
    const isShared = ({ request }: OpenRequest<'listGroups'>): boolean => request.withMembers === withMembers
    this.#waiting = waiting.filter(waiter => !isShared(waiter))
    return { withMembers, waiters: waiting.filter(isShared) }
  }

  send(client: BrokerClient, { withMembers }: ListGroupsCall): Promise<ListGroupsResponse> {
    return client.listGroups({ states: withMembers ? STATES_WITH_MEMBERS : [], timeoutMs: this.#callTimeoutMs })
  }

  processResponse({ waiters }: ListGroupsCall, { errorCode, groups }: ListGroupsResponse): readonly Returned[] {
    const action = groupAction(errorCode)
    // Each broker lists its own groups, so a broker that does not coordinate groups yet is asked again later.
    if (action === 'retryLater' || action === 'notCoordinator') return returned('retryLater', waiters)
    if (action === 'success') replyAll(waiters, { type: 'success', groups })
    else replyAll(waiters, kafkaFailure(errorCode))
    return []
  }

  callFailed({ waiters }: ListGroupsCall): readonly OpenRequest[] {
    return stillOpen(waiters)
  }

  drain(): OpenRequest<'listGroups'>[] {
    const waiting = stillOpen(this.#waiting)
    this.#waiting = []
    return waiting
  }
}

interface FindCoordinatorCall {
  readonly groupId: string
  readonly waiters: readonly OpenRequest<'findCoordinator'>[]
}

/** Finds coordinators, by one call per group to any broker. */
export class FindCoordinatorProcessor implements OperationProcessor {
  readonly name = 'findCoordinator'
  readonly #callTimeoutMs: number
  readonly #waiting = new GroupWaiters<OpenRequest<'findCoordinator'>>()

  constructor(callTimeoutMs: number) {
    this.#callTimeoutMs = callTimeoutMs
  }

  get isEmpty(): boolean {
    return this.#waiting.isEmpty
  }

  addToQueue(request: OpenRequest<'findCoordinator'>): void {
    this.#waiting.add(request)
  }

  nextCall(): FindCoordinatorCall | undefined {
    return this.#waiting.take()
  }

  send(client: BrokerClient, { groupId }: FindCoordinatorCall): Promise<FindCoordinatorResponse> {
    return client.findCoordinator({ groupId, timeoutMs: this.#callTimeoutMs })
  }

  processResponse({ waiters }: FindCoordinatorCall, response: FindCoordinatorResponse): readonly Returned[] {
    const { errorCode, coordinator } = response
    const action = anyBrokerAction(errorCode)
    if (action === 'fail') replyAll(waiters, kafkaFailure(errorCode))
    else if (action === 'retryLater' || !canBeReached(coordinator)) return returned('retryLater', waiters)
    else replyAll(waiters, { type: 'success', coordinator })
    return []
  }

  callFailed({ waiters }: FindCoordinatorCall): readonly OpenRequest[] {
    return stillOpen(waiters)
  }

  drain(): OpenRequest[] {
    return this.#waiting.drain()
  }
}

/**
 * False for the answer of a broker that does not know the coordinator yet. It has node -1 and no host, in some versions
 * without an error code.
 */
const canBeReached = ({ nodeId, host, port }: BrokerNode): boolean =>
  nodeId >= 0 && host !== '' && port > 0 && port <= MAX_PORT

/** Waiting requests by group. Groups come in the order of their first requests. */
class GroupWaiters<Waiter extends OpenRequest<'describeGroup' | 'findCoordinator'>> {
  readonly #waiting = new Map<string, Waiter[]>()

  get isEmpty(): boolean {
    return this.#waiting.size === 0
  }

  add(waiter: Waiter): void {
    const { groupId } = waiter.request
    const waiting = this.#waiting.get(groupId)
    if (waiting) waiting.push(waiter)
    else this.#waiting.set(groupId, [waiter])
  }

  /** Takes out the next group with all its requests that have no answer yet. */
  take(): { readonly groupId: string; readonly waiters: readonly Waiter[] } | undefined {
    for (const [groupId, waiting] of this.#waiting) {
      this.#waiting.delete(groupId)
      const waiters = stillOpen(waiting)
      if (waiters.length > 0) return { groupId, waiters }
    }
    return undefined
  }

  drain(): OpenRequest[] {
    const waiting = stillOpen([...this.#waiting.values()].flat())
    this.#waiting.clear()
    return waiting
  }
}
