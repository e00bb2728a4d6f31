import type { CallOptions } from '../calls.js'
import type { Api } from './api.js'
import { atMost } from './most.js'

export interface ListGroupsCall extends CallOptions {
  /** Lists only groups in these states. Brokers before Kafka 2.6 list all groups. */
  readonly states: readonly string[]
}
export interface ListGroupsResponse {
  readonly throttleTimeMs: number
  readonly errorCode: number
  readonly groups: readonly {
    readonly groupId: string
    /** `consumer`: a consumer group; empty for a group that only has offsets. */
    readonly protocolType: string
  }[]
}

// Far more than a broker can coordinate.
const MAX_GROUPS = 1_000_000
/** Two texts. */
const SMALLEST_GROUP_BYTES = 4
/** The same in a flexible version, with a third text and the tagged fields. */
const SMALLEST_FLEXIBLE_GROUP_BYTES = 4

/**
 * Version 2: the groups that the broker coordinates.
 *
 * Request: nothing
 * Response: `throttle_time_ms i32, error_code i16, [group_id, protocol_type]`
 */
export const listGroupsV2: Api<ListGroupsCall, ListGroupsResponse> = {
  key: 16,
  version: 2,
  name: 'ListGroups',
  encode() {},
  decode: reader => ({
    throttleTimeMs: reader.int32(),
    errorCode: reader.int16(),
    groups: reader.array(
      SMALLEST_GROUP_BYTES,
      () => ({ groupId: reader.name(), protocolType: reader.name() }),
      atMost(MAX_GROUPS, 'groups')
    )
  })
}

/**
 * Version 4, flexible.
 *
 * Request: `[state]`
 * Response: `throttle_time_ms i32, error_code i16, [group_id, protocol_type, group_state]`
 */
export const listGroupsV4: Api<ListGroupsCall, ListGroupsResponse> = {
  key: 16,
  version: 4,
  name: 'ListGroups',
  isFlexible: true,
  older: listGroupsV2,
  encode(writer, { states }) {
    writer.compactNullableArray(states, state => writer.compactString(state))
    writer.noTags()
  },
  decode(reader) {
    const throttleTimeMs = reader.int32()
    const errorCode = reader.int16()
    const readGroup = () => {
      const groupId = reader.compactString()
      const protocolType = reader.compactString()
      reader.compactString()
      reader.skipTags()
      return { groupId, protocolType }
    }
    const groups = reader.compactArray(SMALLEST_FLEXIBLE_GROUP_BYTES, readGroup, atMost(MAX_GROUPS, 'groups'))
    reader.skipTags()
    return { throttleTimeMs, errorCode, groups }
  }
}
