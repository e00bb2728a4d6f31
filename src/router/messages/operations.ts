import type {
  BrokerNode,
  Offset,
  OffsetAndMetadata,
  ProduceRecord,
  RecordBatch,
  RecordOutcome,
  TopicPartition
} from '../../core/model.js'
import type { TopicMetadata } from '../../kafka/broker-client.js'
import type { BatchAnswer, InternalOperations, ProduceBatches, SealedBatch } from './internal.js'
import type { Failure, Request, TimedOut } from './request.js'

export type * from './internal.js'
export type { Failure } from './request.js'

/**
 * The Router's public messages: Castle's five operations and Produce, and every answer each of them can have.
 * An accepted request gets exactly one result, within its `timeoutMs` (default: the Router's setting per operation).
 * Source: Box-Castle/router 1.0.3, messages/RouterMessage.scala.
 */

/** Asks for records from `offset` on. */
export interface FetchData extends Request<FetchDataResult> {
  readonly type: 'fetchData'
  readonly topicPartition: TopicPartition
  readonly offset: Offset
  /**
   * How long it waits at the end of the log before it is answered `noMessages`, in milliseconds. Default, and least: the
   * Router's `fetchMaxWaitMs`. It has to be less than `timeoutMs`. A Router whose readers do not wait ignores it.
   */
  readonly maxWaitMs?: number | undefined
  /** Asked after each long poll beyond the Router's `fetchMaxWaitMs`: false ends the wait. Default: it is wanted. */
  readonly isWanted?: (() => boolean) | undefined
  /**
   * The id of the topic in whose log `offset` was found, as its metadata has it. Where the topic was created anew since, every
   * offset is `offsetOutOfRange`. Default: whichever topic has the name.
   */
  readonly topicId?: string | undefined
}
/** `leaderEpoch` is that of the leader that was read from, which is not older than those of its records. Absent: unknown. */
export type FetchDataResult = {
  readonly operation: 'fetchData'
  readonly topicPartition: TopicPartition
  /** The offset that was asked for. */
  readonly offset: Offset
} & (
  | { readonly type: 'success'; readonly batch: RecordBatch; readonly leaderEpoch?: number }
  /** The offset exists but nothing has been written there yet. */
  | { readonly type: 'noMessages'; readonly leaderEpoch?: number }
  | { readonly type: 'offsetOutOfRange' }
  | { readonly type: 'unknownTopicOrPartition' }
  /** The batch at `offset` is damaged; reading may go on at `nextOffset`, which skips the whole batch. */
  | { readonly type: 'corruptMessage'; readonly nextOffset: Offset }
  | TimedOut
  | Failure
)

/** `{timestampMs}`: the first record at or after that time; `latest` when there is none. */
export type OffsetType = 'earliest' | 'latest' | { readonly timestampMs: number }

export interface FetchOffset extends Request<FetchOffsetResult> {
  readonly type: 'fetchOffset'
  readonly topicPartition: TopicPartition
  readonly offsetType: OffsetType
}
/** `leaderEpoch` of `latest` is that of the leader; otherwise that of the record at the offset. */
export type FetchOffsetResult = {
  readonly operation: 'fetchOffset'
  readonly topicPartition: TopicPartition
  readonly offsetType: OffsetType
} & (
  | { readonly type: 'success'; readonly offset: Offset; readonly leaderEpoch?: number | undefined }
  | { readonly type: 'unknownTopicOrPartition' }
  | TimedOut
  | Failure
)

export interface FetchConsumerOffset extends Request<FetchConsumerOffsetResult> {
  readonly type: 'fetchConsumerOffset'
  readonly groupId: string
  readonly topicPartition: TopicPartition
  /** Returns the stored metadata unchanged, whichever client committed it. Default: only metadata of Castle or Castellan. */
  readonly rawMetadata?: boolean | undefined
  /** Returns a negative offset, which some clients store with a meaning of their own. Default: such an offset is a failure. */
  readonly negativeOffset?: boolean | undefined
}
export type FetchConsumerOffsetResult = {
  readonly operation: 'fetchConsumerOffset'
  readonly groupId: string
  readonly topicPartition: TopicPartition
} & (
  | { readonly type: 'success'; readonly offsetAndMetadata: OffsetAndMetadata }
  /** No offset is stored, or there is no such topic: the coordinator does not tell these apart. */
  | { readonly type: 'notFound' }
  | TimedOut
  | Failure
)

/** A member of a group in one generation of it. */
export interface GroupMembership {
  readonly memberId: string
  readonly generationId: number
  /** Of a static member; `null`: a dynamic one. */
  readonly instanceId: string | null
}

export interface CommitConsumerOffset extends Request<CommitConsumerOffsetResult> {
  readonly type: 'commitConsumerOffset'
  readonly groupId: string
  readonly topicPartition: TopicPartition
  readonly offsetAndMetadata: OffsetAndMetadata
  /** Stores the metadata unchanged, for readers other than Castle and Castellan. Default: with Castle's mark. */
  readonly rawMetadata?: boolean | undefined
  /** Takes a negative offset, which some clients store with a meaning of their own. Default: such an offset is refused. */
  readonly negativeOffset?: boolean | undefined
  /** Sets where the group stands: replaces commits that wait, whatever their offset. Default: the highest offset stays. */
  readonly replacesWaiting?: boolean | undefined
  /**
   * The member of the group that commits. The coordinator refuses its commits once its generation is over. Absent: a commit
   * of its own, which the coordinator takes while the group has no members.
   */
  readonly member?: GroupMembership | undefined
}
export type CommitConsumerOffsetResult = {
  readonly operation: 'commitConsumerOffset'
  readonly groupId: string
  readonly topicPartition: TopicPartition
  readonly offsetAndMetadata: OffsetAndMetadata
} & (
  | { readonly type: 'success' }
  | { readonly type: 'unknownTopicOrPartition' }
  /**
   * Another commit of the same group and partition has replaced it: one with the same or a higher offset while both waited,
   * or a later one when this one would have had to be sent again.
   */
  | { readonly type: 'superseded'; readonly supersededBy: OffsetAndMetadata }
  | TimedOut
  | Failure
)

export interface FetchTopicMetadata extends Request<FetchTopicMetadataResult> {
  readonly type: 'fetchTopicMetadata'
  /** Echoed. */
  readonly requestId: number
  /** `null` or absent: all topics. A named topic that does not exist is present with error code 3. */
  readonly topics?: readonly string[] | null | undefined
  /** Lets the broker create missing named topics. Default false: asking never creates. */
  readonly allowAutoTopicCreation?: boolean | undefined
}
export type FetchTopicMetadataResult = {
  readonly operation: 'fetchTopicMetadata'
  readonly requestId: number
} & (
  | {
      readonly type: 'success'
      readonly topics: ReadonlyMap<string, TopicMetadata>
      readonly brokers: readonly BrokerNode[]
    }
  | TimedOut
  | Failure
)

/** Writes records. The Router passes it to delivery, which keeps their order and retries. */
export interface Produce extends Request<ProduceResult> {
  readonly type: 'produce'
  readonly records: readonly ProduceRecord[]
}
export type ProduceResult = {
  readonly operation: 'produce'
  readonly type: 'completed'
  /** One per record, in order; a single failure where `records` is no list. */
  readonly outcomes: readonly RecordOutcome[]
}

/** Operation name -> its request and result: `ResultOf<'fetchData'>`. */
export interface Operations {
  fetchData: { request: FetchData; result: FetchDataResult }
  fetchOffset: { request: FetchOffset; result: FetchOffsetResult }
  fetchConsumerOffset: { request: FetchConsumerOffset; result: FetchConsumerOffsetResult }
  commitConsumerOffset: { request: CommitConsumerOffset; result: CommitConsumerOffsetResult }
  fetchTopicMetadata: { request: FetchTopicMetadata; result: FetchTopicMetadataResult }
  produce: { request: Produce; result: ProduceResult }
}
export type ResultOf<Operation extends keyof Operations> = Operations[Operation]['result']
export type RequestOf<Operation extends keyof Operations> = Operations[Operation]['request']
export type RouterResult = ResultOf<keyof Operations>

/** The requests that users of the Router may send. */
export type RouterRequest = RequestOf<keyof Operations>

/** The requests that are sent to brokers: all but Produce, which delivery turns into sealed batches. */
export interface RoutedOperations extends Omit<Operations, 'produce'>, InternalOperations {
  produceBatch: { request: SealedBatch; result: BatchAnswer }
}
export type RoutedKind = keyof RoutedOperations

/** Requests whose requester is told the result. */
export type AskedKind = Exclude<RoutedKind, 'produceBatch'>

/**
 * Internal, from delivery and readers only: tells a follower what the Router knows of these topics, now and after each look-up. Topics
 * that are not known are looked up, and created where that is allowed, until they are found or believed to be missing.
 * That they are missing or refused ends the following.
 */
export interface FollowTopics {
  readonly type: 'followTopics'
  readonly topics: readonly string[]
  readonly follower: TopicFollower
  /** What is known may be out of date: looks the topics up before it tells of them. */
  readonly anew?: boolean | undefined
  /**
   * True: nothing is looked up or created that is not known, and only the follower ends the following. Its topics count as in
   * use, so they are looked up as often as others that are.
   */
  readonly isReader?: boolean | undefined
}
/** Internal, from delivery and readers only: a follower does not want to know any more. */
export interface UnfollowTopics {
  readonly type: 'unfollowTopics'
  readonly topics: readonly string[]
  readonly follower: TopicFollower
}
/** Called from within the Router's turn: it must not throw. */
export interface TopicFollower {
  topicsTold(news: readonly TopicNews[]): void
}
export type TopicNews = { readonly topic: string } & (
  | {
      readonly type: 'known'
      readonly partitionCount: number
      /** `undefined`: no broker has told. */
      readonly topicId: string | undefined
      /** A look-up has named another number of partitions, and it takes more to believe it. */
      readonly isDoubted: boolean
    }
  /** Brokers say that there is no such topic; it is looked up again. */
  | { readonly type: 'denied' }
  /** They have said so for long enough. `until`: how long that is remembered, in the time of the clock. */
  | { readonly type: 'missing'; readonly until: number }
  /** The name is not allowed, or we may not see the topic. */
  | { readonly type: 'refused'; readonly errorCode: number; readonly until: number }
)

/** Everything the Router's mailbox takes from other rooms. `requests`: many in one message, handled in order. */
export type RouterMessage =
  | RouterRequest
  | InternalOperations[keyof InternalOperations]['request']
  | ProduceBatches
  | FollowTopics
  | UnfollowTopics
  | { readonly type: 'requests'; readonly requests: readonly RouterRequest[] }
