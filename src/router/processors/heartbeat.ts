import { errorCodes } from '../../kafka/error-codes.js'
import { describeOperation } from '../requests/operation.js'
import { problemOfGroup } from '../requests/problems.js'
import { createMemberProcessor } from './member-processor.js'
import type { ProcessorContext } from './processor-context.js'

/** Keeps a member in its group, and tells it when the members have to join again. */
export const heartbeat = describeOperation('heartbeat', {
  role: 'member',
  connection: ({ groupId, connection }) => `${groupId}/${connection}`,
  target: { type: 'coordinator', groupId: ({ groupId }) => groupId },
  echo: () => ({}),
  problemOf: ({ groupId }) => problemOfGroup(groupId),
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    createMemberProcessor('heartbeat', {
      send: (client, { groupId, generationId, memberId, instanceId }) =>
        client.heartbeat({ groupId, generationId, memberId, instanceId, timeoutMs: callTimeoutMs }),
      outcome: ({ errorCode }) => (errorCode === errorCodes.NONE ? { type: 'success' } : undefined)
    })
})
