import type { CallOptions } from '../calls.js'
import type { Api } from './api.js'

export interface HeartbeatCall extends CallOptions {
  readonly groupId: string
  readonly generationId: number
  readonly memberId: string
  readonly instanceId: string | null
}
export interface HeartbeatResponse {
  readonly throttleTimeMs: number
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
  decode(reader) {
    const throttleTimeMs = reader.int32()
    return { throttleTimeMs, errorCode: reader.int16() }
  }
}
