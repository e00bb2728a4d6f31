import type { Failure, Request, TimedOut } from './request.js'

/**
 * Internal, from `groups/` only: membership of a consumer group by Kafka's classic protocol. JoinGroup, SyncGroup and
 * Heartbeat of a member are sent over a connection that nothing else uses, because the coordinator keeps the first two
 * waiting for other members. Failures keep Kafka's error code, which tells the member what to do.
 */
interface GroupRequest<Result> extends Request<Result> {
  readonly groupId: string
  /** Of a static member, which keeps its partitions over a restart; `null`: a dynamic one. */
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
  /** Ways of assigning that it offers, the best one first, each with its subscription in that format. */
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
  /** To be asked again under this id, so that the coordinator holds no places for clients that went away. */
  | { readonly type: 'memberIdRequired'; readonly memberId: string }
  | TimedOut
  | Failure

export interface SyncGroup extends MemberRequest<SyncGroupResult> {
  readonly type: 'syncGroup'
  readonly generationId: number
  /** How long the coordinator waits for the leader. */
  readonly rebalanceTimeoutMs: number
  /** From the leader only. */
  readonly assignments: readonly { readonly memberId: string; readonly assignment: Buffer }[]
}
export type SyncGroupResult = { readonly type: 'success'; readonly assignment: Buffer } | TimedOut | Failure

export interface Heartbeat extends MemberRequest<HeartbeatResult> {
  readonly type: 'heartbeat'
  readonly generationId: number
}
export type HeartbeatResult = { readonly type: 'success' } | TimedOut | Failure

/** Sent over the control connection, because the one of the member may be waiting for a join; that one is closed soon. */
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
