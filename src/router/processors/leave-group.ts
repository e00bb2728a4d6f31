import { errorCodes } from '../../kafka/error-codes.js'
import type { LeaveGroup } from '../messages/membership.js'
import { describeOperation } from '../requests/operation.js'
import { problemOfGroup } from '../requests/problems.js'
import { createMemberProcessor } from './member-processor.js'
import type { ProcessorContext } from './processor-context.js'

/** A member leaves, so that its partitions go to others at once. */
export const leaveGroup = describeOperation('leaveGroup', {
  role: 'control',
  connection: ({ groupId, connection }: LeaveGroup) => `${groupId}/${connection}`,
  target: { type: 'coordinator', groupId: ({ groupId }) => groupId },
  echo: () => ({}),
  problemOf: ({ groupId }) => problemOfGroup(groupId),
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    createMemberProcessor('leaveGroup', {
      send: (client, { groupId, memberId, instanceId }) =>
        client.leaveGroup({ groupId, memberId, instanceId, timeoutMs: callTimeoutMs }),
      outcome: ({ errorCode }) => (errorCode === errorCodes.NONE ? { type: 'success' } : undefined)
    })
})
