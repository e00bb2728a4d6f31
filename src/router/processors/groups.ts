import { isCount } from '../../core/counts.js'
import { ResponseTooLargeError } from '../../core/errors.js'
import { addTo } from '../../core/maps.js'
import type { BrokerNode } from '../../core/model.js'
import type { BrokerClient, FindCoordinatorResponse } from '../../kafka/broker-client.js'
import { codesOf, errorCodes } from '../../kafka/error-codes.js'
import { CONSUMER_PROTOCOL_TYPE } from '../../kafka/protocol/consumer-protocol.js'
import type {
  DescribeConsumerGroupsResponse,
  DescribeGroupsResponse,
  ListGroupsResponse
} from '../../kafka/protocol/groups.js'
import { invalid, kafkaFailure, problemOfGroup } from '../requests/failures.js'
import { type OpenRequest, replyAll, stillOpen } from '../requests/open-requests.js'
import { describeOperation } from '../requests/operation.js'
import { anyBrokerAction, groupAction, groupFailure } from './error-actions.js'
import { ofGroup } from './group-processor.js'
import { type OperationProcessor, type ProcessorContext, type Returned, returned } from './queue-processor.js'
import { describeCall } from './shared-calls.js'

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
const unknownGroupCodes = codesOf('GROUP_ID_NOT_FOUND', 'UNSUPPORTED_VERSION')

export const describeGroup = describeOperation('describeGroup', {
  role: 'control',
  ...ofGroup,
  createProcessor: ({ callTimeoutMs, tags }: ProcessorContext) =>
    new DescribeGroupProcessor(callTimeoutMs, Number(tags.broker_id))
})

/** A group of the protocol of KIP-848. DescribeGroups reports such a group as unknown. */
export const describeConsumerGroup = describeCall('describeConsumerGroup', {
  role: 'admin',
  ...ofGroup,
  keyOf: ({ groupId }) => groupId,
  send: (client, { groupId }, timeoutMs) => client.describeConsumerGroups({ groupIds: [groupId], timeoutMs }),
  outcomeOf({ groups: [group] }: DescribeConsumerGroupsResponse, _, { tags }) {
    if (group === undefined) return 'retryLater'
    const { errorCode, errorMessage, state, assignor, members } = group
    if (unknownGroupCodes.has(errorCode) || state === NO_SUCH_GROUP) return { type: 'notFound' }
    if (groupAction(errorCode) !== 'success') return groupFailure(errorCode, errorMessage)
    return { type: 'success', state, assignor, coordinatorId: Number(tags.broker_id), members }
  }
})

export const listGroups = describeCall('listGroups', {
  role: 'admin',
  target: { type: 'node', nodeId: ({ nodeId }) => nodeId },
  problemOf: ({ nodeId }) => (isCount(nodeId) ? undefined : invalid('invalidRequest', `not a broker id: ${nodeId}`)),
  keyOf: ({ withMembers }) => String(withMembers),
  send: (client, { withMembers }, timeoutMs) =>
    client.listGroups({ states: withMembers ? STATES_WITH_MEMBERS : [], timeoutMs }),
  outcomeOf({ errorCode, groups }: ListGroupsResponse) {
    const action = groupAction(errorCode)
    if (action === 'success') return { type: 'success', groups }
    // Each broker lists its own groups, so a broker that does not coordinate groups yet is asked again later.
    return action === 'retryLater' || action === 'notCoordinator' ? 'retryLater' : kafkaFailure(errorCode)
  }
})

/** The broker that coordinates a group or a transactional id. Only the Router itself makes this request. */
export const findCoordinator = describeCall('findCoordinator', {
  role: 'control',
  target: { type: 'any' },
  problemOf: ({ groupId }) => problemOfGroup(groupId),
  keyOf: ({ keyType, groupId }) => `${keyType} ${groupId}`,
  send: (client, { keyType, groupId }, timeoutMs) => client.findCoordinator({ keyType, groupId, timeoutMs }),
  outcomeOf({ errorCode, coordinator }: FindCoordinatorResponse) {
    const action = anyBrokerAction(errorCode)
    if (action === 'fail') return kafkaFailure(errorCode)
    return action === 'retryLater' || !canBeReached(coordinator) ? 'retryLater' : { type: 'success', coordinator }
  }
})

const ofMember = {
  ...ofGroup,
  connection: ({ groupId, connection }: { readonly groupId: string; readonly connection: string }) =>
    `${groupId}/${connection}`
} as const

/**
 * A new or known member joins. The coordinator answers when all members have joined, or when the rebalance time-out is
 * over.
 */
export const joinGroup = describeCall('joinGroup', {
  ...ofMember,
  role: 'member',
  send: (client, { groupId, memberId, instanceId, sessionTimeoutMs, rebalanceTimeoutMs, protocols }, timeoutMs) =>
    client.joinGroup({
      groupId,
      memberId,
      instanceId,
      sessionTimeoutMs,
      rebalanceTimeoutMs,
      protocolType: CONSUMER_PROTOCOL_TYPE,
      protocols,
      timeoutMs: rebalanceTimeoutMs + timeoutMs
    }),
  outcomeOf({ errorCode, generationId, memberId, leaderId, protocolName, members }) {
    if (errorCode === errorCodes.MEMBER_ID_REQUIRED) return { type: 'memberIdRequired', memberId }
    if (errorCode !== errorCodes.NONE) return groupFailure(errorCode)
    return { type: 'success', generationId, memberId, leaderId, protocolName, members }
  }
})

/**
 * A member asks for its assignment. The leader of the group sends the assignments of all members, and the coordinator
 * answers after it has received them.
 */
export const syncGroup = describeCall('syncGroup', {
  ...ofMember,
  role: 'member',
  send: (client, { groupId, generationId, memberId, instanceId, assignments, rebalanceTimeoutMs }, timeoutMs) =>
    client.syncGroup({
      groupId,
      generationId,
      memberId,
      instanceId,
      assignments,
      timeoutMs: rebalanceTimeoutMs + timeoutMs
    }),
  outcomeOf: ({ errorCode, assignment }) =>
    errorCode === errorCodes.NONE ? { type: 'success', assignment } : groupFailure(errorCode)
})

/** Keeps a member in its group. The answer says whether the member must join again. */
export const heartbeat = describeCall('heartbeat', {
  ...ofMember,
  role: 'member',
  send: (client, { groupId, generationId, memberId, instanceId }, timeoutMs) =>
    client.heartbeat({ groupId, generationId, memberId, instanceId, timeoutMs }),
  outcomeOf: ({ errorCode }) => (errorCode === errorCodes.NONE ? { type: 'success' } : groupFailure(errorCode))
})

/** A member leaves its group, so that the others get its partitions at once. */
export const leaveGroup = describeCall('leaveGroup', {
  ...ofMember,
  role: 'control',
  send: (client, { groupId, memberId, instanceId }, timeoutMs) =>
    client.leaveGroup({ groupId, memberId, instanceId, timeoutMs }),
  outcomeOf: ({ errorCode }) => (errorCode === errorCodes.NONE ? { type: 'success' } : groupFailure(errorCode))
})

type DescribeWaiters = readonly OpenRequest<'describeGroup'>[]
type DescribeGroupCall = ReadonlyMap<string, DescribeWaiters>

/** Describes groups. Waiting requests for groups of one coordinator share a call. */
export class DescribeGroupProcessor implements OperationProcessor {
  readonly name = 'describeGroup'
  readonly #callTimeoutMs: number
  readonly #nodeId: number
  /** Waiting requests by group, in the order of the first request of each. */
  readonly #waiting = new Map<string, OpenRequest<'describeGroup'>[]>()
  /** Groups whose descriptions were too large for one response. Each gets a call of its own. */
  readonly #alone = new Set<string>()

  constructor(callTimeoutMs: number, nodeId: number) {
    this.#callTimeoutMs = callTimeoutMs
    this.#nodeId = nodeId
  }

  get isEmpty(): boolean {
    return this.#waiting.size === 0
  }

  addToQueue(request: OpenRequest<'describeGroup'>): void {
    addTo(this.#waiting, request.request.groupId, request)
  }

  nextCall(): DescribeGroupCall | undefined {
    const call = new Map<string, DescribeWaiters>()
    for (const [groupId, waiting] of this.#waiting) {
      if (call.size > 0 && this.#alone.has(groupId)) continue
      this.#waiting.delete(groupId)
      const isAlone = this.#alone.delete(groupId)
      const waiters = stillOpen(waiting)
      if (waiters.length > 0) call.set(groupId, waiters)
      if (call.size === MAX_GROUPS_PER_CALL || (isAlone && call.size > 0)) break
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
    for (const waiter of waiters) {
      this.#alone.add(waiter.request.groupId)
      this.addToQueue(waiter)
    }
    return []
  }

  drain(): OpenRequest[] {
    const waiting = stillOpen([...this.#waiting.values()].flat())
    this.#waiting.clear()
    this.#alone.clear()
    return waiting
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

/**
 * False for the answer of a broker that does not know the coordinator yet. It has node -1 and no host, in some versions
 * without an error code.
 */
const canBeReached = ({ nodeId, host, port }: BrokerNode): boolean =>
  nodeId >= 0 && host !== '' && port > 0 && port <= MAX_PORT
