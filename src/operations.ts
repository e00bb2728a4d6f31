import type { Requester } from './actor/requester.js'
import type { ErrorCode } from './errors.js'
import type { BrokerNode, Offset, ProduceRecord, RecordBatch, TopicPartition } from './model.js'
import type { TopicMetadata } from './wire/broker-client.js'

/**
 * The Router's public messages: Castle's five operations and Produce, and every answer each of them can have.
 * An accepted request gets exactly one result, within its `timeoutMs` (default: the Router's setting per operation).
 * Source: Box-Castle/router 1.0.3, messages/RouterMessage.scala.
 */
interface Request<Result> {
  readonly requester: Requester<Result>
  readonly timeoutMs?: number | undefined
}

/** Kafka answered with an error Castle had no honest answer for, or the Router could not take the request. */
export interface Failure {
  readonly type: 'failed'
  /** Kafka's protocol error code; `undefined` when the failure is our own (`code` tells). */
  readonly errorCode: number | undefined
  readonly code: ErrorCode
  readonly message: string
  /** True: the same request may succeed later. */
  readonly retriable: boolean
}
interface TimedOut {
  readonly type: 'timedOut'
  /** What stood in the way, when it is known: the last error the request met, or why no broker can be reached. */
  readonly reason?: string
}

/** Ask for records from `offset` on. */
export interface FetchData extends Request<FetchDataResult> {
  readonly type: 'fetchData'
  readonly topicPartition: TopicPartition
  readonly offset: Offset
}
export type FetchDataResult = {
  readonly operation: 'fetchData'
  readonly topicPartition: TopicPartition
  /** The offset that was asked for. */
  readonly offset: Offset
} & (
  | { readonly type: 'success'; readonly batch: RecordBatch }
  /** The offset exists but nothing has been written there yet. */
  | { readonly type: 'noMessages' }
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
export type FetchOffsetResult = {
  readonly operation: 'fetchOffset'
  readonly topicPartition: TopicPartition
  readonly offsetType: OffsetType
} & (
  | { readonly type: 'success'; readonly offset: Offset }
  | { readonly type: 'unknownTopicOrPartition' }
  | TimedOut
  | Failure
)

/** An offset to come back to, and what the committer wanted to remember with it. */
export interface OffsetAndMetadata {
  readonly offset: Offset
  /** Absent or `undefined`: none. */
  readonly metadata?: string | undefined
}

export interface FetchConsumerOffset extends Request<FetchConsumerOffsetResult> {
  readonly type: 'fetchConsumerOffset'
  readonly groupId: string
  readonly topicPartition: TopicPartition
  /** Shows metadata as it is stored, whoever committed it. Default: only what Castle or Castellan stored. */
  readonly rawMetadata?: boolean | undefined
}
export type FetchConsumerOffsetResult = {
  readonly operation: 'fetchConsumerOffset'
  readonly groupId: string
  readonly topicPartition: TopicPartition
} & (
  | { readonly type: 'success'; readonly offsetAndMetadata: OffsetAndMetadata }
  /** Nothing stored, or no such topic: the coordinator cannot tell these apart. */
  | { readonly type: 'notFound' }
  | TimedOut
  | Failure
)

export interface CommitConsumerOffset extends Request<CommitConsumerOffsetResult> {
  readonly type: 'commitConsumerOffset'
  readonly groupId: string
  readonly topicPartition: TopicPartition
  readonly offsetAndMetadata: OffsetAndMetadata
  /** Stores the metadata as it stands, for readers other than Castle and Castellan. Default: marked as Castle does. */
  readonly rawMetadata?: boolean | undefined
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
   * Another commit of the same group and partition took its place: one at the same or a higher offset while both waited,
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

/** Write records. The Router hands it to delivery, which keeps the order and the retries. */
export interface Produce extends Request<ProduceResult> {
  readonly type: 'produce'
  readonly records: readonly ProduceRecord[]
}
export type ProduceResult = {
  readonly operation: 'produce'
  readonly type: 'completed'
  /** One per record, in order. */
  readonly outcomes: readonly RecordOutcome[]
}

/** `no`: never in the log. `unknown`: zero or more times. Certainty is that of the record's whole history. */
export type Persisted = 'no' | 'unknown'

export type RecordOutcome =
  | { readonly type: 'delivered'; readonly partition: number; readonly offset: Offset; readonly timestampMs: number }
  | RecordFailure
export interface RecordFailure {
  readonly type: 'failed'
  readonly code: ErrorCode
  /** Kafka's protocol error code when a broker said so. */
  readonly errorCode: number | undefined
  readonly message: string
  readonly persisted: Persisted
  readonly retriable: boolean
}

/** What a user of the Router may ask. */
export type RouterRequest =
  | FetchData
  | FetchOffset
  | FetchConsumerOffset
  | CommitConsumerOffset
  | FetchTopicMetadata
  | Produce

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

/**
 * Internal, from delivery only: sealed batches to write, at most one per partition. All lanes that became ready in a
 * turn travel in one message. Each batch is answered by one direct call of `answer`; after it the Router writes no byte
 * of that batch any more. The Router never retries a batch that may have reached a broker: the lane decides.
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
  /** Told what kept the batch from a broker, while the Router goes on trying. */
  delayed?(lastError: string): void
}
export type BatchAnswer =
  /** `baseOffset` -1: the broker has it, but did not say where. */
  | { readonly type: 'appended'; readonly baseOffset: Offset; readonly logAppendTimeMs: number }
  /** A broker answered with an error code for this partition. Leader tables are being refreshed where that helps. */
  | { readonly type: 'rejected'; readonly errorCode: number }
  /** Connection lost or timed out after bytes may have left: nobody knows. */
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

/** Everything the Router's mailbox takes from other rooms. `requests`: many in one message, handled in order. */
export type RouterMessage =
  | RouterRequest
  | ProduceBatches
  | InitProducerId
  | { readonly type: 'requests'; readonly requests: readonly RouterRequest[] }
