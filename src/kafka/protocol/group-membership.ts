import { errorCodes } from '../error-codes.js'
import { describeApi } from './api.js'
import { atMost, noMoreThanAsked } from './encoding.js'
import * as t from './schema.js'

const joinedMember = t.struct({ memberId: t.name, instanceId: t.nullableString, metadata: t.bytes })
export type JoinedMember = t.ValueOf<typeof joinedMember>

/** Version 5, the first one with static members. */
export const joinGroupV5 = describeApi({
  key: 11,
  version: 5,
  name: 'JoinGroup',
  request: t.struct({
    groupId: t.string,
    /** The coordinator removes a member that sends no heartbeat for this time. */
    sessionTimeoutMs: t.int32,
    /** How long the coordinator waits for all members to join again. */
    rebalanceTimeoutMs: t.int32,
    /** Empty: a new member. */
    memberId: t.string,
    /** The id of a static member (KIP-345), which keeps its partitions over a restart; `null`: the member is dynamic. */
    instanceId: t.nullableString,
    protocolType: t.string,
    /** The assignment strategies that the member supports, each with the subscription of the member in its format. */
    protocols: t.array(t.struct({ name: t.string, metadata: t.bytes }))
  }),
  response: t.struct({
    throttleTimeMs: t.int32,
    errorCode: t.int16,
    generationId: t.int32,
    protocolName: t.name,
    /** The member that assigns the partitions. */
    leaderId: t.name,
    /** The id of the member. The coordinator chooses it for a new member, also with MEMBER_ID_REQUIRED. */
    memberId: t.name,
    /** All members of the group; empty for members other than the leader. The limit is far above the size of any group. */
    members: t.array(joinedMember, atMost(100_000, 'members'))
  })
})

const membership = { groupId: t.string, generationId: t.int32, memberId: t.string, instanceId: t.nullableString }

export const heartbeatV3 = describeApi({
  key: 12,
  version: 3,
  name: 'Heartbeat',
  request: t.struct(membership),
  response: t.struct({ throttleTimeMs: t.int32, errorCode: t.int16 })
})

export const syncGroupV3 = describeApi({
  key: 14,
  version: 3,
  name: 'SyncGroup',
  request: t.struct({
    ...membership,
    /** The partitions of each member; only the leader sends them. */
    assignments: t.array(t.struct({ memberId: t.string, assignment: t.bytes }))
  }),
  response: t.struct({ throttleTimeMs: t.int32, errorCode: t.int16, assignment: t.bytes })
})

export interface LeaveGroupCall {
  readonly timeoutMs?: number | undefined
  readonly groupId: string
  readonly memberId: string
  readonly instanceId: string | null
}

/** Version 3, for one member. The error of this member becomes the error of the call. */
export const leaveGroupV3 = describeApi({
  key: 13,
  version: 3,
  name: 'LeaveGroup',
  request: t.struct({
    groupId: t.string,
    members: t.array(t.struct({ memberId: t.string, instanceId: t.nullableString }))
  }),
  requestOf: ({ groupId, ...member }: LeaveGroupCall) => ({ groupId, members: [member] }),
  response: t.struct({
    throttleTimeMs: t.int32,
    errorCode: t.int16,
    members: t.array(
      t.struct({ _memberId: t.name, _instanceId: t.nullableString, errorCode: t.int16 }),
      noMoreThanAsked('members')
    )
  }),
  asked: () => 1,
  responseOf: ({ throttleTimeMs, errorCode, members: [member] }) => ({
    throttleTimeMs,
    errorCode: errorCode === errorCodes.NONE ? (member?.errorCode ?? errorCode) : errorCode
  })
})
