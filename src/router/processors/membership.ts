import { errorCodes } from '../../kafka/error-codes.js'
import { CONSUMER_PROTOCOL_TYPE } from '../../kafka/protocol/consumer-protocol.js'
import type { Failure } from '../messages/operations.js'
import { kafkaFailure, problemOfGroup } from '../requests/failures.js'
import { describeOperation } from '../requests/operation.js'
import { groupAction } from './error-actions.js'
import type { ProcessorContext } from './queue-processor.js'
import { SharedCalls } from './shared-calls.js'

const ofMember = {
  target: { type: 'coordinator', groupId: ({ groupId }: { readonly groupId: string }) => groupId },
  connection: ({ groupId, connection }: { readonly groupId: string; readonly connection: string }) =>
    `${groupId}/${connection}`,
  problemOf: ({ groupId }: { readonly groupId: string }) => problemOfGroup(groupId)
} as const

/**
 * A new or known member joins. The coordinator answers when all members have joined, or when the rebalance time-out is
 * over.
 */
export const joinGroup = describeOperation('joinGroup', {
  ...ofMember,
  role: 'member',
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    new SharedCalls('joinGroup', {
      send: (client, { groupId, memberId, instanceId, sessionTimeoutMs, rebalanceTimeoutMs, protocols }) =>
        client.joinGroup({
          groupId,
          memberId,
          instanceId,
          sessionTimeoutMs,
          rebalanceTimeoutMs,
          protocolType: CONSUMER_PROTOCOL_TYPE,
          protocols,
          timeoutMs: rebalanceTimeoutMs + callTimeoutMs
        }),
      outcomeOf({ errorCode, generationId, memberId, leaderId, protocolName, members }) {
        if (errorCode === errorCodes.MEMBER_ID_REQUIRED) return { type: 'memberIdRequired', memberId }
        if (errorCode !== errorCodes.NONE) return outcomeOfError(errorCode)
        return { type: 'success', generationId, memberId, leaderId, protocolName, members }
      }
    })
})

/**
 * A member asks for its assignment. The leader of the group sends the assignments of all members, and the coordinator
 * answers after it has received them.
 */
export const syncGroup = describeOperation('syncGroup', {
  ...ofMember,
  role: 'member',
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    new SharedCalls('syncGroup', {
      send: (client, { groupId, generationId, memberId, instanceId, assignments, rebalanceTimeoutMs }) =>
        client.syncGroup({
          groupId,
          generationId,
          memberId,
          instanceId,
          assignments,
          timeoutMs: rebalanceTimeoutMs + callTimeoutMs
        }),
      outcomeOf: ({ errorCode, assignment }) =>
        errorCode === errorCodes.NONE ? { type: 'success', assignment } : outcomeOfError(errorCode)
    })
})

/** Keeps a member in its group. The answer says whether the member must join again. */
export const heartbeat = describeOperation('heartbeat', {
  ...ofMember,
  role: 'member',
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    new SharedCalls('heartbeat', {
      send: (client, { groupId, generationId, memberId, instanceId }) =>
        client.heartbeat({ groupId, generationId, memberId, instanceId, timeoutMs: callTimeoutMs }),
      outcomeOf: ({ errorCode }) => (errorCode === errorCodes.NONE ? { type: 'success' } : outcomeOfError(errorCode))
    })
})

/** A member leaves its group, so that the others get its partitions at once. */
export const leaveGroup = describeOperation('leaveGroup', {
  ...ofMember,
  role: 'control',
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    new SharedCalls('leaveGroup', {
      send: (client, { groupId, memberId, instanceId }) =>
        client.leaveGroup({ groupId, memberId, instanceId, timeoutMs: callTimeoutMs }),
      outcomeOf: ({ errorCode }) => (errorCode === errorCodes.NONE ? { type: 'success' } : outcomeOfError(errorCode))
    })
})

function outcomeOfError(errorCode: number): Failure | 'notCoordinator' | 'retryLater' {
  const action = groupAction(errorCode)
  return action === 'notCoordinator' || action === 'retryLater' ? action : kafkaFailure(errorCode)
}
