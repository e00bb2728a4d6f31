import type {
  AckResult,
  Asker,
  ConsumeManyResult,
  ConsumeResult,
  MessageId,
  MessageLimits
} from '../consumer/group/consume-result.js'
import type { Following, FollowSink } from '../consumer/stream/topic-subscription.js'
import type { Offset, OffsetAndMetadata, ProduceRecord } from '../core/model.js'
import type { TopicMetadata } from '../kafka/calls.js'
import type { ProduceOptions } from '../producer/memory/delivery.js'
import type { Loss } from '../producer/memory/losses.js'
import type { PendingProduce } from '../producer/memory/pending-produce.js'

export type {
  AckResult,
  AcquiredMessage,
  Asker,
  ConsumedMessage,
  ConsumedMessages,
  ConsumeManyResult,
  ConsumeResult,
  MessageId,
  MessageLimits,
  NoMessage
} from '../consumer/group/consume-result.js'
export type { Following, FollowSink } from '../consumer/stream/topic-subscription.js'
export type { TopicMetadata } from '../kafka/calls.js'
export type { Durability, ProduceOptions } from '../producer/memory/delivery.js'
export type { Loss } from '../producer/memory/losses.js'
export type { PartitionerName } from '../producer/memory/partitioners.js'
export type { PendingProduce } from '../producer/memory/pending-produce.js'

/** What of a topic is followed, and from where on. */
export interface FollowOptions {
  /** `undefined`: all that the topic has now. */
  readonly partitions: readonly number[] | undefined
  /** More are refused. */
  readonly maxPartitions: number
  /** Where partitions begin that `positions` does not name. */
  readonly from: 'earliest' | 'latest'
  /** Offsets to begin at, by partition; those of partitions that are not followed are ignored. */
  readonly positions: ReadonlyMap<number, Offset>
  /** How long finding the beginning may take. */
  readonly timeoutMs: number
}

/** Where a group stands in a partition. */
export interface GroupOffset {
  readonly partition: number
  /** Offset of the first record that Kafka still has. */
  readonly earliest: Offset
  /** Offset of the next record to be written. */
  readonly latest: Offset
  /**
   * `undefined`: the group has committed none in this topic, or only in a former one of its name. Metadata is as it was stored,
   * by whichever client, without Castellan's mark of the topic; a negative offset, too, which has a meaning for that client only.
   */
  readonly committed: OffsetAndMetadata | undefined
  /** Nothing is committed, and the group reads the partition from this offset on. `undefined`: it begins at the end, whenever that is. */
  readonly beginsAt?: Offset | undefined
  /** Acknowledged above the committed offset, where the metadata says so: from `from` to the one before `to`. */
  readonly acknowledged: readonly { readonly from: Offset; readonly to: Offset }[]
}

/**
 * What became of a commit. `superseded`: a commit of the same group and partition that came at the same time is the one
 * that is stored.
 */
export type CommitOutcome = 'committed' | 'superseded' | 'unknownTopicOrPartition'

/** A member of a consumer group, of whichever client, and what it reads. */
export interface GroupReader {
  /** As the coordinator names it. */
  readonly memberId: string
  /** Of a static member (KIP-345); `null`: a dynamic one. */
  readonly instanceId: string | null
  /** As its client names itself; several members may have the same. */
  readonly clientId: string
  /** The address from which it is connected, as the coordinator writes it. */
  readonly clientHost: string
  /** Topic -> partitions in ascending order. Empty while the members of its group join. */
  readonly partitions: ReadonlyMap<string, readonly number[]>
}

/** Which of the readers are asked for. Absent members: all of them. */
export interface ReadersOnly {
  /** Partitions of this topic only. Members that read none of it are told as well, without any. */
  readonly topic?: string | undefined
  /** Groups that the caller may be told of; no broker is asked about the others. */
  readonly includes?: ((groupId: string) => boolean) | undefined
}

/** What the durable log holds, and what went through it since it was opened. */
export interface DurableLogStats {
  /** Files that hold records. */
  readonly segmentCount: number
  /** Records that were there when the log was opened, and those that came since. */
  readonly enqueued: number
  /** Of them, those that need not be kept any more: Kafka has them, or has refused them for good. */
  readonly completed: number
  /** All others. */
  readonly openEntries: number
  /** Records that Kafka has refused for good. They are kept until an operator decides about them. */
  readonly deadLetters: number
}

/**
 * The operations on one Kafka cluster that HTTP APIs are built on; no API's own terms occur here. An API knows
 * nothing else of Kafka.
 */
export interface Gateway {
  /**
   * Takes records in order. Keys and values are copied before it returns, so their buffers are free at once.
   * Records of one partition keep the order of the calls, awaited or not.
   */
  produce(records: readonly ProduceRecord[], options: ProduceOptions): PendingProduce
  /**
   * Counts records as lost that an API has told its client are accepted, and that never came as far as {@link produce}, or were
   * refused by it afterwards.
   *
   * @param api as in {@link ProduceOptions.answeredBy}
   */
  lost(api: string, loss: Loss, records: number): void
  /**
   * What brokers say of topics; a topic that does not exist has an error code. Asking never creates one.
   *
   * @param names `all`: every topic of the cluster
   * @throws CastellanError when no broker answers in time
   */
  topics(names: readonly string[] | 'all', timeoutMs: number): Promise<ReadonlyMap<string, TopicMetadata>>
  /**
   * The settings that topics have for themselves: setting -> value, by topic.
   *
   * @returns without topics that do not exist
   * @throws CastellanError when no broker answers in time
   */
  topicConfigs(names: readonly string[], timeoutMs: number): Promise<ReadonlyMap<string, ReadonlyMap<string, string>>>
  /**
   * Where a group stands in every partition of a topic, in the order of the partitions. The offsets are asked for one
   * after another, so they belong to slightly different moments.
   *
   * @returns `undefined`: there is no such topic
   * @throws CastellanError when one of the partitions cannot be told in time
   */
  offsets(groupId: string, topic: string, timeoutMs: number): Promise<readonly GroupOffset[] | undefined>
  /**
   * Commits offsets of a group, by partition, with metadata stored as it stands. Offsets may go backwards. In partitions that
   * this process reads for the group, it goes on there at once. While others read them, the coordinator refuses the commit.
   *
   * @returns what became of each
   * @throws CastellanError when one of them failed or was not answered in time; the others may be stored
   */
  commit(
    groupId: string,
    topic: string,
    offsets: ReadonlyMap<number, OffsetAndMetadata>,
    timeoutMs: number
  ): Promise<ReadonlyMap<number, CommitOutcome>>
  /**
   * Who reads on behalf of consumer groups, as their coordinators say. Groups whose members are of the protocol of KIP-848
   * are not told of.
   *
   * Groups are described some at a time. Of all groups, those that cannot be read are left out, with a warning.
   *
   * @param groups `all`: every group that we may see
   * @param only what is asked for; of everything else nothing is made
   * @returns by group; a group without members is absent
   * @throws CastellanError when a broker does not answer in time
   */
  consumers(
    groups: readonly string[] | 'all',
    timeoutMs: number,
    only?: ReadersOnly
  ): Promise<ReadonlyMap<string, readonly GroupReader[]>>
  /**
   * Waits for a message of a topic on behalf of a consumer group. The group is joined for the first request, and left when the
   * topic is not asked for any more. A message that the client does not get is to be given back, so that another one gets it.
   *
   * @param timeoutMs `undefined`: `consumer.longPollMs`
   * @returns what to call when the client has gone away
   */
  consume(groupId: string, topic: string, timeoutMs: number | undefined, requester: Asker<ConsumeResult>): () => void
  /** The same for several messages at once: those that are there when there is one, within the limits. */
  consumeMany(
    groupId: string,
    topic: string,
    limits: MessageLimits,
    timeoutMs: number | undefined,
    requester: Asker<ConsumeManyResult>
  ): () => void
  /** Acknowledges a message that this process has offered to the group. */
  ack(groupId: string, message: MessageId): Promise<AckResult>
  /**
   * Reads a topic without a group and without an end. All readers share the fetches and the cache of the process; one that is
   * slow holds up no other.
   *
   * @throws InvalidRequestError when the topic or a partition does not exist, or there are too many partitions
   * @throws CastellanError when no broker answers in time
   */
  follow(topic: string, options: FollowOptions, sink: FollowSink): Promise<Following>
  /**
   * Numbers of the durable log, as of now. The log keeps the records of all clusters and APIs of the process that are to be
   * kept on disk.
   *
   * @returns `undefined`: there is none, or it has not been opened, since nothing was kept yet
   * @throws Error when the log cannot be asked any more
   */
  durableLog(): Promise<DurableLogStats | undefined>
  /** True once any broker has answered and until all are gone. */
  readonly isReady: boolean
}
