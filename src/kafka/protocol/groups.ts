import type { CallTimeLimit } from '../calls.js'
import { errorCodes } from '../error-codes.js'
import { describeApi, inVersions, type ResponseOf } from './api.js'
import { atMost, noMoreThanAsked } from './encoding.js'
import { NOT_REPORTED, operationsIn } from './metadata.js'
import * as t from './schema.js'

/** Kinds of coordinators, by Kafka's numbers. */
export const coordinated = { group: 0, transaction: 1 } as const
export type Coordinated = keyof typeof coordinated
const keyType: t.OptionalField<Coordinated> = {
  isOptional: true,
  write: (to, type = 'group') => to.int8(coordinated[type]),
  read: from => (from.int8() === coordinated.group ? 'group' : 'transaction')
}

export const findCoordinatorV2 = describeApi({
  key: 10,
  version: 2,
  name: 'FindCoordinator',
  /** `groupId`: the id of the group or transaction. */
  request: t.struct({ groupId: t.string, keyType }),
  response: {
    errorCode: t.int16,
    errorMessage: t.nullableString,
    nodeId: t.int32,
    host: t.name,
    port: t.int32
  },
  responseOf: ({ throttleTimeMs, errorCode, errorMessage, ...node }) => ({
    throttleTimeMs,
    errorCode,
    errorMessage,
    coordinator: { ...node, rack: null as string | null }
  })
})

export type FindCoordinatorResponse = ResponseOf<typeof findCoordinatorV2>

const listedGroup = (text: t.Field<string>, isFlexible: boolean) =>
  t.struct({
    groupId: text,
    /** `consumer`: a consumer group; empty for a group that only has offsets. */
    protocolType: text,
    _state: t.onlyIf(isFlexible, text, '')
  })

/** Versions 2 and 4 (flexible): the groups that the broker coordinates. */
export const [listGroupsV4, listGroupsV2] = inVersions([4, 2], version =>
  describeApi({
    key: 16,
    version,
    name: 'ListGroups',
    isFlexible: version === 4,
    request: t.struct({
      /** Lists only groups in these states. Brokers before Kafka 2.6 list all groups. */
      states: t.onlyIf(version === 4, t.array(t.string), [])
    }),
    response: {
      errorCode: t.int16,
      // Version 4 has no null in texts; earlier brokers may send it. The limit is far above what a broker can coordinate.
      groups: t.array(listedGroup(version === 4 ? t.string : t.name, version === 4), atMost(1_000_000, 'groups'))
    }
  })
)

export type ListGroupsResponse = ResponseOf<typeof listGroupsV4>

/** Longer metadata is dropped. Otherwise the metadata of all members together might not fit into memory. */
const MAX_METADATA_BYTES = 64 * 1024
const shortBytes: t.Field<Buffer | undefined> = {
  write() {},
  read(reader) {
    const described = reader.bytes()
    return described.length > MAX_METADATA_BYTES ? undefined : Buffer.from(described)
  }
}

/** Limit of members in all groups of one call together, far above any real number. */
const membersInAll = atMost(100_000, 'members')
export const describedGroups = noMoreThanAsked('groups')
export const describeGroupsRequest = t.struct({
  groupIds: t.array(t.string),
  _withAuthorizedOperations: t.constant(t.boolean, false)
})

/** Groups of the protocols of KIP-848 and KIP-932, with their members. */
export const groupsOf = <Member>(member: t.Field<Member>) => ({
  groups: t.array(
    t.struct({
      errorCode: t.int16,
      errorMessage: t.nullableString,
      groupId: t.string,
      /** `Empty`, `Stable` or `Dead`; of consumers also `Assigning` and `Reconciling`. */
      state: t.string,
      _epoch: t.int32,
      _assignmentEpoch: t.int32,
      assignor: t.string,
      members: t.array(member, membersInAll),
      _authorizedOperations: t.int32
    }),
    describedGroups
  )
})

export interface DescribeGroupsCall extends CallTimeLimit {
  readonly groupIds: readonly string[]
  readonly withAuthorizedOperations?: boolean
}

/** Version 4, and version 3 for older brokers. */
export const [describeGroupsV4, describeGroupsV3] = inVersions([4, 3], version =>
  describeApi({
    key: 15,
    version,
    name: 'DescribeGroups',
    request: t.struct({ groupIds: t.array(t.string), withAuthorizedOperations: t.boolean }),
    /** `withAuthorizedOperations`: groups have `authorizedOperations`. Default: false. */
    requestOf: (call: DescribeGroupsCall) => ({ withAuthorizedOperations: false, ...call }),
    response: {
      groups: t.array(
        t.struct({
          errorCode: t.int16,
          groupId: t.name,
          /** `Stable`, `PreparingRebalance`, `CompletingRebalance`, `Empty`, or `Dead`: there is no such group. */
          state: t.name,
          /** `consumer`: a consumer group. */
          protocolType: t.name,
          /** The assignment strategy that the members have agreed on; empty unless the group is `Stable`. */
          protocol: t.name,
          members: t.array(
            t.struct({
              memberId: t.name,
              /** The id of a static member; `null`: the member is dynamic, or the broker does not report the id. */
              instanceId: t.onlyIf(version === 4, t.nullableString, null),
              clientId: t.name,
              clientHost: t.name,
              /**
               * The subscription of the member, in the format of the protocol type; empty unless the group is `Stable`.
               * `undefined`: longer than 64 KiB.
               */
              metadata: shortBytes,
              /** The assignment of the member in the last rebalance, in the same format; empty unless the group is `Stable`. */
              assignment: t.bytes
            }),
            membersInAll
          ),
          /** `undefined`: they were not asked for, or the broker does not tell. */
          authorizedOperations: t.readAs(t.int32, set => (set === NOT_REPORTED ? undefined : operationsIn(set)))
        }),
        describedGroups
      )
    },
    asked: ({ groupIds }) => groupIds.length
  })
)
export type DescribeGroupsResponse = ResponseOf<typeof describeGroupsV4>

/** Limit of the assigned partitions in a response, far above what a cluster has. */
const partitionsInAll = atMost(1_000_000, 'assigned partitions')
/** Topic -> partitions */
export const assignment = t.readAs(
  t.struct({
    topics: t.array(t.struct({ _id: t.uuid, topic: t.string, partitions: t.array(t.int32, partitionsInAll) }))
  }),
  ({ topics }): ReadonlyMap<string, readonly number[]> =>
    new Map(topics.map(({ topic, partitions }) => [topic, partitions]))
)
/** By Kafka's numbers; -1: unknown. */
const memberTypes = ['classic', 'consumer'] as const
const memberType = t.readAs(t.int8, type => memberTypes[type])

/** A member of a group of the protocol of KIP-848. */
const consumerMember = (version: 0 | 1) =>
  t.struct({
    memberId: t.string,
    instanceId: t.nullableString,
    _rackId: t.nullableString,
    _epoch: t.int32,
    clientId: t.string,
    clientHost: t.string,
    _subscribedTopics: t.array(t.string),
    _subscribedPattern: t.nullableString,
    /** Partitions that the member reads now, as the coordinator lists them. */
    partitions: assignment,
    _targetAssignment: assignment,
    /** `classic`: the member still uses the older protocol. `undefined`: brokers before Kafka 4.0 do not say. */
    protocol: t.onlyIf(version === 1, memberType, undefined)
  })
export type ConsumerMember = t.ValueOf<ReturnType<typeof consumerMember>>

/** Versions 0 (Kafka 3.7, flexible), and 1 (Kafka 4.0) with the protocols of members. */
export const [describeConsumerGroupsV1, describeConsumerGroupsV0] = inVersions([1, 0], version =>
  describeApi({
    key: 69,
    version,
    name: 'ConsumerGroupDescribe',
    isFlexible: true,
    request: describeGroupsRequest,
    response: groupsOf(consumerMember(version)),
    asked: ({ groupIds }) => groupIds.length
  })
)
export type DescribeConsumerGroupsResponse = ResponseOf<typeof describeConsumerGroupsV1>

const joinedMember = t.struct({ memberId: t.name, instanceId: t.nullableString, metadata: t.bytes })
/** The coordinator's description of a member for the leader; `metadata` is the subscription. */
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
  response: {
    errorCode: t.int16,
    generationId: t.int32,
    protocolName: t.name,
    /** The member that assigns the partitions. */
    leaderId: t.name,
    /** The id of the member. The coordinator chooses it for a new member, also with MEMBER_ID_REQUIRED. */
    memberId: t.name,
    /** All members of the group; empty for members other than the leader. The limit is far above the size of any group. */
    members: t.array(joinedMember, atMost(100_000, 'members'))
  }
})

const membership = { groupId: t.string, generationId: t.int32, memberId: t.string, instanceId: t.nullableString }

export const heartbeatV3 = describeApi({
  key: 12,
  version: 3,
  name: 'Heartbeat',
  request: t.struct(membership),
  response: { errorCode: t.int16 }
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
  response: { errorCode: t.int16, assignment: t.bytes }
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
  response: {
    errorCode: t.int16,
    members: t.array(
      t.struct({ _memberId: t.name, _instanceId: t.nullableString, errorCode: t.int16 }),
      noMoreThanAsked('members')
    )
  },
  asked: () => 1,
  responseOf: ({ throttleTimeMs, errorCode, members: [member] }) => ({
    throttleTimeMs,
    errorCode: errorCode === errorCodes.NONE ? (member?.errorCode ?? errorCode) : errorCode
  })
})
