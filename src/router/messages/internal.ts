import type { BatchOrigin, BrokerNode, Offset, TopicPartition } from '../../core/model.js'
import type { GroupDescriptionOperations } from './group-description.js'
import type { MembershipOperations } from './membership.js'
import type { Failure, Request, TimedOut } from './request.js'
import type { TopicConfigOperations } from './topic-configs.js'

/**
 * Internal, from delivery only: sealed batches to write, at most one per partition. All producers that became ready in a
 * turn are in one message. Each batch is answered by one direct call of `answer`; after that the Router writes no byte of
 * the batch any more. The Router never retries a batch that may have reached a broker, because that is for its partition to decide.
 */
export interface ProduceBatches {
  readonly type: 'produceBatches'
  readonly batches: readonly SealedBatch[]
}
export interface SealedBatch {
  readonly topic: string
  readonly partition: number
  /** Frozen: a whole record batch, header included. */
  readonly bytes: Buffer
  /**
   * The cluster that the producer id in the batch belongs to. While another one is connected, the batch is answered
   * `clusterChanged`. Absent: any cluster may take it.
   */
  readonly clusterId?: string | undefined
  answer(answer: BatchAnswer): void
  /**
   * Set by the Router when it takes the batch: gives it back, answered `notSent`, unless bytes of it may have left. Returns
   * whether it did.
   */
  recall?: (() => boolean) | undefined
  /** Called with what kept the batch from a broker, while the Router goes on trying. */
  delayed?(lastError: string): void
}
export type BatchAnswer =
  /** `baseOffset` -1: the broker has stored the batch, but did not tell its offset. */
  | { readonly type: 'appended'; readonly baseOffset: Offset; readonly logAppendTimeMs: number }
  /** A broker answered with an error code for this partition. Leader tables are being refreshed where that helps. */
  | { readonly type: 'rejected'; readonly errorCode: number }
  /** The connection was lost, or the call timed out, after bytes may have left: the outcome is unknown. */
  | { readonly type: 'unanswered'; readonly error: Error }
  /** Not one byte left in this attempt. `unknownTopic` only after confirming refreshes. */
  | {
      readonly type: 'notSent'
      readonly reason:
        | 'noLeader'
        | 'unknownTopic'
        | 'unknownPartition'
        | 'brokerUnreachable'
        | 'overloaded'
        | 'shuttingDown'
        /** Another Kafka cluster is connected than when the batch was sealed: its producer id means nothing there. */
        | 'clusterChanged'
      readonly message: string
    }

/** Internal, from delivery only: a producer id from any live broker (retried by the Router until the deadline). */
export interface InitProducerId extends Request<InitProducerIdResult> {
  readonly type: 'initProducerId'
}
export type InitProducerIdResult =
  | { readonly type: 'success'; readonly producerId: bigint; readonly producerEpoch: number }
  | TimedOut
  | Failure

/**
 * Internal, from readers: where a leader epoch ends in the log of the leader. A log that ends an epoch before a position
 * that was read in that epoch has lost its end.
 */
export interface FetchEpochEnd extends Request<FetchEpochEndResult> {
  readonly type: 'fetchEpochEnd'
  readonly topicPartition: TopicPartition
  readonly leaderEpoch: number
}
export type FetchEpochEndResult =
  | {
      readonly type: 'success'
      /** The newest epoch of the log that is not above the one asked for. */
      readonly leaderEpoch: number
      /** Behind the last record of that epoch. */
      readonly endOffset: Offset
      /** The epoch of the leader that has answered; -1: unknown. */
      readonly currentLeaderEpoch: number
    }
  /** The log knows no such epoch, or the broker cannot tell. */
  | { readonly type: 'notFound'; readonly currentLeaderEpoch: number }
  | { readonly type: 'unknownTopicOrPartition' }
  | TimedOut
  | Failure

/**
 * Internal, from delivery: which producers wrote the batches from `offset` on, in offset order, whether their transactions
 * are committed or not. Is answered at once.
 */
export interface FetchOrigins extends Request<FetchOriginsResult> {
  readonly type: 'fetchOrigins'
  readonly topicPartition: TopicPartition
  readonly offset: Offset
}
export type FetchOriginsResult =
  /** `nextOffset`, above `offset`: where to go on. `sizeBytes`: what was read for it. */
  | {
      readonly type: 'success'
      readonly origins: readonly BatchOrigin[]
      readonly nextOffset: Offset
      readonly sizeBytes: number
    }
  /** Replicas have not got so far, or the leader does not know that they have. */
  | { readonly type: 'noMessages' }
  | { readonly type: 'offsetOutOfRange' }
  | { readonly type: 'corruptMessage' }
  | { readonly type: 'unknownTopicOrPartition' }
  | TimedOut
  | Failure

/** Internal, from the Router itself: which broker coordinates a group? Any broker can tell. */
export interface FindCoordinator extends Request<FindCoordinatorResult> {
  readonly type: 'findCoordinator'
  readonly groupId: string
}
export type FindCoordinatorResult = { readonly type: 'success'; readonly coordinator: BrokerNode } | TimedOut | Failure

/** Operations that users of the library do not ask. */
export interface InternalOperations extends MembershipOperations, GroupDescriptionOperations, TopicConfigOperations {
  initProducerId: { request: InitProducerId; result: InitProducerIdResult }
  findCoordinator: { request: FindCoordinator; result: FindCoordinatorResult }
  fetchEpochEnd: { request: FetchEpochEnd; result: FetchEpochEndResult }
  fetchOrigins: { request: FetchOrigins; result: FetchOriginsResult }
}
