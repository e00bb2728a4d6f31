import { errorCodes } from '../../kafka/error-codes.js'
import { describeOperation } from '../requests/operation.js'
import { problemOfGroup } from '../requests/problems.js'
import { createMemberProcessor } from './member-processor.js'
import type { ProcessorContext } from './processor-context.js'

/** A member asks what it is assigned; the leader brings the assignments of all. Answered once the leader has. */
export const syncGroup = describeOperation('syncGroup', {
  role: 'member',
  connection: ({ groupId, connection }) => `${groupId}/${connection}`,
  target: { type: 'coordinator', groupId: ({ groupId }) => groupId },
  echo: () => ({}),
  problemOf: ({ groupId }) => problemOfGroup(groupId),
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    createMemberProcessor('syncGroup', {
      send: (client, { groupId, generationId, memberId, instanceId, assignments, rebalanceTimeoutMs }) =>
        client.syncGroup({
          groupId,
          generationId,
          memberId,
          instanceId,
          assignments,
          timeoutMs: rebalanceTimeoutMs + callTimeoutMs
        }),
      outcome: ({ errorCode, assignment }) =>
        errorCode === errorCodes.NONE ? { type: 'success', assignment } : undefined
    })
})
