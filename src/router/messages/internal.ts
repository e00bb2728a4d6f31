import type { BatchOrigin, BrokerNode, Offset, TopicPartition } from '../../core/model.js'
import type { AdministrationOperations } from './administration.js'
import type { GroupDescriptionOperations, MembershipOperations } from './groups.js'
import type { Failure, Request, TimedOut } from './request.js'

/**
 * Internal, from delivery only: sealed batches to write, at most one per partition. The batches of all producers that
 * became ready in one tick are in one message. The Router answers each batch by one call of `answer`, and sends no byte
 * of the batch afterwards. The Router never retries a batch that may have reached a broker, because the producer of its
 * partition decides about retries.
 */
export interface ProduceBatches {
  readonly type: 'produceBatches'
  readonly batches: readonly SealedBatch[]
}
/**
 * A batch on its way to Kafka. When it was answered `appended` at its first attempt, its producer may send the same object again
 * with the next batch.
 */
export interface SealedBatch {
  readonly topic: string
  readonly partition: number
  /** A whole record batch, header included. The bytes must not change. */
  readonly bytes: Buffer
  /**
   * The cluster that the producer id in the batch belongs to. While another cluster is connected, the batch is answered
   * `clusterChanged`. Absent: any cluster may take the batch.
   */
  readonly clusterId?: string | undefined
  answer(answer: BatchAnswer): void
  /**
   * The Router sets this function when it accepts the batch. The function withdraws the batch unless bytes may have
   * been sent. A withdrawn batch is answered `notSent`. Returns true if the batch was withdrawn.
   */
  recall?: (() => boolean) | undefined
  /** Set by the Router, which has no function of its own for each batch. */
  accepted?: AcceptedBatch | undefined
  /** Called with the error of a failed attempt to send the batch. The Router tries again. */
  delayed?(lastError: string): void
}
export interface AcceptedBatch {
  readonly request: SealedBatch
  readonly state: { readonly inFlight: boolean }
  /** The batch was appended, and the Router has forgotten it: the object of a batch may be sent again, with other bytes. */
  readonly isOver: boolean
  /** Returns false if it has been answered before. */
  answer(answer: BatchAnswer): boolean
}
export type BatchAnswer =
  /** `baseOffset` -1: the broker has stored the batch, but did not report its offset. */
  | { readonly type: 'appended'; readonly baseOffset: Offset; readonly logAppendTimeMs: number }
  /** A broker answered with an error code for this partition. If newer metadata may help, a refresh has begun. */
  | { readonly type: 'rejected'; readonly errorCode: number }
  /** The connection was lost, or the call timed out, after bytes may have left: the outcome is unknown. */
  | { readonly type: 'unanswered'; readonly error: Error }
  /** No byte was sent in this attempt. `unknownTopic` is only given after refreshes have confirmed it. */
  | {
      readonly type: 'notSent'
      readonly reason:
        | 'noLeader'
        | 'unknownTopic'
        | 'unknownPartition'
        | 'brokerUnreachable'
        | 'overloaded'
        | 'shuttingDown'
        /** The batch was sealed for another Kafka cluster. Its producer id is unknown in the connected cluster. */
        | 'clusterChanged'
      readonly message: string
    }

/**
 * Internal, from delivery only: asks any broker for a producer id. The Router retries the request until its deadline.
 */
export interface InitProducerId extends Request<InitProducerIdResult> {
  readonly type: 'initProducerId'
}
export type InitProducerIdResult =
  | { readonly type: 'success'; readonly producerId: bigint; readonly producerEpoch: number }
  | TimedOut
  | Failure

/**
 * Internal, from readers: finds where a leader epoch ends in the log of the leader. A log that ends an epoch before a
 * position that was read in that epoch has lost its end.
 */
export interface FetchEpochEnd extends Request<FetchEpochEndResult> {
  readonly type: 'fetchEpochEnd'
  readonly topicPartition: TopicPartition
  readonly leaderEpoch: number
}
type FetchEpochEndResult =
  | {
      readonly type: 'success'
      /** The newest epoch of the log that is not newer than the requested epoch. */
      readonly leaderEpoch: number
      /** The offset after the last record of this epoch. */
      readonly endOffset: Offset
      /** The epoch of the leader that has answered; -1: unknown. */
      readonly currentLeaderEpoch: number
    }
  /** The log has no such epoch, or the broker does not know it. */
  | { readonly type: 'notFound'; readonly currentLeaderEpoch: number }
  | { readonly type: 'unknownTopicOrPartition' }
  | TimedOut
  | Failure

/**
 * Internal, from delivery: finds which producers wrote the batches from `offset` on, in offset order, whether their
 * transactions are committed or not. The request does not wait for records.
 */
export interface FetchOrigins extends Request<FetchOriginsResult> {
  readonly type: 'fetchOrigins'
  readonly topicPartition: TopicPartition
  readonly offset: Offset
}
export type FetchOriginsResult =
  /** `nextOffset`, above `offset`: the offset to ask for next. `sizeBytes`: the number of bytes that were read. */
  | {
      readonly type: 'success'
      readonly origins: readonly BatchOrigin[]
      readonly nextOffset: Offset
      readonly sizeBytes: number
    }
  /** The replicas have not reached the offset, or the leader does not know their progress yet. */
  | { readonly type: 'noMessages' }
  | { readonly type: 'offsetOutOfRange' }
  | { readonly type: 'corruptMessage' }
  | { readonly type: 'unknownTopicOrPartition' }
  | TimedOut
  | Failure

/**
 * Internal, from the Router itself: finds the broker that coordinates a group. Every broker can answer this request.
 */
export interface FindCoordinator extends Request<FindCoordinatorResult> {
  readonly type: 'findCoordinator'
  readonly groupId: string
}
export type FindCoordinatorResult = { readonly type: 'success'; readonly coordinator: BrokerNode } | TimedOut | Failure

/** Operations for this process only, not for users of the library. */
export interface InternalOperations extends MembershipOperations, GroupDescriptionOperations, AdministrationOperations {
  initProducerId: { request: InitProducerId; result: InitProducerIdResult }
  findCoordinator: { request: FindCoordinator; result: FindCoordinatorResult }
  fetchEpochEnd: { request: FetchEpochEnd; result: FetchEpochEndResult }
  fetchOrigins: { request: FetchOrigins; result: FetchOriginsResult }
}
