import type { CallOptions } from '../calls.js'
import { errorCodes } from '../error-codes.js'
import type { Api } from './api.js'

export interface LeaveGroupCall extends CallOptions {
  readonly groupId: string
  readonly memberId: string
  readonly instanceId: string | null
}
export interface LeaveGroupResponse {
  readonly throttleTimeMs: number
  /** Of the call, or else of its only member. */
  readonly errorCode: number
}

/** Two lengths and a code. */
const SMALLEST_MEMBER_BYTES = 6

/**
 * Version 3, for one member.
 *
 * Request: `group_id, [member_id, group_instance_id?]`
 * Response: `throttle_time_ms i32, error_code i16, [member_id, group_instance_id?, error_code i16]`
 */
export const leaveGroupV3: Api<LeaveGroupCall, LeaveGroupResponse> = {
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
    const codes = reader.array(SMALLEST_MEMBER_BYTES, () => {
      reader.name()
      reader.nullableString()
      return reader.int16()
    })
    return { throttleTimeMs, errorCode: errorCode === errorCodes.NONE ? (codes[0] ?? errorCode) : errorCode }
  }
}
