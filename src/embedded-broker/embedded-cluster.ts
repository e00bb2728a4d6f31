import type { BrokerNode, KafkaRecord, Offset } from '../core/model.js'
import type { EmbeddedLimits } from './settings.js'

/** Several Kafka brokers in this process, speaking the protocol on loopback ports. For trying, developing, testing. */
export interface EmbeddedCluster {
  readonly nodes: readonly BrokerNode[]
  /** `127.0.0.1:9092,127.0.0.1:9093`; an IPv6 host in brackets. */
  readonly bootstrap: string
  readonly faults: Faults
  createTopic(topic: string, options?: TopicOptions): void
  deleteTopic(topic: string): void
  /** Adds partitions up to the given count. */
  growTopic(topic: string, partitions: number): void
  leaderOf(topic: string, partition: number): number
  moveLeader(topic: string, partition: number, nodeId: number): void
  /** Cuts all connections and refuses new ones, like a killed broker; its partitions move to a live replica, if any. */
  stopNode(nodeId: number): Promise<void>
  /**
   * Starts the node, on the same port unless another is given. Like a restarted Kafka broker it then remembers only the last batch of each
   * producer.
   */
  startNode(nodeId: number, options?: { readonly port?: number }): Promise<void>
  /** From now on the node answers Metadata as of this moment, until the function that is returned is called. */
  lagBehind(nodeId: number): () => void
  /** As an unclean election: the log ends below the offset, where a batch ends, and a new leader epoch begins. */
  truncate(topic: string, partition: number, offset: Offset): void
  /** The records of the log, decoded; for tests. */
  records(topic: string, partition: number): KafkaRecord[]
  /**
   * Writes bytes into the log unchanged: control batches, aborted transactions, damage. Complete batches get their
   * base offset and leader epoch; remaining bytes take one offset. For tests of readers.
   */
  appendRaw(topic: string, partition: number, bytes: Buffer): void
  /**
   * Leaves only the newest record of each key. Offsets stay, so batches get holes; the last batch of the log, and
   * those of idempotent producers, stay as headers when no record of them is left. For tests of readers.
   */
  compact(topic: string, partition: number): void
  /** What is held at this moment. */
  usage(): EmbeddedUsage
  /** Requests served so far, by API name. @param nodeId by this node; absent: by all */
  requestCount(api: ApiName, nodeId?: number): number
  logStartOffset(topic: string, partition: number): Offset
  highWatermark(topic: string, partition: number): Offset
  close(): Promise<void>
}

export interface EmbeddedUsage {
  readonly connections: number
  /** Incomplete or waiting requests, and unread answers, of all clients. */
  readonly heldBytes: number
  /** Members of groups and committed offsets. */
  readonly groupBytes: number
  readonly topics: number
  readonly partitions: number
  /** Segment files of a directory. */
  readonly openFiles: number
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
   * The host that clients are told to connect to. Default: `host`; where that is every address of the machine
   * (`0.0.0.0`, `::`), each client is told the one at which it has reached the broker.
   */
  readonly advertisedHost?: string
  /** Port of node 1, following nodes take the following ports; 0 (default): any free ones. */
  readonly port?: number
  /** Records survive a restart when given; memory otherwise. */
  readonly directory?: string
  /** Default 4. */
  readonly defaultPartitions?: number
  /** Default true. */
  readonly autoCreateTopics?: boolean
  /** Oldest segments of a partition go beyond it. Default 1 GiB in a directory, 128 MiB in memory. */
  readonly retentionBytes?: number
  /** Shortest session a group member may ask for; below it is answered 26. Default 6000, as Kafka's. */
  readonly minSessionTimeoutMs?: number
  /**
   * Idempotent producers whose newest record has a timestamp so long ago are forgotten. Default a day, as Kafka's
   * `producer.id.expiration.ms`.
   */
  readonly producerIdExpirationMs?: number
  /** How often there is a look for such producers. Default 10 minutes, as Kafka's. */
  readonly producerIdExpirationCheckMs?: number
  /** What is held at most; those not given have their defaults. */
  readonly limits?: Partial<EmbeddedLimits>
  /** Told of problems for the operator: a damaged log, a full disk. Default: a process warning. */
  readonly warn?: (message: string) => void
  /** Given: every client must authenticate. */
  readonly sasl?: SaslOptions
  /** Given: all ports speak TLS. PEM. */
  readonly tls?: { readonly key: string | Buffer; readonly cert: string | Buffer }
}

/** The credentials that are accepted. */
export interface SaslOptions {
  /** User and password, for PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512. */
  readonly users?: ReadonlyMap<string, string>
  /** For OAUTHBEARER. */
  readonly tokens?: ReadonlySet<string>
}

export type ApiName =
  | 'Produce'
  | 'Fetch'
  | 'ListOffsets'
  | 'Metadata'
  | 'OffsetCommit'
  | 'OffsetFetch'
  | 'FindCoordinator'
  | 'JoinGroup'
  | 'Heartbeat'
  | 'LeaveGroup'
  | 'SyncGroup'
  | 'DescribeGroups'
  | 'ListGroups'
  | 'SaslHandshake'
  | 'ApiVersions'
  | 'CreateTopics'
  | 'DeleteTopics'
  | 'DeleteRecords'
  | 'InitProducerId'
  | 'OffsetForLeaderEpoch'
  | 'DescribeConfigs'
  | 'AlterConfigs'
  | 'SaslAuthenticate'
  | 'CreatePartitions'
  | 'DeleteGroups'
  | 'OffsetDelete'
  | 'IncrementalAlterConfigs'
  | 'AddPartitionsToTxn'
  | 'AddOffsetsToTxn'
  | 'EndTxn'
  | 'TxnOffsetCommit'
  | 'ElectLeaders'
  | 'DescribeCluster'

/** Which requests a fault hits; absent fields match everything. */
export interface FaultMatch {
  readonly api: ApiName
  readonly nodeId?: number
  readonly topic?: string
  readonly partition?: number
  /** How many requests it hits. Default 1; Infinity: until removed. */
  readonly count?: number
  /** Lets this many matching requests pass first. Default 0. */
  readonly skip?: number
}

export type FaultAction =
  /** Answer this code for the matching partitions (or the whole call where it has one code); nothing is done. */
  | { readonly type: 'error'; readonly errorCode: number }
  /** Do the work, but answer this code: such as 7 with the record in the log. */
  | { readonly type: 'errorAfter'; readonly errorCode: number }
  /** Wait before the work; `afterWork`: wait with the answer only. */
  | { readonly type: 'delay'; readonly delayMs: number; readonly afterWork?: boolean }
  /** Do the work, never answer. */
  | { readonly type: 'dropResponse' }
  /** Neither do nor answer. */
  | { readonly type: 'dropRequest' }
  /** Send only the first `bytes` of the response, then close. */
  | { readonly type: 'truncate'; readonly bytes: number }
  /** Rewrites the framed response (4-byte length included) before it leaves. */
  | { readonly type: 'corrupt'; readonly mutate: (frame: Buffer) => Buffer }
  /** Close the connection instead of answering; `afterWork`: do the work first. */
  | { readonly type: 'close'; readonly afterWork: boolean }

export interface Fault {
  /** How often it hit. A fault test asserts that this is not 0. */
  readonly fired: number
  /** Resolves when it has hit for the n-th time (default 1). */
  whenFired(times?: number): Promise<void>
  remove(): void
}
export interface Faults {
  add(match: FaultMatch, action: FaultAction): Fault
  clear(): void
}
