import type { Failure, Request, TimedOut } from './request.js'

/** Internal, from the gateway and members of groups only: what the coordinator of a group says of it. */
export interface DescribeGroup extends Request<DescribeGroupResult> {
  readonly type: 'describeGroup'
  readonly groupId: string
}
export type DescribeGroupResult =
  | {
      readonly type: 'success'
      /** `consumer`: a consumer group, whose members tell what they read in a known format. */
      readonly protocolType: string
      /** `Stable`, `PreparingRebalance`, `CompletingRebalance` or `Empty`; or another one of brokers to come. */
      readonly state: string
      readonly members: readonly {
        readonly memberId: string
        readonly instanceId: string | null
        readonly clientId: string
        readonly clientHost: string
        /** Its subscription; empty unless the group is `Stable`. `undefined`: longer than 64 KiB. */
        readonly metadata: Buffer | undefined
        /** Empty unless the group is `Stable`. */
        readonly assignment: Buffer
      }[]
    }
  /** No coordinator knows such a group. */
  | { readonly type: 'notFound' }
  | TimedOut
  | Failure

/**
 * Internal, from the gateway only: the groups with members that one broker coordinates. Brokers before Kafka 2.6 also name
 * groups without members.
 */
export interface ListGroups extends Request<ListGroupsResult> {
  readonly type: 'listGroups'
  readonly nodeId: number
}
export type ListGroupsResult =
  | {
      readonly type: 'success'
      readonly groups: readonly { readonly groupId: string; readonly protocolType: string }[]
    }
  | TimedOut
  /** `brokerUnreachable`: the broker does not belong to the cluster any more. */
  | Failure

export interface GroupDescriptionOperations {
  describeGroup: { request: DescribeGroup; result: DescribeGroupResult }
  listGroups: { request: ListGroups; result: ListGroupsResult }
}
