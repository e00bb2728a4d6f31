import type { BrokerNode, KafkaRecord, Offset } from '../core/model.js'
import type { EmbeddedLimits } from './settings.js'

/** Kafka brokers in this process that speak Kafka's protocol on ports, for trials, development and tests. */
export interface EmbeddedCluster extends AsyncDisposable {
  readonly nodes: readonly BrokerNode[]
  /** The addresses of all nodes: `127.0.0.1:9092,127.0.0.1:9093`. An IPv6 host is in brackets. */
  readonly bootstrap: string
  readonly faults: Faults
  createTopic(topic: string, options?: TopicOptions): void
  deleteTopic(topic: string): void
  /** Adds partitions up to the given count. */
  growTopic(topic: string, partitions: number): void
  leaderOf(topic: string, partition: number): number
  moveLeader(topic: string, partition: number, nodeId: number): void
  /**
   * Closes all connections and refuses new connections, like a killed broker. The partitions of the node move to live
   * replicas, if there are any.
   */
  stopNode(nodeId: number): Promise<void>
  /**
   * Starts the node, on its former port unless another port is given. Like a restarted Kafka broker, the node then
   * remembers only the last batch of each producer.
   */
  startNode(nodeId: number, options?: { readonly port?: number }): Promise<void>
  /** Lets the node answer with the metadata of this moment until the returned function is called. */
  lagBehind(nodeId: number): () => void
  /**
   * Ends the locks of share groups in a topic at once, as if their time were over.
   * @param groupId absent: those of all groups
   */
  endLocks(topic: string, groupId?: string): void
  /**
   * Truncates the log as an unclean election does: the batch with this offset and all later ones are lost, and a new
   * leader epoch begins.
   */
  truncate(topic: string, partition: number, offset: Offset): void
  /** The decoded records of the log, for tests. */
  records(topic: string, partition: number): KafkaRecord[]
  /**
   * Writes bytes into the log unchanged: control batches, aborted transactions, damage. Complete batches get their base
   * offset and leader epoch; bytes after them take one offset. For tests of readers.
   */
  appendRaw(topic: string, partition: number, bytes: Buffer): void
  /**
   * Keeps only the newest record of each key. Offsets do not change, so batches get holes. The last batch of the log,
   * and the last batch of each idempotent producer, remain as headers when they lose all records. For tests of readers.
   */
  compact(topic: string, partition: number): void
  /** The present number of connections, bytes and topics. */
  usage(): EmbeddedUsage
  /** The number of answered requests of this API. @param nodeId counts only requests to this node; absent: all nodes */
  requestCount(api: ApiName, nodeId?: number): number
  logStartOffset(topic: string, partition: number): Offset
  highWatermark(topic: string, partition: number): Offset
  /** Idempotent. `await using` calls it as well. */
  close(): Promise<void>
  /** Resolves when the cluster has closed: by `close`, or because another process has taken its directory. */
  readonly closed: Promise<void>
}

export interface EmbeddedUsage {
  readonly connections: number
  /** Bytes of incomplete requests, waiting requests and unread responses of all clients. */
  readonly heldBytes: number
  readonly groupBytes: number
  readonly topics: number
  readonly partitions: number
}

export interface TopicOptions {
  /** Default: the cluster's `defaultPartitions`. */
  readonly partitions?: number
  readonly replicationFactor?: number
  /** Topic settings by Kafka's names: `{ 'cleanup.policy': 'compact', 'retention.ms': 60_000 }`, or a Map. */
  readonly config?: TopicConfigOptions
}

export type TopicConfigOptions = ReadonlyMap<string, string> | Readonly<Record<string, string | number | boolean>>

export interface EmbeddedClusterOptions {
  /** Default 1. */
  readonly nodes?: number
  /** Default 127.0.0.1. */
  readonly host?: string
  /**
   * The host in the metadata for clients. Default: `host`. If `host` means every address of the machine (`0.0.0.0`,
   * `::`), each client gets the address to which it has connected.
   */
  readonly advertisedHost?: string
  /** Port of node 1; further nodes take the following ports. 0 (default): any free ports. */
  readonly port?: number
  /** Directory for records, which then survive a restart; absent: records are kept in memory. */
  readonly directory?: string
  /** Default 4. */
  readonly defaultPartitions?: number
  /** Default true. */
  readonly autoCreateTopics?: boolean
  /**
   * Size of a partition beyond which its oldest segments are deleted. Default 1 GiB in a directory, 128 MiB in memory.
   */
  readonly retentionBytes?: number
  /**
   * Shortest session time-out that a group member may ask for. A shorter time-out is refused with code 26. Default:
   * 6000, as in Kafka.
   */
  readonly minSessionTimeoutMs?: number
  /**
   * An idempotent producer is forgotten when the timestamp of its newest record is older than this. Default: a day, as
   * in Kafka (`producer.id.expiration.ms`).
   */
  readonly producerIdExpirationMs?: number
  /** Pause between two searches for expired producers. Default: 10 minutes, as in Kafka. */
  readonly producerIdExpirationCheckMs?: number
  /** Limits of memory and connections; absent limits have their defaults. */
  readonly limits?: Partial<EmbeddedLimits>
  /** Receives messages for the operator: a damaged log, a full disk. Default: a process warning. */
  readonly warn?: (message: string) => void
  /** If set, every client must authenticate. */
  readonly sasl?: SaslOptions
  /** If set, all ports use TLS. Key and certificate are in PEM. */
  readonly tls?: { readonly key: string | Buffer; readonly cert: string | Buffer }
}

export interface SaslOptions {
  /** User and password, for PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512. */
  readonly users?: ReadonlyMap<string, string>
  readonly tokens?: ReadonlySet<string>
}

export const apiNames = [
  'Produce',
  'Fetch',
  'ListOffsets',
  'Metadata',
  'OffsetCommit',
  'OffsetFetch',
  'FindCoordinator',
  'JoinGroup',
  'Heartbeat',
  'LeaveGroup',
  'SyncGroup',
  'DescribeGroups',
  'ListGroups',
  'SaslHandshake',
  'ApiVersions',
  'CreateTopics',
  'DeleteTopics',
  'DeleteRecords',
  'InitProducerId',
  'OffsetForLeaderEpoch',
  'DescribeAcls',
  'DescribeConfigs',
  'AlterConfigs',
  'SaslAuthenticate',
  'CreatePartitions',
  'DeleteGroups',
  'OffsetDelete',
  'IncrementalAlterConfigs',
  'ListPartitionReassignments',
  'AddPartitionsToTxn',
  'AddOffsetsToTxn',
  'EndTxn',
  'TxnOffsetCommit',
  'DescribeCluster',
  'ShareGroupHeartbeat',
  'ShareGroupDescribe',
  'ShareFetch',
  'ShareAcknowledge',
  'DescribeShareGroupOffsets',
  'AlterShareGroupOffsets',
  'DeleteShareGroupOffsets'
] as const
export type ApiName = (typeof apiNames)[number]

/** The requests that a fault affects. An absent field matches every request. */
export interface FaultMatch {
  readonly api: ApiName
  readonly nodeId?: number
  readonly topic?: string
  readonly partition?: number
  /** The number of requests that the fault affects. Default: 1. With Infinity, it stays until it is removed. */
  readonly count?: number
  /** Lets this many matching requests pass first. Default 0. */
  readonly skip?: number
}

export type FaultAction =
  /** Do nothing, and answer this code for the matching partitions, or for the whole call if it has only one code. */
  | { readonly type: 'error'; readonly errorCode: number }
  /** Do the work, but answer this code: for example 7, although the record is in the log. */
  | { readonly type: 'errorAfter'; readonly errorCode: number }
  /** Wait before the work; `afterWork`: do the work, and wait before the answer. */
  | { readonly type: 'delay'; readonly delayMs: number; readonly afterWork?: boolean }
  /** Do the work, never answer. */
  | { readonly type: 'dropResponse' }
  /** Neither do the work nor answer. */
  | { readonly type: 'dropRequest' }
  /** Send only the first `bytes` of the response, then close. */
  | { readonly type: 'truncate'; readonly bytes: number }
  /** Rewrites the framed response (4-byte length included) before it leaves. */
  | { readonly type: 'corrupt'; readonly mutate: (frame: Buffer) => Buffer }
  /** Close the connection instead of answering; `afterWork`: do the work first. */
  | { readonly type: 'close'; readonly afterWork: boolean }

export interface Fault {
  /** How many requests the fault has affected. A test with a fault should assert that this is not 0. */
  readonly fired: number
  /** Resolves when the fault has affected this many requests (default: 1). */
  whenFired(times?: number): Promise<void>
  remove(): void
}
export interface Faults {
  add(match: FaultMatch, action: FaultAction): Fault
  clear(): void
}
