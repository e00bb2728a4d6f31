import type { BrokerNode, Offset, TopicPartition } from '../core/model.js'
import type { AclOperation } from '../kafka/calls.js'
import type { AclEntry, AclFilter } from '../kafka/protocol/acls.js'
import type { ConfigSource } from '../kafka/protocol/administration.js'

export type { AclOperation } from '../kafka/calls.js'
export { type AclEntry, type AclFilter, aclWords } from '../kafka/protocol/acls.js'
export type { ConfigSource } from '../kafka/protocol/administration.js'

/**
 * Administration of one Kafka cluster. Each call has one time limit, within which it is repeated after temporary errors,
 * and settles exactly once. Questions are repeated after lost connections, too. A change is not, once its bytes were
 * written: until its time is over, look-ups tell whether the cluster shows it. Only a deletion by id is sent again.
 *
 * All calls throw
 * - KafkaError when Kafka refuses: with Kafka's code, and with Kafka's message if the broker has sent one
 * - TimedOutError when there was no answer in time, or when it is unknown whether a change was made
 * - another CastellanError when no broker was asked, for example because the cluster has no such broker
 */
export interface AdminVerbs {
  /** The brokers, the controller and the id of the cluster. */
  describeCluster(timeoutMs: number): Promise<ClusterDescription>
  /**
   * The id of the cluster; `null`: the brokers do not report one. Kafka is asked only while the id is not known. It is
   * renewed when another cluster answers at the same addresses.
   */
  clusterId(timeoutMs: number): Promise<string | null>
  /** Creates a topic. When it resolves, producers of this gateway find the topic. */
  createTopic(topic: NewTopic, options: ChangeOptions): Promise<void>
  /** Deletes a topic with all its records. When it resolves, this gateway has forgotten the topic. */
  deleteTopic(topic: string, timeoutMs: number): Promise<void>
  /**
   * Adds partitions to a topic. Kafka never removes partitions.
   *
   * @param total the number of partitions that the topic then has; Kafka refuses a number that is not higher than before
   */
  createPartitions(topic: string, total: number, options: ChangeOptions): Promise<void>
  /**
   * Deletes the records of a partition before an offset, which may be the end of its log. When it resolves, the leader
   * no longer has them.
   */
  deleteRecords(topicPartition: TopicPartition, offset: Offset, timeoutMs: number): Promise<void>
  /** Deletes a group that has no members, with its offsets. */
  deleteGroup(groupId: string, timeoutMs: number): Promise<void>
  /**
   * All settings of resources of one type. Brokers are asked one by one, topics together.
   *
   * @returns settings in the order of their names, by {@link resourceName}; a topic that does not exist is absent
   */
  describeConfigs(
    resources: readonly ConfigResource[],
    timeoutMs: number
  ): Promise<ReadonlyMap<string, readonly ConfigEntry[]>>
  /** Changes settings of a resource, all or none. Settings that are not named stay as they are. */
  alterConfigs(resource: ConfigResource, changes: readonly ConfigChange[], options: ChangeOptions): Promise<void>
  /** The entries of access control lists that a filter selects. */
  describeAcls(filter: AclFilter, timeoutMs: number): Promise<readonly AclEntry[]>
  /**
   * Operations that Kafka allows this gateway on topics.
   *
   * @returns operations by topic; a topic that does not exist is absent, and so are all topics before Kafka 2.8
   */
  topicOperations(
    topics: readonly string[] | 'all',
    timeoutMs: number
  ): Promise<ReadonlyMap<string, readonly AclOperation[]>>
  /**
   * The start and the end of partitions' logs, in the order of the request.
   * @returns `undefined` in the place of a partition that does not exist
   */
  logEnds(partitions: readonly TopicPartition[], timeoutMs: number): Promise<readonly (LogEnds | undefined)[]>
}

export interface ChangeOptions {
  readonly timeoutMs: number
  /** True: Kafka only checks the change. Default: false. */
  readonly validateOnly?: boolean | undefined
}

export interface ClusterDescription {
  /** `null`: the brokers do not report an id. */
  readonly clusterId: string | null
  /** -1: no controller is known. Kafka without ZooKeeper reports any broker, because all pass changes on. */
  readonly controllerId: number
  /** In the order of their ids. */
  readonly brokers: readonly BrokerNode[]
}

export interface NewTopic {
  readonly name: string
  /** Absent: the brokers' default, or there are assignments. */
  readonly partitions?: number | undefined
  /** Absent: the brokers' default, or there are assignments. */
  readonly replicationFactor?: number | undefined
  /** The brokers of each partition, the preferred leader first. Absent: Kafka chooses. */
  readonly assignments?: ReadonlyMap<number, readonly number[]> | undefined
  /** Settings that differ from the brokers' defaults. */
  readonly configs?: ReadonlyMap<string, string | null> | undefined
}

export type ConfigResource =
  | { readonly type: 'topic'; readonly name: string }
  | { readonly type: 'broker'; readonly nodeId: number }
  /** The settings that all brokers share, and that a broker may override. */
  | { readonly type: 'brokers' }
  /** The settings of a group, which may be set before it exists. */
  | { readonly type: 'group'; readonly name: string }

/** The name of a resource in results: the topic or the group, the id of the broker, or the empty string for all brokers. */
export function resourceName(resource: ConfigResource): string {
  if (resource.type === 'topic' || resource.type === 'group') return resource.name
  return resource.type === 'broker' ? String(resource.nodeId) : ''
}

export interface ConfigEntry {
  readonly name: string
  /** `null`: Kafka does not reveal the value, or there is none. */
  readonly value: string | null
  /** True: no value is set, so Kafka's default counts. */
  readonly isDefault: boolean
  readonly isReadOnly: boolean
  readonly isSensitive: boolean
  readonly source: ConfigSource
  /** The values that Kafka considers for the setting, the one that counts first. */
  readonly synonyms: readonly ConfigSynonym[]
}
export interface ConfigSynonym {
  readonly name: string
  readonly value: string | null
  readonly source: ConfigSource
}

export interface ConfigChange {
  readonly name: string
  /** `null`: the setting gets its default again. */
  readonly value: string | null
}

export interface LogEnds {
  /** The first offset that the log still has. */
  readonly start: Offset
  /** The end for readers of committed records: the offset after the last record that no open transaction holds back. */
  readonly end: Offset
}
