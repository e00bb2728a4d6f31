import type { CallOptions } from '../calls.js'
import type { Api } from './api.js'
import { atMost, noMoreThanAsked } from './most.js'

export interface DescribeGroupsCall extends CallOptions {
  readonly groupIds: readonly string[]
}
export interface DescribedMember {
  readonly memberId: string
  /** Of a static member; `null`: a dynamic one, or a broker that does not tell. */
  readonly instanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  /** Its subscription, in the format of the protocol type; empty unless the group is `Stable`. `undefined`: longer than 64 KiB. */
  readonly metadata: Buffer | undefined
  /** What it was given in the last rebalance, in the format of the protocol type; empty unless the group is `Stable`. */
  readonly assignment: Buffer
}
export interface DescribeGroupsResponse {
  readonly throttleTimeMs: number
  readonly groups: readonly {
    readonly errorCode: number
    readonly groupId: string
    /** `Stable`, `PreparingRebalance`, `CompletingRebalance`, `Empty`, or `Dead`: there is no such group. */
    readonly state: string
    /** `consumer`: a consumer group. */
    readonly protocolType: string
    readonly members: readonly DescribedMember[]
  }[]
}

// Far more than the groups of one call can have, together.
const MAX_MEMBERS = 100_000
/** Any member may send so much that all of them together do not fit into memory. */
const MAX_METADATA_BYTES = 64 * 1024
/** A code, four texts, and the number of members. */
const SMALLEST_GROUP_BYTES = 14
/** Three texts and two lengths. */
const SMALLEST_MEMBER_BYTES = 14

/**
 * Versions 4 and 3.
 *
 * Request: `[group_id], include_authorized_operations bool`
 * Response: `throttle_time_ms i32, [error_code i16, group_id, group_state, protocol_type, protocol_data, [member_id,
 *   group_instance_id? (from version 4 on), client_id, client_host, member_metadata bytes, member_assignment bytes],
 *   authorized_operations i32]`
 */
const create = (version: 3 | 4): Api<DescribeGroupsCall, DescribeGroupsResponse> => ({
  key: 15,
  version,
  name: 'DescribeGroups',
  encode(writer, { groupIds }) {
    writer.array(groupIds, groupId => writer.string(groupId))
    writer.boolean(false)
  },
  decode(reader, { groupIds }) {
    const membersInAll = atMost(MAX_MEMBERS, 'members')
    const throttleTimeMs = reader.int32()
    const readMember = (): DescribedMember => {
      const memberId = reader.name()
      const instanceId = version >= 4 ? reader.nullableString() : null
      const [clientId, clientHost] = [reader.name(), reader.name()]
      const told = reader.bytes()
      const metadata = told.length > MAX_METADATA_BYTES ? undefined : Buffer.from(told)
      return { memberId, instanceId, clientId, clientHost, metadata, assignment: Buffer.from(reader.bytes()) }
    }
    const readGroup = () => {
      const errorCode = reader.int16()
      const [groupId, state, protocolType] = [reader.name(), reader.name(), reader.name()]
      reader.name()
      const members = reader.array(SMALLEST_MEMBER_BYTES, readMember, membersInAll)
      reader.int32()
      return { errorCode, groupId, state, protocolType, members }
    }
    const groups = reader.array(SMALLEST_GROUP_BYTES, readGroup, noMoreThanAsked(groupIds.length, 'groups'))
    return { throttleTimeMs, groups }
  }
})

export const describeGroupsV3 = create(3)
export const describeGroupsV4: Api<DescribeGroupsCall, DescribeGroupsResponse> = {
  ...create(4),
  older: describeGroupsV3
}
