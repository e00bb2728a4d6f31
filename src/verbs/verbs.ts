import type { AckResult, Asker, ConsumeManyResult, MessageId, MessageLimits } from '../consumer/group/consume-result.js'
import type { InstanceVerbs } from '../consumer/instance/instances.js'
import type { QueueVerbs } from '../consumer/queue/queue-verbs.js'
import type { FollowSink, ReadSubscription } from '../consumer/stream/topic-subscription.js'
import type { Offset, OffsetAndMetadata, ProduceRecord, TopicPartition } from '../core/model.js'
import type { TopicMetadata } from '../kafka/calls.js'
import type { ProduceOptions } from '../producer/memory/delivery.js'
import type { Loss } from '../producer/memory/losses.js'
import type { PendingProduce } from '../producer/memory/pending-produce.js'
import type { AdminVerbs } from './admin.js'
import type { ProduceOrigin } from './produce-origin.js'
import type { ShareGroupVerbs } from './share-groups.js'

export type {
  AckResult,
  AcquiredMessage,
  Asker,
  ConsumedMessage,
  ConsumedMessages,
  ConsumeManyResult,
  MessageId,
  MessageLimits,
  NoMessage
} from '../consumer/group/consume-result.js'
export { ONE_MESSAGE } from '../consumer/group/consume-result.js'
export * from '../consumer/instance/instances.js'
export * from '../consumer/queue/queue-verbs.js'
export type { FollowSink, ReadSubscription } from '../consumer/stream/topic-subscription.js'
export type { TopicMetadata } from '../kafka/calls.js'
export * from './share-groups.js'
export type TopicsByName = ReadonlyMap<string, TopicMetadata>
export type { Durability, ProduceOptions } from '../producer/memory/delivery.js'
export type { Loss } from '../producer/memory/losses.js'
export type { PartitionerName } from '../producer/memory/partitioners.js'
export type { PendingProduce } from '../producer/memory/pending-produce.js'
export type * from './admin.js'
export type { ProduceOrigin } from './produce-origin.js'

/** The partitions of a topic to follow, and the offsets to begin at. */
export interface FollowOptions {
  /** `undefined`: all partitions that the topic has now. */
  readonly partitions: readonly number[] | undefined
  /** Maximum number of partitions. A request for more is refused. */
  readonly maxPartitions: number
  /** Start in partitions that `positions` does not contain. */
  readonly from: 'earliest' | 'latest'
  /** Offsets to begin at, by partition. Offsets of partitions that are not followed are ignored. */
  readonly positions: ReadonlyMap<number, Offset>
  /**
   * Offsets at which reading ends, by partition: ends of the log. The position gets there also where no record is before it, as behind
   * a transaction. Absent: reading goes on.
   */
  readonly ends?: ReadonlyMap<number, Offset>
  /** Time limit for finding the offsets to begin at, in milliseconds. */
  readonly timeoutMs: number
}

export interface GroupOffset {
  readonly partition: number
  /** Offset of the first record that Kafka still has. */
  readonly earliest: Offset
  /** Offset of the next record to be written. */
  readonly latest: Offset
  /**
   * `undefined`: the group has committed no offset in this topic, or only in an earlier topic of the same name.
   * Metadata is returned as the client stored it, without the topic id that Castellan adds. A negative offset is also
   * returned unchanged, because the client may give it a meaning.
   */
  readonly committed: OffsetAndMetadata | undefined
  /**
   * Offset at which the group begins to read a partition without a committed offset. `undefined`: at the end of the
   * log, wherever that is when reading begins.
   */
  readonly beginsAt?: Offset | undefined
  /** Acknowledged ranges above the committed offset, taken from the metadata: `from` is included, `to` is excluded. */
  readonly acknowledged: readonly { readonly from: Offset; readonly to: Offset }[]
}

/**
 * The outcome of a commit. `superseded`: another commit for the same group and partition was made at the same time, and
 * its offset is stored.
 */
export type CommitOutcome = 'committed' | 'superseded' | 'unknownTopicOrPartition'

/** A member of a consumer group and the partitions that it reads. The member may be any Kafka client. */
export interface GroupReader {
  readonly memberId: string
  /** The id of a static member (KIP-345); `null`: the member is dynamic. */
  readonly instanceId: string | null
  /** The name that the client gives itself; several members may have the same name. */
  readonly clientId: string
  /** The client's address, as the coordinator writes it. */
  readonly clientHost: string
  /** Topic -> partitions in ascending order. Empty while the group rebalances. */
  readonly partitions: ReadonlyMap<string, readonly number[]>
}

export interface GroupDescription {
  readonly groupId: string
  /** `consumer`: the group uses the protocol of KIP-848. */
  readonly type: 'classic' | 'consumer'
  /**
   * `Stable`, `PreparingRebalance`, `CompletingRebalance` or `Empty`, with the protocol of KIP-848 also `Assigning` or
   * `Reconciling`; or another of Kafka's states.
   */
  readonly state: string
  /**
   * The assignment strategy that the members have agreed on; empty unless the group is `Stable`. With the protocol of
   * KIP-848 that of the coordinator, in every state.
   */
  readonly assignor: string
  /** True: the group only has offsets, and no member has joined it. */
  readonly isSimple: boolean
  readonly coordinatorId: number
  /**
   * True: in a group of the type `consumer` not all members are known to use the protocol of KIP-848. Brokers before Kafka
   * 4.0 do not say which protocol a member uses.
   */
  readonly isMixed: boolean
  readonly members: readonly GroupReader[]
}

export interface CommittedOffset extends TopicPartition {
  readonly offset: Offset
  /** Metadata as the client stored it, without the topic id that Castellan adds; empty: there is none. */
  readonly metadata: string
}

/** Selects which readers are returned. An absent field sets no limit. */
export interface ReadersOnly {
  /**
   * Only partitions of this topic are returned. A member that does not read the topic is returned without partitions.
   */
  readonly topic?: string | undefined
  /** Whether the caller may see a group. Brokers are asked only about groups that the caller may see. */
  readonly includes?: ((groupId: string) => boolean) | undefined
}

export interface DurableLogStats {
  /** Files that hold records. */
  readonly segmentCount: number
  /** Records that were in the log when it was opened, and records that were added since. */
  readonly enqueued: number
  /** Enqueued records that are finished: they are in Kafka, or Kafka has refused them for good. */
  readonly completed: number
  /** The enqueued records that are not completed. */
  readonly openEntries: number
  /** Records that Kafka has refused for good. They are kept until an operator sends them again or deletes them. */
  readonly deadLetters: number
}

/**
 * The operations on one Kafka cluster. HTTP APIs are built on them and use Kafka in no other way. The terms used here
 * belong to no single API.
 */
export interface Verbs {
  /**
   * Accepts records in order. Keys and values are copied before it returns, so the caller may reuse their buffers.
   * Records of one partition keep the order of the calls, even when the caller does not await the results.
   *
   * @param origin the client's request; absent: there is none
   */
  produce(records: readonly ProduceRecord[], options: ProduceOptions, origin?: ProduceOrigin): PendingProduce
  /**
   * Counts records as lost. An API has answered that it accepted them, but they never reached {@link produce}, or
   * {@link produce} refused them.
   *
   * @param api as in {@link ProduceOptions.answeredBy}
   */
  lost(api: string, loss: Loss, records: number): void
  /**
   * The metadata of topics; a topic that does not exist has an error code.
   *
   * @param names `all`: every topic of the cluster
   * @param mayCreate lets brokers create missing topics, as producing to them does, after this answer. Default: not
   * @throws CastellanError when no broker answers in time
   */
  topics(names: readonly string[] | 'all', timeoutMs: number, mayCreate?: boolean): Promise<TopicsByName>
  /**
   * The settings of topics that override the defaults of the brokers: setting -> value, by topic.
   * @returns only topics that exist
   * @throws CastellanError when no broker answers in time
   */
  topicConfigs(names: readonly string[], timeoutMs: number): Promise<ReadonlyMap<string, ReadonlyMap<string, string>>>
  readonly groups: GroupVerbs
  readonly instances: InstanceVerbs
  readonly queues: QueueVerbs
  readonly shareGroups: ShareGroupVerbs
  readonly admin: AdminVerbs
  /**
   * Reads a topic without a group and without an end. All readers share the fetches and the cache of the process; a
   * slow reader does not hold up the others.
   *
   * @throws InvalidRequestError when the topic or a partition does not exist, or there are too many partitions
   * @throws CastellanError when no broker answers in time
   */
  follow(topic: string, options: FollowOptions, sink: FollowSink): Promise<ReadSubscription>
  /**
   * The current counts of the durable log. All clusters and APIs of the process share the log.
   * @returns `undefined`: there is no durable log, or it is not open yet because no record was stored in it
   * @throws Error when the log has stopped
   */
  durableLog(): Promise<DurableLogStats | undefined>
  /** True while at least one broker answers. */
  readonly isReady: boolean
}

export interface GroupVerbs {
  /**
   * The positions of a group in all partitions of a topic, in the order of the partitions. The requests for the offsets
   * are sent one after another, so the offsets are from slightly different times.
   *
   * @returns `undefined`: there is no such topic
   * @throws CastellanError when an offset of one of the partitions cannot be found in time
   */
  offsets(groupId: string, topic: string, timeoutMs: number): Promise<readonly GroupOffset[] | undefined>
  /**
   * Commits offsets of a group, by partition. The metadata is stored unchanged. An offset may be lower than the
   * committed one. If this process reads a partition for the group, it continues at once at the new offset. While other
   * members read the partitions, the coordinator refuses the commit.
   *
   * @returns the outcome of each
   * @throws CastellanError when a commit failed or was not answered in time; other commits may be stored
   */
  commit(
    groupId: string,
    topic: string,
    offsets: ReadonlyMap<number, OffsetAndMetadata>,
    timeoutMs: number
  ): Promise<ReadonlyMap<number, CommitOutcome>>
  /**
   * The members of consumer groups and the partitions that they read, as the coordinators report them, also of groups
   * that use the protocol of KIP-848. Groups are described a few at a time. When the caller asks for all groups, a
   * group that cannot be described is left out and a warning is logged.
   * @param groups `all`: every group that the brokers list
   * @param only selects the results; nothing else is decoded
   * @returns by group; a group without members is absent
   * @throws CastellanError when a broker does not answer in time
   */
  consumers(
    groups: readonly string[] | 'all',
    timeoutMs: number,
    only?: ReadersOnly
  ): Promise<ReadonlyMap<string, readonly GroupReader[]>>
  /**
   * Describes consumer groups, also groups without members and groups that use the protocol of KIP-848.
   *
   * @param groups `all`: every group that the brokers list
   * @param includes whether the caller may see a group; brokers are asked only about these
   * @returns by group; a group that no coordinator knows is absent
   * @throws CastellanError when a broker does not answer in time; KafkaError when Kafka refuses
   */
  describe(
    groups: readonly string[] | 'all',
    timeoutMs: number,
    includes?: (groupId: string) => boolean
  ): Promise<ReadonlyMap<string, GroupDescription>>
  /**
   * All offsets that a group has committed, by topic and partition; empty: it has committed none, or does not exist.
   * @throws CastellanError when the coordinator does not answer in time; KafkaError when Kafka refuses
   */
  committed(groupId: string, timeoutMs: number): Promise<readonly CommittedOffset[]>
  /**
   * Waits for a message of a topic on behalf of a consumer group, and answers with it and all others that are available
   * at that moment, within the limits. The first request makes this process join the group. It leaves the group when no
   * more requests for the topic come. The caller must release messages that do not reach the client, so that another
   * client gets them.
   *
   * @param timeoutMs `undefined`: `consumer.longPollMs`
   * @returns a function to call when the client has gone away
   */
  consume(
    groupId: string,
    topic: string,
    limits: MessageLimits,
    timeoutMs: number | undefined,
    requester: Asker<ConsumeManyResult>
  ): () => void
  /** Acknowledges a message that the group has acquired from this process, or from another one that it knows. */
  ack(groupId: string, message: MessageId): Promise<AckResult>
}
