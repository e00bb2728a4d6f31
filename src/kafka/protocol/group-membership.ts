import type { CallOptions, Throttled } from '../calls.js'
import { errorCodes } from '../error-codes.js'
import { type Api, atMost } from './api.js'

/** An assignment strategy that a member supports, and the subscription of the member in the format of this strategy. */
interface OfferedProtocol {
  readonly name: string
  readonly metadata: Buffer
}

export interface JoinGroupCall extends CallOptions {
  readonly groupId: string
  /** The coordinator removes a member that sends no heartbeat for this time. */
  readonly sessionTimeoutMs: number
  /** How long the coordinator waits for all members to join again. */
  readonly rebalanceTimeoutMs: number
  /** Empty: a new member. */
  readonly memberId: string
  /** The instance id of a static member (KIP-345), which keeps its partitions over a restart; `null`: the member is dynamic. */
  readonly instanceId: string | null
  readonly protocolType: string
  readonly protocols: readonly OfferedProtocol[]
}
export interface JoinedMember {
  readonly memberId: string
  readonly instanceId: string | null
  readonly metadata: Buffer
}
export interface JoinGroupResponse extends Throttled {
  readonly errorCode: number
  readonly generationId: number
  readonly protocolName: string
  /** The member that assigns the partitions. */
  readonly leaderId: string
  /** The id of the member. The coordinator chooses it for a new member, also with MEMBER_ID_REQUIRED. */
  readonly memberId: string
  /** All members of the group; empty for members other than the leader. */
  readonly members: readonly JoinedMember[]
}

/** Limit of members in a response, far above the size of any group. */
const MAX_MEMBERS = 100_000
/** Bytes of the lengths of three fields: member id, instance id, metadata. */
const SMALLEST_JOINED_MEMBER_BYTES = 8

/**
 * Version 5, the first one with static members.
 *
 * Request: `group_id, session_timeout_ms i32, rebalance_timeout_ms i32, member_id, group_instance_id?, protocol_type,
 *   [name, metadata bytes]`
 * Response: `throttle_time_ms i32, error_code i16, generation_id i32, protocol_name, leader, member_id,
 *   [member_id, group_instance_id?, metadata bytes]`
 */
export const joinGroupV5: Api<JoinGroupCall, JoinGroupResponse> = {
  key: 11,
  version: 5,
  name: 'JoinGroup',
  encode(writer, call) {
    writer.string(call.groupId)
    writer.int32(call.sessionTimeoutMs)
    writer.int32(call.rebalanceTimeoutMs)
    writer.string(call.memberId)
    writer.nullableString(call.instanceId)
    writer.string(call.protocolType)
    writer.array(call.protocols, ({ name, metadata }) => {
      writer.string(name)
      writer.bytes(metadata)
    })
  },
  decode: reader => ({
    throttleTimeMs: reader.int32(),
    errorCode: reader.int16(),
    generationId: reader.int32(),
    protocolName: reader.name(),
    leaderId: reader.name(),
    memberId: reader.name(),
    members: reader.array(
      SMALLEST_JOINED_MEMBER_BYTES,
      (): JoinedMember => ({
        memberId: reader.name(),
        instanceId: reader.nullableString(),
        metadata: Buffer.from(reader.bytes())
      }),
      atMost(MAX_MEMBERS, 'members')
    )
  })
}

export interface HeartbeatCall extends CallOptions {
  readonly groupId: string
  readonly generationId: number
  readonly memberId: string
  readonly instanceId: string | null
}
export interface HeartbeatResponse extends Throttled {
  readonly errorCode: number
}

/**
 * Version 3.
 *
 * Request: `group_id, generation_id i32, member_id, group_instance_id?`
 * Response: `throttle_time_ms i32, error_code i16`
 */
export const heartbeatV3: Api<HeartbeatCall, HeartbeatResponse> = {
  key: 12,
  version: 3,
  name: 'Heartbeat',
  encode(writer, { groupId, generationId, memberId, instanceId }) {
    writer.string(groupId)
    writer.int32(generationId)
    writer.string(memberId)
    writer.nullableString(instanceId)
  },
  decode: reader => ({ throttleTimeMs: reader.int32(), errorCode: reader.int16() })
}

export interface SyncGroupCall extends HeartbeatCall {
  /** Each member's partitions; only the leader sends them. */
  readonly assignments: readonly { readonly memberId: string; readonly assignment: Buffer }[]
}
export interface SyncGroupResponse extends HeartbeatResponse {
  readonly assignment: Buffer
}

/**
 * Version 3.
 *
 * Request: `group_id, generation_id i32, member_id, group_instance_id?, [member_id, assignment bytes]`
 * Response: `throttle_time_ms i32, error_code i16, assignment bytes`
 */
export const syncGroupV3: Api<SyncGroupCall, SyncGroupResponse> = {
  key: 14,
  version: 3,
  name: 'SyncGroup',
  encode(writer, call) {
    heartbeatV3.encode(writer, call)
    writer.array(call.assignments, ({ memberId, assignment }) => {
      writer.string(memberId)
      writer.bytes(assignment)
    })
  },
  decode: reader => ({
    throttleTimeMs: reader.int32(),
    errorCode: reader.int16(),
    assignment: Buffer.from(reader.bytes())
  })
}

export interface LeaveGroupCall extends CallOptions {
  readonly groupId: string
  readonly memberId: string
  readonly instanceId: string | null
}

/** Bytes of two lengths and an error code. */
const SMALLEST_LEFT_MEMBER_BYTES = 6

/**
 * Version 3, for one member. The error of this member becomes the error of the call.
 *
 * Request: `group_id, [member_id, group_instance_id?]`
 * Response: `throttle_time_ms i32, error_code i16, [member_id, group_instance_id?, error_code i16]`
 */
export const leaveGroupV3: Api<LeaveGroupCall, HeartbeatResponse> = {
  key: 13,
  version: 3,
  name: 'LeaveGroup',
  encode(writer, { groupId, memberId, instanceId }) {
    writer.string(groupId)
    writer.array([memberId], id => {
      writer.string(id)
      writer.nullableString(instanceId)
    })
  },
  decode(reader) {
    const throttleTimeMs = reader.int32()
    const errorCode = reader.int16()
    const codes = reader.array(SMALLEST_LEFT_MEMBER_BYTES, () => {
      reader.name()
      reader.nullableString()
      return reader.int16()
    })
    return { throttleTimeMs, errorCode: errorCode === errorCodes.NONE ? (codes[0] ?? errorCode) : errorCode }
  }
}
