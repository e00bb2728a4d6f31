import { isCount } from '../../core/counts.js'
import { codesOf, errorCodes } from '../../kafka/error-codes.js'
import type {
  AlterShareGroupOffsetsResponse,
  DeleteShareGroupOffsetsResponse,
  DescribeShareGroupOffsetsResponse,
  ShareAcknowledgeResponse,
  ShareFetchResponse,
  ShareGroupDescribeResponse
} from '../../kafka/protocol/share.js'
import type { CloseShareConnection } from '../messages/operations.js'
import { invalid, kafkaFailure, problemOfGroup } from '../requests/failures.js'
import type { AnswerWithError } from './administration.js'
import { groupFailure } from './error-actions.js'
import { ofGroup } from './group-processor.js'
import { describeCall, IN_DOUBT, inDoubt } from './shared-calls.js'

/**
 * Least time limit of a call that may settle records: the leader answers when the share coordinator has stored the change,
 * which takes more than 5 s while the coordinator moves.
 */
const SETTLE_MS = 10_000
/** The state in which a coordinator reports a group that it does not know. */
const NO_SUCH_GROUP = 'Dead'
const unknownGroupCodes = codesOf('GROUP_ID_NOT_FOUND')
/** Codes with which a coordinator leaves it open whether a change is made. */
const doubtfulCodes = codesOf('REQUEST_TIMED_OUT', 'NETWORK_EXCEPTION', 'UNKNOWN_SERVER_ERROR')

/** Keeps a member in its share group. No answer waits for another member, so all groups of a coordinator share a connection. */
export const shareHeartbeat = describeCall('shareHeartbeat', {
  ...ofGroup,
  role: 'member',
  connection: () => 'share',
  send: (client, { groupId, memberId, memberEpoch, topics }, timeoutMs) =>
    client.shareGroupHeartbeat({ groupId, memberId, memberEpoch, topics, timeoutMs }),
  outcomeOf({ errorCode, errorMessage, memberEpoch, heartbeatIntervalMs, assignment }) {
    if (errorCode !== errorCodes.NONE) return groupFailure(errorCode, errorMessage)
    return { type: 'success', memberEpoch, heartbeatIntervalMs, assignment }
  }
})

export const describeShareGroup = describeCall('describeShareGroup', {
  ...ofGroup,
  role: 'admin',
  keyOf: ({ groupId }) => groupId,
  send: (client, { groupId }, timeoutMs) => client.shareGroupDescribe({ groupIds: [groupId], timeoutMs }),
  outcomeOf({ groups: [group] }: ShareGroupDescribeResponse, _, { tags }) {
    if (group === undefined) return 'retryLater'
    const { errorCode, errorMessage, state, members } = group
    if (unknownGroupCodes.has(errorCode) || state === NO_SUCH_GROUP) return { type: 'notFound' }
    if (errorCode !== errorCodes.NONE) return groupFailure(errorCode, errorMessage)
    return { type: 'success', state, coordinatorId: Number(tags.broker_id), members }
  }
})

export const fetchShareOffsets = describeCall('fetchShareOffsets', {
  ...ofGroup,
  role: 'admin',
  keyOf: ({ groupId, topic }) => JSON.stringify([groupId, topic]),
  send: (client, { groupId }, timeoutMs) => client.describeShareGroupOffsets({ groupId, timeoutMs }),
  outcomeOf({ errorCode, errorMessage, offsets }: DescribeShareGroupOffsetsResponse, { request }) {
    if (errorCode !== errorCodes.NONE) return groupFailure(errorCode, errorMessage)
    const { topic } = request
    return { type: 'success', offsets: topic === null ? offsets : offsets.filter(one => one.topic === topic) }
  }
})

export const alterShareOffsets = describeCall('alterShareOffsets', {
  ...ofGroup,
  role: 'admin',
  send(client, { groupId, topic, offsets }, timeoutMs) {
    const partitions = [...offsets].map(([partition, startOffset]) => ({ topic, partition, startOffset }))
    return client.alterShareGroupOffsets({ groupId, partitions, timeoutMs })
  },
  outcomeOf: ({ partitions, ...all }: AlterShareGroupOffsetsResponse) => outcomeOfChange(all, partitions),
  unanswered: inDoubt
})

export const deleteShareOffsets = describeCall('deleteShareOffsets', {
  ...ofGroup,
  role: 'admin',
  send: (client, { groupId, topic }, timeoutMs) =>
    client.deleteShareGroupOffsets({ groupId, topics: [{ topic }], timeoutMs }),
  outcomeOf: ({ topics, ...all }: DeleteShareGroupOffsetsResponse) => outcomeOfChange(all, topics),
  unanswered: inDoubt
})

/** @param parts have codes of their own, which count where the whole has none */
function outcomeOfChange(all: AnswerWithError, parts: readonly AnswerWithError[]) {
  const refused = [all, ...parts].find(({ errorCode }) => errorCode !== errorCodes.NONE)
  if (refused === undefined) return { type: 'success' } as const
  return doubtfulCodes.has(refused.errorCode) ? IN_DOUBT : groupFailure(refused.errorCode, refused.errorMessage)
}

type SessionOfMember = Omit<CloseShareConnection, 'type'>

/** Names the connection of a session. Group ids may contain any character. */
export const connectionOfSession = ({ groupId, memberId }: Omit<SessionOfMember, 'nodeId'>): string =>
  JSON.stringify([groupId, memberId])

/** These calls are not repeated: each call of a session has a number of its own, and the session ends with its connection. */
const ofSession = {
  role: 'session',
  target: { type: 'node', nodeId: ({ nodeId }: SessionOfMember) => nodeId },
  connection: connectionOfSession,
  problemOf: ({ nodeId, groupId }: SessionOfMember) =>
    isCount(nodeId) ? problemOfGroup(groupId) : invalid('invalidRequest', `not a broker id: ${nodeId}`)
} as const

export const shareFetch = describeCall('shareFetch', {
  ...ofSession,
  send: (client, { type: _, requester: __, timeoutMs: ___, nodeId: ____, ...call }, timeoutMs, { decompression }) =>
    client.shareFetch({
      ...call,
      isExact: true,
      decompression,
      timeoutMs: call.maxWaitMs + Math.max(timeoutMs, SETTLE_MS)
    }),
  outcomeOf({ errorCode, errorMessage, acquisitionLockMs, partitions }: ShareFetchResponse) {
    if (errorCode !== errorCodes.NONE) return kafkaFailure(errorCode, errorMessage)
    return { type: 'success', acquisitionLockMs, partitions }
  },
  unanswered: inDoubt
})

export const shareAcknowledge = describeCall('shareAcknowledge', {
  ...ofSession,
  send: (client, { groupId, memberId, epoch, isRenew, acknowledgements }, timeoutMs) =>
    client.shareAcknowledge({
      groupId,
      memberId,
      epoch,
      isRenew,
      acknowledgements,
      timeoutMs: Math.max(timeoutMs, SETTLE_MS)
    }),
  outcomeOf({ errorCode, errorMessage, acquisitionLockMs, partitions }: ShareAcknowledgeResponse) {
    if (errorCode !== errorCodes.NONE) return kafkaFailure(errorCode, errorMessage)
    return { type: 'success', acquisitionLockMs, partitions }
  },
  unanswered: inDoubt
})
