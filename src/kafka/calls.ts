import type { BrokerNode, Offset, TopicPartition } from '../core/model.js'
import type { FetchedRecords } from './fetched-records.js'
import type { DecompressionLimits } from './packed-records.js'
import type { ProducedRows } from './produced-rows.js'

export interface CallTimeLimit {
  /** Time limit for the answer. Default: `requestTimeoutMs` of the connection. */
  readonly timeoutMs?: number | undefined
}

/** The field that all responses have. */
export interface Throttled {
  /** The pause that the broker asks for (KIP-219), within the limit of the connection. */
  readonly throttleTimeMs: number
}

export interface PartitionResponse extends TopicPartition {
  readonly errorCode: number
}

export interface MetadataCall extends CallTimeLimit {
  /** `null` asks for all topics, `[]` only for brokers. */
  readonly topics: readonly string[] | null
  readonly allowAutoTopicCreation: boolean
  /** True: topics have `authorizedOperations`. Brokers before Kafka 2.8 do not report them. */
  readonly withAuthorizedOperations?: boolean | undefined
}
export interface PartitionMetadata {
  readonly errorCode: number
  readonly partition: number
  /** -1: the partition has no leader. */
  readonly leaderId: number
  /** -1: unknown. */
  readonly leaderEpoch: number
  readonly replicas: readonly number[]
  readonly isr: readonly number[]
  readonly offlineReplicas: readonly number[]
}
export interface TopicMetadata {
  readonly errorCode: number
  readonly topic: string
  /**
   * Kafka's id of this incarnation of the topic, as Kafka's tools print it. A topic that is deleted and created again
   * gets another id. `undefined`: the broker is older than Kafka 2.8, or there is no such topic.
   */
  readonly topicId: string | undefined
  readonly isInternal: boolean
  /** Sorted by partition id. */
  readonly partitions: readonly PartitionMetadata[]
  /**
   * Set by the Router: the topic is missing because its creation, which this look-up allowed, still waits for its turn or for
   * a broker.
   */
  readonly creationWaits?: boolean
}
/** A topic with what Castellan may do with it, if the call asks for this. */
export interface TopicWithOperations extends TopicMetadata {
  readonly authorizedOperations?: readonly AclOperation[] | undefined
}
/** Kafka's names of what an ACL allows, as far as topics are concerned. */
export type AclOperation =
  | 'READ'
  | 'WRITE'
  | 'CREATE'
  | 'DELETE'
  | 'ALTER'
  | 'DESCRIBE'
  | 'DESCRIBE_CONFIGS'
  | 'ALTER_CONFIGS'
export interface MetadataResponse extends Throttled {
  readonly brokers: readonly BrokerNode[]
  /** Kafka's id of the cluster; `null`: the broker does not report it. */
  readonly clusterId: string | null
  readonly controllerId: number
  readonly topics: readonly TopicWithOperations[]
}

export interface ProduceCall extends CallTimeLimit {
  /** Absent: the batches belong to no transaction. */
  readonly transactionalId?: string | undefined
  /** -1: the broker answers when all in-sync replicas have the records. Castellan always asks for this. */
  readonly acks: -1
  /** How long the broker may wait for the in-sync replicas. */
  readonly brokerTimeoutMs: number
  /**
   * One whole record batch per partition, header included. The bytes are not changed. The partitions of a topic are next to each
   * other.
   */
  readonly partitions: readonly (TopicPartition & { readonly bytes: Buffer })[]
}
export interface ProduceResponse extends Throttled {
  readonly rows: ProducedRows
}

export type IsolationLevel = 'readUncommitted' | 'readCommitted'

/** A partition as calls name it. */
export interface NamedPartition extends TopicPartition {
  /** A broker that knows topic ids refuses the call if another topic was created under the same name. */
  readonly topicId?: string | undefined
}
export interface FetchPartition extends NamedPartition {
  readonly fetchOffset: Offset
  readonly maxBytes: number
  /** The broker refuses another epoch. -1: it does not check the epoch. */
  readonly currentLeaderEpoch: number
}
/**
 * A fetch session (KIP-227). The broker remembers the partitions of a session and returns only those that have changed.
 * The first call names all partitions; later calls name new partitions and changed positions.
 */
export interface FetchSessionCall {
  /** 0: there is no session yet. An id with epoch 0 ends the session with this id. */
  readonly id: number
  /** 0: a session begins with the partitions of this call. Later calls count up from 1. */
  readonly epoch: number
  /** Whether the session uses topic ids if the broker knows them. The value is the same in all calls of a session. */
  readonly usesTopicIds: boolean
  /** Partitions that leave the session. */
  readonly forgotten: readonly NamedPartition[]
  /** All partitions of the session by `topic/partition`, each as in the last call that named it. */
  readonly partitions: ReadonlyMap<string, FetchPartition>
  /** The names of the topics of the session by their ids. */
  readonly names: ReadonlyMap<string | undefined, string>
}
export interface FetchCall extends CallTimeLimit {
  readonly maxWaitMs: number
  readonly minBytes: number
  readonly maxBytes: number
  readonly isolationLevel: IsolationLevel
  /** Default: 64 MiB per response. */
  readonly decompression?: DecompressionLimits | undefined
  /** Absent: no session. */
  readonly session?: FetchSessionCall | undefined
  /** The broker serves them in this order. In a session, new partitions come last. */
  readonly partitions: readonly FetchPartition[]
}
export interface FetchPartitionResponse extends PartitionResponse {
  /** -1 in most answers with an error. This offset and the next two are `undefined` when they are beyond 2^53. */
  readonly highWatermark: Offset | undefined
  readonly lastStableOffset: Offset | undefined
  readonly logStartOffset: Offset | undefined
  readonly preferredReadReplica: number
  readonly records: FetchedRecords
}
export interface FetchResponse extends Throttled {
  readonly errorCode: number
  /** The id of the session; 0: there is none. */
  readonly sessionId: number
  /** Bytes of the whole response frame. */
  readonly sizeBytes: number
  readonly partitions: readonly FetchPartitionResponse[]
}
