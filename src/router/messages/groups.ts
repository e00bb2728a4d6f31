import type { ConsumerMember } from '../../kafka/protocol/groups.js'
import type { Failure, Request, TimedOut } from './request.js'

/**
 * Internal, for members of consumer groups: membership by Kafka's classic protocol. JoinGroup, SyncGroup and Heartbeat
 * of a member have a connection of their own, because the coordinator delays the answers to JoinGroup and SyncGroup
 * until other members have joined. Failures keep Kafka's error code, because the member reacts to the code.
 */
interface GroupRequest<Result> extends Request<Result> {
  readonly groupId: string
  /** The id of a static member, which keeps its partitions over a restart; `null`: the member is dynamic. */
  readonly instanceId: string | null
  /** Empty before the first join. */
  readonly memberId: string
}
interface MemberRequest<Result> extends GroupRequest<Result> {
  /** Names the connection: it stays the same when the coordinator gives the member another id. */
  readonly connection: string
}

export interface JoinGroup extends MemberRequest<JoinGroupResult> {
  readonly type: 'joinGroup'
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  /**
   * The assignment strategies that the member supports, the preferred one first. Each has the subscription of the
   * member in its own format.
   */
  readonly protocols: readonly { readonly name: string; readonly metadata: Buffer }[]
}
export type JoinGroupResult =
  | {
      readonly type: 'success'
      readonly generationId: number
      readonly memberId: string
      /** The member that assigns the partitions. */
      readonly leaderId: string
      readonly protocolName: string
      /** For the leader: all members. */
      readonly members: readonly {
        readonly memberId: string
        readonly instanceId: string | null
        readonly metadata: Buffer
      }[]
    }
  /**
   * The member must repeat the join with this id. In this way the coordinator keeps no state of clients that have gone
   * away.
   */
  | { readonly type: 'memberIdRequired'; readonly memberId: string }
  | TimedOut
  | Failure

export interface SyncGroup extends MemberRequest<SyncGroupResult> {
  readonly type: 'syncGroup'
  readonly generationId: number
  /** How long the coordinator waits for the leader. */
  readonly rebalanceTimeoutMs: number
  /** Only the leader of the group sends assignments. */
  readonly assignments: readonly { readonly memberId: string; readonly assignment: Buffer }[]
}
export type SyncGroupResult = { readonly type: 'success'; readonly assignment: Buffer } | TimedOut | Failure

export interface Heartbeat extends MemberRequest<HeartbeatResult> {
  readonly type: 'heartbeat'
  readonly generationId: number
}
export type HeartbeatResult = { readonly type: 'success' } | TimedOut | Failure

/**
 * Sent over the control connection, because a join may wait on the connection of the member. The connection of the
 * member is closed afterwards.
 */
export interface LeaveGroup extends MemberRequest<LeaveGroupResult> {
  readonly type: 'leaveGroup'
}
export type LeaveGroupResult = { readonly type: 'success' } | TimedOut | Failure

export interface MembershipOperations {
  joinGroup: { request: JoinGroup; result: JoinGroupResult }
  syncGroup: { request: SyncGroup; result: SyncGroupResult }
  heartbeat: { request: Heartbeat; result: HeartbeatResult }
  leaveGroup: { request: LeaveGroup; result: LeaveGroupResult }
}

/** Internal, for the gateway and members of groups: asks the coordinator to describe a group. */
export interface DescribeGroup extends Request<DescribeGroupResult> {
  readonly type: 'describeGroup'
  readonly groupId: string
}
type DescribeGroupResult =
  | {
      readonly type: 'success'
      /** `consumer` for a consumer group. The assignments of its members then have a known format. */
      readonly protocolType: string
      /**
       * `Stable`, `PreparingRebalance`, `CompletingRebalance` or `Empty`; or a state that a later version of Kafka
       * adds.
       */
      readonly state: string
      /** The assignment strategy that the members have agreed on; empty unless the group is `Stable`. */
      readonly protocol: string
      /** The broker that has answered; it coordinates the group. */
      readonly coordinatorId: number
      readonly members: readonly {
        readonly memberId: string
        readonly instanceId: string | null
        readonly clientId: string
        readonly clientHost: string
        /** The subscription of the member; empty unless the group is `Stable`. `undefined`: longer than 64 KiB. */
        readonly metadata: Buffer | undefined
        /** Empty unless the group is `Stable`. */
        readonly assignment: Buffer
      }[]
    }
  /** No coordinator knows such a group. */
  | { readonly type: 'notFound' }
  | TimedOut
  | Failure

/** Internal, from the gateway only: asks the coordinator to describe a group of the protocol of KIP-848. */
export interface DescribeConsumerGroup extends Request<DescribeConsumerGroupResult> {
  readonly type: 'describeConsumerGroup'
  readonly groupId: string
}
export type DescribeConsumerGroupResult =
  | {
      readonly type: 'success'
      /** `Empty`, `Assigning`, `Reconciling` or `Stable`; or a state that a later version of Kafka adds. */
      readonly state: string
      readonly assignor: string
      /** The broker that has answered; it coordinates the group. */
      readonly coordinatorId: number
      readonly members: readonly ConsumerMember[]
    }
  /** The coordinator knows no such group of this protocol, or does not have the protocol. */
  | { readonly type: 'notFound' }
  | TimedOut
  | Failure

/** Internal, from the gateway only: lists the groups that one broker coordinates. */
export interface ListGroups extends Request<ListGroupsResult> {
  readonly type: 'listGroups'
  readonly nodeId: number
  /** True: groups without members are left out. Brokers before Kafka 2.6 list them nevertheless. */
  readonly withMembers: boolean
}
export type ListGroupsResult =
  | {
      readonly type: 'success'
      readonly groups: readonly { readonly groupId: string; readonly protocolType: string }[]
    }
  | TimedOut
  /** `brokerUnreachable`: the broker no longer belongs to the cluster. */
  | Failure

export interface GroupDescriptionOperations {
  describeGroup: { request: DescribeGroup; result: DescribeGroupResult }
  describeConsumerGroup: { request: DescribeConsumerGroup; result: DescribeConsumerGroupResult }
  listGroups: { request: ListGroups; result: ListGroupsResult }
}
