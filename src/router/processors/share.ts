import { isCount } from '../../core/counts.js'
import { codesOf, errorCodes } from '../../kafka/error-codes.js'
import type {
  DescribeShareGroupOffsetsResponse,
  ShareAcknowledgeResponse,
  ShareFetchResponse,
  ShareGroupDescribeResponse
} from '../../kafka/protocol/share.js'
import type { CloseShareConnection } from '../messages/operations.js'
import { invalid, kafkaFailure, problemOfGroup } from '../requests/failures.js'
import { describeOperation } from '../requests/operation.js'
import { groupFailure } from './error-actions.js'
import type { ProcessorContext } from './queue-processor.js'
import { SharedCalls } from './shared-calls.js'

/**
 * Least time limit of a call that may settle records: the leader answers when the share coordinator has stored the change,
 * which takes more than 5 s while the coordinator moves.
 */
const SETTLE_MS = 10_000
/** The state in which a coordinator reports a group that it does not know. */
const NO_SUCH_GROUP = 'Dead'
const isUnknownGroup = codesOf('GROUP_ID_NOT_FOUND')

const ofShareGroup = {
  target: { type: 'coordinator', groupId: ({ groupId }: { readonly groupId: string }) => groupId },
  problemOf: ({ groupId }: { readonly groupId: string }) => problemOfGroup(groupId)
} as const

/** Keeps a member in its share group. No answer waits for another member, so all groups of a coordinator share a connection. */
export const shareHeartbeat = describeOperation('shareHeartbeat', {
  ...ofShareGroup,
  role: 'member',
  connection: () => 'share',
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    new SharedCalls('shareHeartbeat', {
      send: (client, { groupId, memberId, memberEpoch, topics }) =>
        client.shareGroupHeartbeat({ groupId, memberId, memberEpoch, topics, timeoutMs: callTimeoutMs }),
      outcomeOf({ errorCode, errorMessage, memberEpoch, heartbeatIntervalMs, assignment }) {
        if (errorCode !== errorCodes.NONE) return groupFailure(errorCode, errorMessage)
        return { type: 'success', memberEpoch, heartbeatIntervalMs, assignment }
      }
    })
})

export const describeShareGroup = describeOperation('describeShareGroup', {
  ...ofShareGroup,
  role: 'admin',
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    new SharedCalls('describeShareGroup', {
      keyOf: ({ groupId }) => groupId,
      send: (client, { groupId }) => client.shareGroupDescribe({ groupIds: [groupId], timeoutMs: callTimeoutMs }),
      outcomeOf({ groups: [group] }: ShareGroupDescribeResponse) {
        if (group === undefined) return 'retryLater'
        const { errorCode, errorMessage, state, members } = group
        if (isUnknownGroup.has(errorCode) || state === NO_SUCH_GROUP) return { type: 'notFound' }
        if (errorCode !== errorCodes.NONE) return groupFailure(errorCode, errorMessage)
        return { type: 'success', state, members }
      }
    })
})

export const fetchShareOffsets = describeOperation('fetchShareOffsets', {
  ...ofShareGroup,
  role: 'admin',
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    new SharedCalls('fetchShareOffsets', {
      keyOf: ({ groupId, topic }) => JSON.stringify([groupId, topic]),
      send: (client, { groupId }) => client.describeShareGroupOffsets({ groupId, timeoutMs: callTimeoutMs }),
      outcomeOf({ errorCode, errorMessage, offsets }: DescribeShareGroupOffsetsResponse, { request }) {
        if (errorCode !== errorCodes.NONE) return groupFailure(errorCode, errorMessage)
        const { topic } = request
        return { type: 'success', offsets: topic === null ? offsets : offsets.filter(one => one.topic === topic) }
      }
    })
})

type ShareSession = Omit<CloseShareConnection, 'type'>

/** Names the connection of a session. Group ids may contain any character. */
export const connectionOfSession = ({ groupId, memberId }: Omit<ShareSession, 'nodeId'>): string =>
  JSON.stringify([groupId, memberId])

/** Not sent again: each call of a session has a number of its own, and the session ends with its connection. */
const ofSession = {
  role: 'session',
  target: { type: 'node', nodeId: ({ nodeId }: ShareSession) => nodeId },
  connection: connectionOfSession,
  problemOf: ({ nodeId, groupId }: ShareSession) =>
    isCount(nodeId) ? problemOfGroup(groupId) : invalid('invalidRequest', `not a broker id: ${nodeId}`)
} as const

/** The answer to a call that Kafka may have received. */
const unanswered = () => ({ type: 'timedOut', reason: 'an attempt had no answer' }) as const

export const shareFetch = describeOperation('shareFetch', {
  ...ofSession,
  createProcessor: ({ callTimeoutMs, decompression }: ProcessorContext) =>
    new SharedCalls('shareFetch', {
      send: (client, { type: _, requester: __, timeoutMs: ___, nodeId: ____, ...call }) =>
        client.shareFetch({
          ...call,
          isExact: true,
          decompression,
          timeoutMs: call.maxWaitMs + Math.max(callTimeoutMs, SETTLE_MS)
        }),
      outcomeOf({ errorCode, errorMessage, acquisitionLockMs, partitions }: ShareFetchResponse) {
        if (errorCode !== errorCodes.NONE) return kafkaFailure(errorCode, errorMessage)
        return { type: 'success', acquisitionLockMs, partitions }
      },
      unanswered
    })
})

export const shareAcknowledge = describeOperation('shareAcknowledge', {
  ...ofSession,
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    new SharedCalls('shareAcknowledge', {
      send: (client, { groupId, memberId, epoch, isRenew, acknowledgements }) =>
        client.shareAcknowledge({
          groupId,
          memberId,
          epoch,
          isRenew,
          acknowledgements,
          timeoutMs: Math.max(callTimeoutMs, SETTLE_MS)
        }),
      outcomeOf({ errorCode, errorMessage, acquisitionLockMs, partitions }: ShareAcknowledgeResponse) {
        if (errorCode !== errorCodes.NONE) return kafkaFailure(errorCode, errorMessage)
        return { type: 'success', acquisitionLockMs, partitions }
      },
      unanswered
    })
})
