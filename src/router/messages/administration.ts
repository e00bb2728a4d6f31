import type { BrokerNode, Offset, TopicPartition } from '../../core/model.js'
import type { AclOperation } from '../../kafka/calls.js'
import type { ConfigResourceId, DescribedConfig } from '../../kafka/protocol/configs.js'
import type { Failure, Request, TimedOut } from './request.js'

/**
 * Internal, from the gateway only: administration of a cluster. A failure has Kafka's error code, and Kafka's message if
 * the broker has sent one.
 */
export interface DescribeCluster extends Request<DescribeClusterResult> {
  readonly type: 'describeCluster'
}
export type DescribeClusterResult =
  | {
      readonly type: 'success'
      /** `null`: the brokers do not report an id. */
      readonly clusterId: string | null
      /** -1: the broker knows no controller. */
      readonly controllerId: number
      readonly brokers: readonly BrokerNode[]
    }
  | TimedOut
  | Failure

/** The fields of all changes. */
interface Change extends Request<ChangeResult> {
  /** True: Kafka only checks the change. */
  readonly validateOnly: boolean
}
/**
 * A change is repeated until its deadline while its outcome is unknown, for example after a lost connection. If Kafka
 * then answers that there is nothing to change, an earlier attempt or another client may have made the change: the
 * result is `timedOut`, or `success` if the topic to delete no longer exists.
 */
export type ChangeResult = { readonly type: 'success' } | TimedOut | Failure

export interface CreateTopic extends Change {
  readonly type: 'createTopic'
  readonly topic: string
  /** -1: the default of the brokers, or there are assignments. */
  readonly partitions: number
  /** -1: the default of the brokers, or there are assignments. */
  readonly replicationFactor: number
  /** The brokers of each partition, the preferred leader first. */
  readonly assignments: ReadonlyMap<number, readonly number[]>
  /** Settings of the topic itself. */
  readonly configs: ReadonlyMap<string, string | null>
}

export interface DeleteTopic extends Request<ChangeResult> {
  readonly type: 'deleteTopic'
  readonly topic: string
}

export interface CreatePartitions extends Change {
  readonly type: 'createPartitions'
  readonly topic: string
  /** The number of partitions that the topic then has. */
  readonly total: number
}

export interface DescribeConfigs extends Request<DescribeConfigsResult> {
  readonly type: 'describeConfigs'
  /** All of one type. Resources of type `broker` have one name, that of the broker that is asked. */
  readonly resources: readonly ConfigResourceId[]
  /** The broker to ask. Default: the broker whose settings these are, or any broker. */
  readonly nodeId?: number | undefined
  /** The settings to describe. Default: all. */
  readonly names?: readonly string[] | undefined
  readonly withSynonyms?: boolean
}
export type DescribeConfigsResult =
  /** Settings by the name of the resource. A topic that does not exist is absent. */
  { readonly type: 'success'; readonly configs: ReadonlyMap<string, readonly DescribedConfig[]> } | TimedOut | Failure

/** Changes settings of one resource, all or none. `value` null: the setting gets its default again. */
export interface AlterConfigs extends Change {
  readonly type: 'alterConfigs'
  readonly resource: ConfigResourceId
  readonly changes: readonly { readonly name: string; readonly value: string | null }[]
}

/** Asks the leader for the end of the log for readers of committed records, whatever the Router's isolation level is. */
export interface FetchStableEnd extends Request<FetchStableEndResult> {
  readonly type: 'fetchStableEnd'
  readonly topicPartition: TopicPartition
}
export type FetchStableEndResult =
  | { readonly type: 'success'; readonly offset: Offset }
  | { readonly type: 'unknownTopicOrPartition' }
  | TimedOut
  | Failure

/**
 * Asks the leader for the end of the log, records of open transactions included. It is asked over the connection for
 * administration, where it delays no reader and no group.
 */
export interface FetchLogEnd extends Request<FetchStableEndResult> {
  readonly type: 'fetchLogEnd'
  readonly topicPartition: TopicPartition
}

export interface FetchGroupOffsets extends Request<FetchGroupOffsetsResult> {
  readonly type: 'fetchGroupOffsets'
  readonly groupId: string
}
export type FetchGroupOffsetsResult =
  | {
      readonly type: 'success'
      /** Empty: the group has committed nothing, or there is no such group. */
      readonly offsets: readonly (TopicPartition & { readonly offset: Offset; readonly metadata: string })[]
    }
  | TimedOut
  | Failure

export interface FetchTopicOperations extends Request<FetchTopicOperationsResult> {
  readonly type: 'fetchTopicOperations'
  /** `null`: all topics. */
  readonly topics: readonly string[] | null
}
export type FetchTopicOperationsResult =
  /** Topics that do not exist are absent, and so are all topics where the broker does not report operations. */
  { readonly type: 'success'; readonly operations: ReadonlyMap<string, readonly AclOperation[]> } | TimedOut | Failure

export interface AdministrationOperations {
  describeCluster: { request: DescribeCluster; result: DescribeClusterResult }
  createTopic: { request: CreateTopic; result: ChangeResult }
  deleteTopic: { request: DeleteTopic; result: ChangeResult }
  createPartitions: { request: CreatePartitions; result: ChangeResult }
  describeConfigs: { request: DescribeConfigs; result: DescribeConfigsResult }
  alterConfigs: { request: AlterConfigs; result: ChangeResult }
  fetchTopicOperations: { request: FetchTopicOperations; result: FetchTopicOperationsResult }
  fetchStableEnd: { request: FetchStableEnd; result: FetchStableEndResult }
  fetchLogEnd: { request: FetchLogEnd; result: FetchStableEndResult }
  fetchGroupOffsets: { request: FetchGroupOffsets; result: FetchGroupOffsetsResult }
}

/**
 * Internal, from the gateway only: a topic was created, deleted or enlarged, by this process or by another worker. The
 * Router does not wait until look-ups have shown it. There is no answer.
 */
export interface TopicChanged {
  readonly type: 'topicChanged'
  readonly topic: string
  readonly isDeleted: boolean
}
