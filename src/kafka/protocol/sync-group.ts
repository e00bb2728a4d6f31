import type { CallOptions } from '../calls.js'
import type { Api } from './api.js'

export interface SyncGroupCall extends CallOptions {
  readonly groupId: string
  readonly generationId: number
  readonly memberId: string
  readonly instanceId: string | null
  /** From the leader: what each member gets. From the others: nothing. */
  readonly assignments: readonly { readonly memberId: string; readonly assignment: Buffer }[]
}
export interface SyncGroupResponse {
  readonly throttleTimeMs: number
  readonly errorCode: number
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
  encode(writer, { groupId, generationId, memberId, instanceId, assignments }) {
    writer.string(groupId)
    writer.int32(generationId)
    writer.string(memberId)
    writer.nullableString(instanceId)
    writer.array(assignments, one => {
      writer.string(one.memberId)
      writer.bytes(one.assignment)
    })
  },
  decode(reader) {
    const throttleTimeMs = reader.int32()
    const errorCode = reader.int16()
    return { throttleTimeMs, errorCode, assignment: Buffer.from(reader.bytes()) }
  }
}
