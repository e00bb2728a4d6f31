import type { CallOptions, FindCoordinatorCall, FindCoordinatorResponse, Throttled } from '../calls.js'
import { type Api, atMost, noMoreThanAsked } from './api.js'
import type { ResponseReader } from './encoding.js'

const GROUP = 0

/**
 * Version 2.
 *
 * Request: `key, key_type i8`
 * Response: `throttle_time_ms i32, error_code i16, error_message?, node_id i32, host, port i32`
 */
export const findCoordinatorV2: Api<FindCoordinatorCall, FindCoordinatorResponse> = {
  key: 10,
  version: 2,
  name: 'FindCoordinator',
  encode(writer, { groupId }) {
    writer.string(groupId)
    writer.int8(GROUP)
  },
  decode: reader => ({
    throttleTimeMs: reader.int32(),
    errorCode: reader.int16(),
    errorMessage: reader.nullableString(),
    coordinator: { nodeId: reader.int32(), host: reader.name(), port: reader.int32(), rack: null }
  })
}

export interface ListGroupsCall extends CallOptions {
  /** Lists only groups in these states. Brokers before Kafka 2.6 list all groups. */
  readonly states: readonly string[]
}
export interface ListGroupsResponse extends Throttled {
  readonly errorCode: number
  readonly groups: readonly {
    readonly groupId: string
    /** `consumer`: a consumer group; empty for a group that only has offsets. */
    readonly protocolType: string
  }[]
}

/** Limit of groups in a response, far above what a broker can coordinate. */
const MAX_GROUPS = 1_000_000
/** Bytes of the lengths of two texts. Version 4 has three texts and tagged fields, with shorter lengths. */
const SMALLEST_LISTED_GROUP_BYTES = 4

/**
 * Versions 2 and 4 (flexible): the groups that the broker coordinates.
 *
 * Request: `(4: [state])`
 * Response: `throttle_time_ms i32, error_code i16, [group_id, protocol_type, (4: group_state)]`
 */
const listGroups = (version: 2 | 4): Api<ListGroupsCall, ListGroupsResponse> => ({
  key: 16,
  version,
  name: 'ListGroups',
  isFlexible: version === 4,
  encode(writer, { states }) {
    if (version === 4) writer.array(states, state => writer.string(state))
    writer.tags()
  },
  decode(reader) {
    const throttleTimeMs = reader.int32()
    const errorCode = reader.int16()
    const readGroup = () => {
      // Version 4 has no null here; earlier brokers may send it.
      const text = (): string => (version === 4 ? reader.string() : reader.name())
      const group = { groupId: text(), protocolType: text() }
      if (version === 4) reader.string()
      reader.tags()
      return group
    }
    const groups = reader.array(SMALLEST_LISTED_GROUP_BYTES, readGroup, atMost(MAX_GROUPS, 'groups'))
    reader.tags()
    return { throttleTimeMs, errorCode, groups }
  }
})

export const listGroupsV2 = listGroups(2)
export const listGroupsV4: Api<ListGroupsCall, ListGroupsResponse> = { ...listGroups(4), older: listGroupsV2 }

export interface DescribeGroupsCall extends CallOptions {
  readonly groupIds: readonly string[]
}
export interface DescribedMember {
  readonly memberId: string
  /** The instance id of a static member; `null`: the member is dynamic, or the broker does not report the id. */
  readonly instanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  /**
   * The subscription of the member, in the format of the protocol type; empty unless the group is `Stable`.
   * `undefined`: longer than 64 KiB.
   */
  readonly metadata: Buffer | undefined
  /**
   * The assignment of the member in the last rebalance, in the format of the protocol type; empty unless the group is
   * `Stable`.
   */
  readonly assignment: Buffer
}
export interface DescribeGroupsResponse extends Throttled {
  readonly groups: readonly {
    readonly errorCode: number
    readonly groupId: string
    /** `Stable`, `PreparingRebalance`, `CompletingRebalance`, `Empty`, or `Dead`: there is no such group. */
    readonly state: string
    /** `consumer`: a consumer group. */
    readonly protocolType: string
    /** The assignment strategy that the members have agreed on; empty unless the group is `Stable`. */
    readonly protocol: string
    readonly members: readonly DescribedMember[]
  }[]
}

/** Limit of members in all groups of one call together, far above any real number. */
const MAX_MEMBERS = 100_000
/** Longer metadata is dropped. Otherwise the metadata of all members together might not fit into memory. */
const MAX_METADATA_BYTES = 64 * 1024
/** Bytes of an error code, the lengths of four texts, and the number of members. */
const SMALLEST_GROUP_BYTES = 14
/** Bytes of the lengths of three texts and two byte fields. */
const SMALLEST_MEMBER_BYTES = 14

/**
 * Version 4, and version 3 for older brokers.
 *
 * Request: `[group_id], include_authorized_operations bool`
 * Response: `throttle_time_ms i32, [error_code i16, group_id, group_state, protocol_type, protocol_data, [member_id,
 *   (4: group_instance_id?,) client_id, client_host, member_metadata bytes, member_assignment bytes],
 *   authorized_operations i32]`
 */
const describeGroups = (version: 3 | 4): Api<DescribeGroupsCall, DescribeGroupsResponse> => ({
  key: 15,
  version,
  name: 'DescribeGroups',
  encode(writer, { groupIds }) {
    writer.array(groupIds, groupId => writer.string(groupId))
    writer.boolean(false)
  },
  decode(reader, { groupIds }) {
    const membersInAll = atMost(MAX_MEMBERS, 'members')
    const readMember = (): DescribedMember => {
      const memberId = reader.name()
      const instanceId = version === 4 ? reader.nullableString() : null
      const [clientId, clientHost] = [reader.name(), reader.name()]
      const described = reader.bytes()
      const metadata = described.length > MAX_METADATA_BYTES ? undefined : Buffer.from(described)
      return { memberId, instanceId, clientId, clientHost, metadata, assignment: Buffer.from(reader.bytes()) }
    }
    const readGroup = () => {
      const errorCode = reader.int16()
      const [groupId, state, protocolType, protocol] = [reader.name(), reader.name(), reader.name(), reader.name()]
      const members = reader.array(SMALLEST_MEMBER_BYTES, readMember, membersInAll)
      reader.int32()
      return { errorCode, groupId, state, protocolType, protocol, members }
    }
    return {
      throttleTimeMs: reader.int32(),
      groups: reader.array(SMALLEST_GROUP_BYTES, readGroup, noMoreThanAsked(groupIds.length, 'groups'))
    }
  }
})

export const describeGroupsV3 = describeGroups(3)
export const describeGroupsV4: Api<DescribeGroupsCall, DescribeGroupsResponse> = {
  ...describeGroups(4),
  older: describeGroupsV3
}

/** A member of a group of the protocol of KIP-848. */
export interface ConsumerMember {
  readonly memberId: string
  readonly instanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  /** What the member reads now: topic -> partitions, as the coordinator lists them. */
  readonly partitions: ReadonlyMap<string, readonly number[]>
  /** `classic`: the member still uses the older protocol. `undefined`: brokers before Kafka 4.0 do not say. */
  readonly protocol: 'classic' | 'consumer' | undefined
}
export interface DescribeConsumerGroupsResponse extends Throttled {
  readonly groups: readonly {
    readonly errorCode: number
    readonly errorMessage: string | null
    readonly groupId: string
    /** `Empty`, `Assigning`, `Reconciling`, `Stable` or `Dead`. */
    readonly state: string
    readonly assignor: string
    readonly members: readonly ConsumerMember[]
  }[]
}

/** Limit of the assigned partitions in a response, far above what a cluster has. */
const MAX_ASSIGNED_PARTITIONS = 1_000_000
/** Bytes of an error code, two epochs, the authorized operations, the lengths of five texts and lists, and the tags. */
const SMALLEST_CONSUMER_GROUP_BYTES = 20
/** Bytes of an epoch, the lengths of seven texts and lists, two assignments, and the tags. */
const SMALLEST_CONSUMER_BYTES = 16
/** Bytes of an id, the lengths of a text and a list, and the tags. */
const SMALLEST_ASSIGNED_TOPIC_BYTES = 19

/**
 * Versions 0 (Kafka 3.7, flexible), and 1 (Kafka 4.0) with the protocols of members: groups of the protocol of KIP-848.
 *
 * Request: `[group_id], include_authorized_operations bool`
 * Response: `throttle_time_ms i32, [error_code i16, error_message?, group_id, group_state, group_epoch i32,
 *   assignment_epoch i32, assignor_name, [member_id, instance_id?, rack_id?, member_epoch i32, client_id, client_host,
 *   [subscribed_topic_name], subscribed_topic_regex?, assignment, target_assignment, (1: member_type i8)],
 *   authorized_operations i32]`
 * An assignment: `[topic_id uuid, topic_name, [partition i32]]`
 */
const describeConsumerGroups = (version: 0 | 1): Api<DescribeGroupsCall, DescribeConsumerGroupsResponse> => ({
  key: 69,
  version,
  name: 'ConsumerGroupDescribe',
  isFlexible: true,
  encode(writer, { groupIds }) {
    writer.array(groupIds, groupId => writer.string(groupId))
    writer.boolean(false)
    writer.tags()
  },
  decode(reader, { groupIds }) {
    const membersInAll = atMost(MAX_MEMBERS, 'members')
    const partitionsInAll = atMost(MAX_ASSIGNED_PARTITIONS, 'assigned partitions')
    const readMember = (): ConsumerMember => {
      const [memberId, instanceId] = [reader.string(), reader.nullableString()]
      reader.nullableString()
      reader.int32()
      const [clientId, clientHost] = [reader.string(), reader.string()]
      reader.array(1, () => reader.string())
      reader.nullableString()
      const partitions = readAssignment(reader, partitionsInAll)
      readAssignment(reader, partitionsInAll)
      const protocol = version === 1 ? memberTypes[reader.int8()] : undefined
      reader.tags()
      return { memberId, instanceId, clientId, clientHost, partitions, protocol }
    }
    const readGroup = () => {
      const [errorCode, errorMessage] = [reader.int16(), reader.nullableString()]
      const [groupId, state] = [reader.string(), reader.string()]
      reader.int32()
      reader.int32()
      const assignor = reader.string()
      const members = reader.array(SMALLEST_CONSUMER_BYTES, readMember, membersInAll)
      reader.int32()
      reader.tags()
      return { errorCode, errorMessage, groupId, state, assignor, members }
    }
    const throttleTimeMs = reader.int32()
    const inCall = noMoreThanAsked(groupIds.length, 'groups')
    const groups = reader.array(SMALLEST_CONSUMER_GROUP_BYTES, readGroup, inCall)
    reader.tags()
    return { throttleTimeMs, groups }
  }
})

/** By Kafka's numbers; -1: unknown. */
const memberTypes = ['classic', 'consumer'] as const

export const describeConsumerGroupsV0 = describeConsumerGroups(0)
export const describeConsumerGroupsV1: Api<DescribeGroupsCall, DescribeConsumerGroupsResponse> = {
  ...describeConsumerGroups(1),
  older: describeConsumerGroupsV0
}

function readAssignment(reader: ResponseReader, check: (count: number) => void): Map<string, readonly number[]> {
  const topics = reader.array(SMALLEST_ASSIGNED_TOPIC_BYTES, () => {
    reader.uuid()
    const ofTopic = [reader.string(), reader.array(4, () => reader.int32(), check)] as const
    reader.tags()
    return ofTopic
  })
  reader.tags()
  return new Map(topics)
}
