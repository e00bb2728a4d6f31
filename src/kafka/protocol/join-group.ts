import type { CallOptions } from '../calls.js'
import type { Api } from './api.js'
import { atMost } from './most.js'

/** A way of assigning that a member offers, with its subscription in the format of that way. */
export interface OfferedProtocol {
  readonly name: string
  readonly metadata: Buffer
}

export interface JoinGroupCall extends CallOptions {
  readonly groupId: string
  /** Without a heartbeat for this time, the coordinator removes the member. */
  readonly sessionTimeoutMs: number
  /** How long the coordinator waits for all members to join again. */
  readonly rebalanceTimeoutMs: number
  /** Empty: a new member. */
  readonly memberId: string
  /** Of a static member (KIP-345), which keeps its partitions over a restart; `null`: a dynamic one. */
  readonly instanceId: string | null
  readonly protocolType: string
  readonly protocols: readonly OfferedProtocol[]
}
export interface JoinedMember {
  readonly memberId: string
  readonly instanceId: string | null
  readonly metadata: Buffer
}
export interface JoinGroupResponse {
  readonly throttleTimeMs: number
  readonly errorCode: number
  readonly generationId: number
  readonly protocolName: string
  /** The member that assigns the partitions. */
  readonly leaderId: string
  /** Given to a new member, also with MEMBER_ID_REQUIRED. */
  readonly memberId: string
  /** For the leader: all members. */
  readonly members: readonly JoinedMember[]
}

// Far more than a group can have.
const MAX_MEMBERS = 100_000
/** Length, instance id, length of the metadata. */
const SMALLEST_MEMBER_BYTES = 8

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
  decode(reader) {
    const throttleTimeMs = reader.int32()
    const errorCode = reader.int16()
    const generationId = reader.int32()
    const protocolName = reader.nullableString() ?? ''
    const leaderId = reader.name()
    const memberId = reader.name()
    const readMember = (): JoinedMember => {
      const id = reader.name()
      const instanceId = reader.nullableString()
      return { memberId: id, instanceId, metadata: Buffer.from(reader.bytes()) }
    }
    const members = reader.array(SMALLEST_MEMBER_BYTES, readMember, atMost(MAX_MEMBERS, 'members'))
    return { throttleTimeMs, errorCode, generationId, protocolName, leaderId, memberId, members }
  }
}
