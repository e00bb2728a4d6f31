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
import type {
  BatchAnswer,
  CloseShareConnection,
  GroupMembership,
  InternalOperations,
  ProduceBatches,
  SealedBatch,
  TopicChanged
} from './internal.js'
import type { Failure, Request, TimedOut } from './request.js'

export type * from './internal.js'
export type { Failure } from './request.js'

/**
 * The Router's public messages: Castle's five operations and Produce, with all possible answers. An accepted request
 * gets exactly one result, within its `timeoutMs` (default: the Router's setting per operation).
 * Source: Box-Castle/router 1.0.3, messages/RouterMessage.scala.
 */

/** Asks for records from `offset` on. */
export interface FetchData extends Request<FetchDataResult> {
  readonly type: 'fetchData'
  readonly topicPartition: TopicPartition
  readonly offset: Offset
  /**
   * How long the request waits at the end of the log before it is answered `noMessages`, in milliseconds. Default and
   * minimum: the Router's `fetchMaxWaitMs`. The value has to be less than `timeoutMs`. Ignored where `fetchMaxWaitMs`
   * is 0.
   */
  readonly maxWaitMs?: number | undefined
  /**
   * Called after each long poll when the request has waited longer than `fetchMaxWaitMs`. False ends the wait, and so
   * does an error that it throws. Default: the request continues to wait.
   */
  readonly isWanted?: (() => boolean) | undefined
  /**
   * The id, in metadata, of the topic that `offset` belongs to. If the name now belongs to a topic with another id, the
   * answer is `offsetOutOfRange` for every offset. Default: the topic that has the name now.
   */
  readonly topicId?: string | undefined
  /**
   * Limit of the bytes that the leader is asked for, at least 1. A first batch that is larger comes whole. The largest
   * limit counts where several requests read from one offset. Default and maximum, and what long polls at the end of a log
   * ask for: the Router's `fetchBufferBytes`.
   */
  readonly maxBytes?: number | undefined
}
/** `leaderEpoch` is the epoch of the leader that was read from. No record has a later epoch. Absent: unknown. */
export type FetchDataResult = {
  readonly operation: 'fetchData'
  readonly topicPartition: TopicPartition
  readonly offset: Offset
} & (
  | { readonly type: 'success'; readonly batch: RecordBatch; readonly leaderEpoch?: number }
  /**
   * No record has been written at this offset yet: it is at the end of the log. `nextOffset`: the log goes on up to
   * there, without a record: with markers of transactions, or what compaction or an abort has left.
   */
  | { readonly type: 'noMessages'; readonly leaderEpoch?: number; readonly nextOffset?: Offset }
  | { readonly type: 'offsetOutOfRange' }
  | { readonly type: 'unknownTopicOrPartition' }
  /** The batch at `offset` is damaged. Reading may continue at `nextOffset`, which is after the whole batch. */
  | { readonly type: 'corruptMessage'; readonly nextOffset: Offset }
  | TimedOut
  | Failure
)

/** `{timestampMs}`: the first record at or after this time, or `latest` when there is no such record. */
export type OffsetType = 'earliest' | 'latest' | { readonly timestampMs: number }

export interface FetchOffset extends Request<FetchOffsetResult> {
  readonly type: 'fetchOffset'
  readonly topicPartition: TopicPartition
  readonly offsetType: OffsetType
}
/** `leaderEpoch` is the epoch of the record at the offset; for `latest`, the epoch of the leader. */
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
  /**
   * Returns a stored negative offset. Some clients give negative offsets a meaning of their own. Default: a negative
   * offset is a failure.
   */
  readonly negativeOffset?: boolean | undefined
  /**
   * While a transaction with an offset for this partition is open, the coordinator is asked again until the time limit. Brokers
   * before Kafka 2.5 give the offset that was committed before. Default: that offset is given at once.
   */
  readonly requireStable?: boolean | undefined
}
export type FetchConsumerOffsetResult = {
  readonly operation: 'fetchConsumerOffset'
  readonly groupId: string
  readonly topicPartition: TopicPartition
} & (
  | { readonly type: 'success'; readonly offsetAndMetadata: OffsetAndMetadata }
  /** No offset is stored, or there is no such topic. The coordinator gives the same answer in both cases. */
  | { readonly type: 'notFound' }
  | TimedOut
  | Failure
)

export interface CommitConsumerOffset extends Request<CommitConsumerOffsetResult> {
  readonly type: 'commitConsumerOffset'
  readonly groupId: string
  readonly topicPartition: TopicPartition
  readonly offsetAndMetadata: OffsetAndMetadata
  /** Stores the metadata unchanged, for readers other than Castle and Castellan. Default: with Castle's mark. */
  readonly rawMetadata?: boolean | undefined
  /**
   * Accepts a negative offset. Some clients give negative offsets a meaning of their own. Default: a negative offset is
   * refused.
   */
  readonly negativeOffset?: boolean | undefined
  /**
   * True: this commit replaces waiting commits, whatever their offsets are. Default: of several waiting commits, only
   * the one with the highest offset is sent.
   */
  readonly replacesWaiting?: boolean | undefined
  /**
   * The member of the group that commits. The coordinator refuses commits of a generation that is over. Absent: a
   * commit without a member, which the coordinator accepts while the group has no members.
   */
  readonly member?: GroupMembership | undefined
  /**
   * Called when a broker has not answered an attempt that was sent: it may still arrive, whatever the result is. Not
   * called at the time limit of the request. If it throws, that is a warning.
   */
  readonly onUnanswered?: (() => void) | undefined
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
   * Another commit of the same group and partition has replaced this commit: a commit with the same or a higher offset
   * while both waited, or a later commit when this commit had to be sent again.
   */
  | { readonly type: 'superseded'; readonly supersededBy: OffsetAndMetadata }
  | TimedOut
  | Failure
)

export interface FetchTopicMetadata extends Request<FetchTopicMetadataResult> {
  readonly type: 'fetchTopicMetadata'
  /** The number that the result repeats. Default: none. */
  readonly requestId?: number | undefined
  /** `null` or absent: all topics. A named topic that does not exist is present with error code 3. */
  readonly topics?: readonly string[] | null | undefined
  /** Lets the broker create missing named topics. Default: false, so that a look-up creates no topic. */
  readonly allowAutoTopicCreation?: boolean | undefined
}
export type FetchTopicMetadataResult = {
  readonly operation: 'fetchTopicMetadata'
  readonly requestId: number | undefined
} & (
  | {
      readonly type: 'success'
      readonly topics: ReadonlyMap<string, TopicMetadata>
      readonly brokers: readonly BrokerNode[]
    }
  | TimedOut
  | Failure
)

/** Writes records. The Router passes the request to delivery, which keeps the order of records and retries. */
export interface Produce extends Request<ProduceResult> {
  readonly type: 'produce'
  readonly records: readonly ProduceRecord[]
}
export type ProduceResult = {
  readonly operation: 'produce'
  readonly type: 'completed'
  /** One outcome per record, in order; a single failure if `records` is not a list. */
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
export interface AskableOperations extends Operations, InternalOperations {}
export type ResultOf<Operation extends keyof AskableOperations> = AskableOperations[Operation]['result']
export type RequestOf<Operation extends keyof AskableOperations> = AskableOperations[Operation]['request']
export type RouterResult = ResultOf<keyof Operations>

export type RouterRequest = RequestOf<keyof Operations>

/** The requests that are sent to brokers. Produce is not one of them: delivery turns it into sealed batches. */
export interface RoutedOperations extends Omit<Operations, 'produce'>, InternalOperations {
  produceBatch: { request: SealedBatch; result: BatchAnswer }
}
export type RoutedKind = keyof RoutedOperations

/** The operations whose requests name a requester, which gets the result. */
export type AskedKind = Exclude<RoutedKind, 'produceBatch'>

/**
 * Internal, from delivery and readers only: subscribes to news of topics. The follower gets the known metadata of the
 * topics, now and after each look-up. Unknown topics are looked up, and created if that is allowed, until they are
 * found or count as missing. A subscription ends with the news that its topic is missing or refused.
 */
export interface FollowTopics {
  readonly type: 'followTopics'
  readonly topics: readonly string[]
  /**
   * By topic: the client whose turn it takes to create the topic if it is missing; `undefined`: not known. Absent: none is known.
   */
  readonly clients?: readonly (string | undefined)[] | undefined
  readonly follower: TopicFollower
  /** True: the known metadata may be out of date, so the topics are looked up before the follower gets news. */
  readonly anew?: boolean | undefined
  /**
   * True: unknown topics are neither looked up nor created, and only the follower ends the subscription. The topics
   * count as in use, so their metadata is kept fresh.
   */
  readonly isReader?: boolean | undefined
}
/** Internal, from delivery and readers only: ends subscriptions of a follower. */
export interface UnfollowTopics {
  readonly type: 'unfollowTopics'
  readonly topics: readonly string[]
  readonly follower: TopicFollower
}
/** Called while the Router handles a message, so it must not throw. */
export interface TopicFollower {
  topicNews(news: readonly TopicNews[]): void
}
export type TopicNews = { readonly topic: string } & (
  | {
      readonly type: 'known'
      readonly partitionCount: number
      /** `undefined`: no broker has reported the id. */
      readonly topicId: string | undefined
      /** A look-up has reported another number of partitions, but the Router does not use this number yet. */
      readonly isDoubted: boolean
    }
  /**
   * Brokers report that there is no such topic. The topic is looked up again.
   * `creation`: it waits for its turn to be created, a broker may be about to create it, or brokers were asked and have not.
   * Absent: no broker creates it.
   */
  | { readonly type: 'denied'; readonly creation?: 'waits' | 'begun' | 'asked' }
  /**
   * Brokers have reported for long enough that there is no such topic. `until`: when this is forgotten, by the Router's
   * clock. `mayCome`: they were asked to create it, and may still do so. Absent: no broker creates it, or it was deleted.
   */
  | { readonly type: 'missing'; readonly until: number; readonly mayCome?: boolean }
  /** The name is not allowed, or Castellan has no permission for the topic. */
  | { readonly type: 'refused'; readonly errorCode: number; readonly until: number }
)

/** All messages of other rooms to the Router. `requests`: many requests in one message, handled in order. */
export type RouterMessage =
  | RouterRequest
  | InternalOperations[keyof InternalOperations]['request']
  | ProduceBatches
  | FollowTopics
  | UnfollowTopics
  | TopicChanged
  | CloseShareConnection
  | { readonly type: 'requests'; readonly requests: readonly RouterRequest[] }

type FormOf<Request extends FetchConsumerOffset | CommitConsumerOffset> = Pick<
  Required<Request>,
  'rawMetadata' | 'negativeOffset'
>

/**
 * Reads and commits offsets unchanged, whichever client stored them. Kafka-Pixy stores metadata without Castle's mark,
 * and negative offsets for the ends of the log.
 */
export const AS_STORED = { rawMetadata: true, negativeOffset: true } as const satisfies FormOf<FetchConsumerOffset> &
  FormOf<CommitConsumerOffset>
