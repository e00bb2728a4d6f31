import { errorCodes } from '../../kafka/error-codes.js'
import { CONSUMER_PROTOCOL_TYPE } from '../../kafka/protocol/consumer-protocol.js'
import type { JoinGroup } from '../messages/membership.js'
import { describeOperation } from '../requests/operation.js'
import { problemOfGroup } from '../requests/problems.js'
import { createMemberProcessor } from './member-processor.js'
import type { ProcessorContext } from './processor-context.js'

/** A new or known member joins. The coordinator answers when all members have joined, or their time is up. */
export const joinGroup = describeOperation('joinGroup', {
  role: 'member',
  connection: ({ groupId, connection }: JoinGroup) => `${groupId}/${connection}`,
  target: { type: 'coordinator', groupId: ({ groupId }) => groupId },
  echo: () => ({}),
  problemOf: ({ groupId }) => problemOfGroup(groupId),
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    createMemberProcessor('joinGroup', {
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
      outcome({ errorCode, generationId, memberId, leaderId, protocolName, members }) {
        if (errorCode === errorCodes.MEMBER_ID_REQUIRED) return { type: 'memberIdRequired', memberId }
        if (errorCode !== errorCodes.NONE) return undefined
        return { type: 'success', generationId, memberId, leaderId, protocolName, members }
      }
    })
})
