import type { BrokerAddress, BrokerNode, Offset } from '../model.js'
import type { DecompressionLimits } from './decompression-allowance.js'
import type { FetchedRecords } from './fetched-records.js'

/**
 * One connection to one broker: one method per call, no kafkajs types. Calls on one connection are answered by the
 * broker in order, one at a time, so whatever must not wait for another needs a client of its own.
 *
 * Every method rejects with UnavailableError (connection refused, lost, authentication failed), TimedOutError (the
 * connection is closed as well, since a late answer cannot be told from the next) or ProtocolError (connection closed).
 * Kafka's error codes are values in the response, per partition; nothing throws for them. A call whose version the
 * broker does not speak rejects with KafkaError 35, one that cannot be expressed (a name beyond 32,767 bytes) with
 * InvalidRequestError; both leave the connection alone. `connect` is idempotent and shared by concurrent callers; every
 * call connects when needed.
 *
 * A broker may ask to be left alone (`throttleTimeMs`). The client bounds that time, holds back its own calls for so
 * long, and reports the bounded time.
 *
 * Responses may be large: batches of a Fetch own their bytes, everything else is plain data.
 */
export interface BrokerClient {
  readonly address: BrokerAddress
  readonly isConnected: boolean
  /** Opens socket, TLS, ApiVersions, SASL. Idempotent; a closed client may be connected again. */
  connect(): Promise<void>
  /** Closes the socket at once; calls in flight reject. Idempotent, never rejects. */
  close(): Promise<void>
  metadata(call: MetadataCall): Promise<MetadataResponse>
  produce(call: ProduceCall): Promise<ProduceResponse>
  fetch(call: FetchCall): Promise<FetchResponse>
  listOffsets(call: ListOffsetsCall): Promise<ListOffsetsResponse>
  findCoordinator(call: FindCoordinatorCall): Promise<FindCoordinatorResponse>
  offsetCommit(call: OffsetCommitCall): Promise<OffsetCommitResponse>
  offsetFetch(call: OffsetFetchCall): Promise<OffsetFetchResponse>
  initProducerId(call: InitProducerIdCall): Promise<InitProducerIdResponse>
  describeTopicConfigs(call: DescribeTopicConfigsCall): Promise<DescribeTopicConfigsResponse>
}

/** Makes clients; the Router opens several per broker. `purpose` names the connection in logs: `fetch-tail`, `control`, … */
export type BrokerClientFactory = (
  address: BrokerAddress,
  purpose: string,
  expectedClusterId?: ExpectedClusterId
) => BrokerClient

/**
 * The cluster a connection must belong to, asked whenever one is opened: a broker that names another cluster is refused,
 * as if it could not be reached, before anything else is sent. `undefined`: any cluster.
 */
export type ExpectedClusterId = () => string | undefined

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

export interface FetchCall extends CallOptions {
  readonly maxWaitMs: number
  readonly minBytes: number
  readonly maxBytes: number
  readonly isolationLevel: IsolationLevel
  /** Default: 64 MiB per response. */
  readonly decompression?: DecompressionLimits | undefined
  /** Served by the broker in this order. */
  readonly partitions: readonly {
    readonly topic: string
    /** Where brokers take ids, records of a topic that was created anew under the same name are not answered. */
    readonly topicId?: string | undefined
    readonly partition: number
    readonly fetchOffset: Offset
    readonly maxBytes: number
    /** -1: do not check. */
    readonly currentLeaderEpoch: number
  }[]
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
    /** Of the record that was found, as its producer wrote it: beyond 2^53 only nearly. */
    readonly timestampMs: number
    /** -1: no such offset (asked by timestamp, nothing that late); `undefined`: beyond 2^53. */
    readonly offset: Offset | undefined
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
  /** -1 with an empty memberId: a stand-alone commit, accepted while the group has no members. */
  readonly generationId: number
  readonly memberId: string
  readonly partitions: readonly {
    readonly topic: string
    readonly partition: number
    readonly offset: Offset
    readonly metadata: string | null
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
    readonly metadata: string | null
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
  readonly names: readonly string[]
}
export interface DescribeTopicConfigsResponse {
  readonly throttleTimeMs: number
  readonly topics: readonly {
    readonly topic: string
    readonly errorCode: number
    readonly configs: ReadonlyMap<string, string | null>
  }[]
}
