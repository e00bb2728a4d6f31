import type { BrokerNode, Offset } from '../core/model.js'
import type { DecompressionLimits } from './decompression-allowance.js'
import type { FetchedRecords } from './fetched-records.js'

/** Every call may name its own time-out; the default is the factory's `requestTimeoutMs`. */
export interface CallOptions {
  readonly timeoutMs?: number | undefined
}

export interface MetadataCall extends CallOptions {
  /** `null` asks for all topics, `[]` for none (brokers only). */
  readonly topics: readonly string[] | null
  readonly allowAutoTopicCreation: boolean
}
export interface PartitionMetadata {
  readonly errorCode: number
  readonly partition: number
  /** -1: none. */
  readonly leaderId: number
  /** -1 when the version does not tell. */
  readonly leaderEpoch: number
  readonly replicas: readonly number[]
  readonly isr: readonly number[]
  readonly offlineReplicas: readonly number[]
}
export interface TopicMetadata {
  readonly errorCode: number
  readonly topic: string
  /**
   * Kafka's id of this life of the topic, as Kafka's tools print it: a topic that is deleted and created anew under the
   * same name has another one. `undefined` when the broker does not tell (before Kafka 2.8, or no such topic).
   */
  readonly topicId: string | undefined
  readonly isInternal: boolean
  /** Sorted by partition id. */
  readonly partitions: readonly PartitionMetadata[]
}
export interface MetadataResponse {
  readonly throttleTimeMs: number
  readonly brokers: readonly BrokerNode[]
  /** Kafka's id of the cluster; `null` when the broker does not tell. */
  readonly clusterId: string | null
  readonly controllerId: number
  readonly topics: readonly TopicMetadata[]
}

export interface ProduceCall extends CallOptions {
  /** -1 always, in Castellan. */
  readonly acks: -1
  /** How long the broker may wait for the in-sync replicas. */
  readonly brokerTimeoutMs: number
  /** One whole record batch (61-byte header included) per partition; the bytes are only read. */
  readonly partitions: readonly {
    readonly topic: string
    readonly partition: number
    readonly batch: Buffer
  }[]
}
export interface ProducePartitionResponse {
  readonly topic: string
  readonly partition: number
  readonly errorCode: number
  /** -1 on most errors; `undefined`: beyond 2^53. */
  readonly baseOffset: Offset | undefined
  /** -1 unless the topic uses LogAppendTime. */
  readonly logAppendTimeMs: number
  readonly logStartOffset: Offset | undefined
}
export interface ProduceResponse {
  readonly throttleTimeMs: number
  readonly partitions: readonly ProducePartitionResponse[]
}

export type IsolationLevel = 'readUncommitted' | 'readCommitted'

export interface FetchPartition {
  readonly topic: string
  /** With an id, brokers that know ids do not answer with records of another topic that was created under the same name. */
  readonly topicId?: string | undefined
  readonly partition: number
  readonly fetchOffset: Offset
  readonly maxBytes: number
  /** -1: do not check. */
  readonly currentLeaderEpoch: number
}
/**
 * A fetch session (KIP-227): the broker remembers the partitions of a client, and answers only those with news. A call names
 * those that are new or are to be read from elsewhere; the first one names all.
 */
export interface FetchSessionCall {
  /** 0: none yet. With epoch 0: the session that ends. */
  readonly id: number
  /** 0: a session begins, with the partitions of this call. Later calls count up from 1. */
  readonly epoch: number
  /** Whether brokers that know topic ids are asked by ids, the same in all calls of a session. */
  readonly usesTopicIds: boolean
  /** Partitions that leave the session. */
  readonly forgotten: readonly Pick<FetchPartition, 'topic' | 'topicId' | 'partition'>[]
  /** All partitions of the session by `topic/partition`, as they were asked for last. */
  readonly partitions: ReadonlyMap<string, FetchPartition>
  /** The names of the topics of the session by their ids. */
  readonly names: ReadonlyMap<string | undefined, string>
}
export interface FetchCall extends CallOptions {
  readonly maxWaitMs: number
  readonly minBytes: number
  readonly maxBytes: number
  readonly isolationLevel: IsolationLevel
  /** Default: 64 MiB per response. */
  readonly decompression?: DecompressionLimits | undefined
  /** Default: no session. */
  readonly session?: FetchSessionCall | undefined
  /** Served by the broker in this order; in a session, behind those that it has already. */
  readonly partitions: readonly FetchPartition[]
}
export interface FetchPartitionResponse {
  readonly topic: string
  readonly partition: number
  readonly errorCode: number
  /** -1 on most errors; this and the next two are `undefined` beyond 2^53. */
  readonly highWatermark: Offset | undefined
  readonly lastStableOffset: Offset | undefined
  readonly logStartOffset: Offset | undefined
  readonly preferredReadReplica: number
  readonly records: FetchedRecords
}
export interface FetchResponse {
  readonly throttleTimeMs: number
  readonly errorCode: number
  /** The session that has begun or goes on; 0: none. */
  readonly sessionId: number
  /** Bytes of the whole response frame. */
  readonly sizeBytes: number
  readonly partitions: readonly FetchPartitionResponse[]
}

/** -1 latest, -2 earliest, else epoch milliseconds: first offset whose timestamp is at or after it. */
export const LATEST_TIMESTAMP = -1
export const EARLIEST_TIMESTAMP = -2
export interface ListOffsetsCall extends CallOptions {
  readonly isolationLevel: IsolationLevel
  readonly partitions: readonly { readonly topic: string; readonly partition: number; readonly timestamp: number }[]
}
export interface ListOffsetsResponse {
  readonly throttleTimeMs: number
  readonly partitions: readonly {
    readonly topic: string
    readonly partition: number
    readonly errorCode: number
    /** The time of the record that was found. Beyond 2^53 it is not exact. */
    readonly timestampMs: number
    /** -1: no such offset (asked by timestamp, nothing that late); `undefined`: beyond 2^53. */
    readonly offset: Offset | undefined
    /** Of the leader at the end of the log, else of the record that was found. -1: not known; absent: the broker does not tell. */
    readonly leaderEpoch?: number
  }[]
}

export interface FindCoordinatorCall extends CallOptions {
  readonly groupId: string
}
export interface FindCoordinatorResponse {
  readonly throttleTimeMs: number
  readonly errorCode: number
  readonly errorMessage: string | null
  readonly coordinator: BrokerNode
}

export interface OffsetCommitCall extends CallOptions {
  readonly groupId: string
  /** -1 with an empty memberId: a stand-alone commit, which is accepted while the group has no members. */
  readonly generationId: number
  readonly memberId: string
  /** Of a static member; absent: a dynamic one. */
  readonly instanceId?: string | null | undefined
  readonly partitions: readonly {
    readonly topic: string
    readonly partition: number
    readonly offset: Offset
    readonly metadata: string | null
    /** Of the last record before the offset. Default -1: unknown. */
    readonly leaderEpoch?: number | undefined
  }[]
}
export interface OffsetCommitResponse {
  readonly throttleTimeMs: number
  readonly partitions: readonly { readonly topic: string; readonly partition: number; readonly errorCode: number }[]
}

export interface OffsetFetchCall extends CallOptions {
  readonly groupId: string
  /** `null`: every partition the group has an offset for. */
  readonly partitions: readonly { readonly topic: string; readonly partition: number }[] | null
}
export interface OffsetFetchResponse {
  readonly throttleTimeMs: number
  readonly errorCode: number
  readonly partitions: readonly {
    readonly topic: string
    readonly partition: number
    readonly errorCode: number
    /** -1: none stored; `undefined`: beyond 2^53. */
    readonly offset: Offset | undefined
    /** As it was committed; -1: unknown. */
    readonly leaderEpoch: number
    readonly metadata: string | null
  }[]
}

export interface OffsetForLeaderEpochCall extends CallOptions {
  readonly partitions: readonly {
    readonly topic: string
    readonly partition: number
    /** -1: do not check. */
    readonly currentLeaderEpoch: number
    /** The epoch whose end is asked for. */
    readonly leaderEpoch: number
  }[]
}
export interface OffsetForLeaderEpochResponse {
  readonly throttleTimeMs: number
  readonly partitions: readonly {
    readonly topic: string
    readonly partition: number
    readonly errorCode: number
    /** The newest epoch of the log that is not above the one asked for; -1: the log knows no such epoch. */
    readonly leaderEpoch: number
    /** Behind the last record of that epoch; -1: not known; `undefined`: beyond 2^53. */
    readonly endOffset: Offset | undefined
  }[]
}

export interface InitProducerIdCall extends CallOptions {}
export interface InitProducerIdResponse {
  readonly throttleTimeMs: number
  /** Check it: 14 comes with producerId -1 just after a broker started. */
  readonly errorCode: number
  readonly producerId: bigint
  readonly producerEpoch: number
}

export interface DescribeTopicConfigsCall extends CallOptions {
  readonly topics: readonly string[]
  /** `null` asks for all settings. */
  readonly names: readonly string[] | null
}
export interface DescribeTopicConfigsResponse {
  readonly throttleTimeMs: number
  readonly topics: readonly {
    readonly topic: string
    readonly errorCode: number
    readonly configs: ReadonlyMap<string, string | null>
    /** Those of them that the topic has for itself. */
    readonly overrides: ReadonlySet<string>
  }[]
}

/** Settings of the broker that is asked; it answers for itself only. */
export interface DescribeBrokerConfigsCall extends CallOptions {
  readonly nodeId: number
  readonly names: readonly string[]
}
export interface DescribeBrokerConfigsResponse {
  readonly throttleTimeMs: number
  readonly errorCode: number
  /** Empty where there is an error. */
  readonly configs: ReadonlyMap<string, string | null>
}

/** The controller creates and deletes topics; every broker passes these calls on. For the command line and tests. */
export interface CreateTopicsCall extends CallOptions {
  readonly topics: readonly {
    readonly topic: string
    readonly partitions: number
    readonly replicationFactor: number
    readonly configs?: ReadonlyMap<string, string | null> | undefined
  }[]
  /** How long the broker may wait until the topics exist everywhere. */
  readonly brokerTimeoutMs: number
}
export interface DeleteTopicsCall extends CallOptions {
  readonly topics: readonly string[]
  readonly brokerTimeoutMs: number
}
export interface TopicErrorsResponse {
  readonly throttleTimeMs: number
  /** One per topic, 0 where it worked. */
  readonly topics: readonly {
    readonly topic: string
    readonly errorCode: number
    readonly errorMessage: string | null
  }[]
}
