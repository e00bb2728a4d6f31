import { type PartitionIdentity, type TopicPartition, topicPartitionKey } from '../../core/model.js'

/**
 * A partition as the Router knows it. There is one object for each partition of a known topic, which an open request refers
 * to, so that nothing about the partition has to be found by its name again.
 */
export interface PartitionOfRequest extends TopicPartition {
  /** `orders/3` */
  readonly key: string
  readonly of: TopicFreshness
  /** -1: the partition has no leader. */
  leaderId: number
  /** This object is replaced instead of changed, so another object means another topic id or leader epoch. */
  identity: PartitionIdentity
  /** The leader is in doubt until a refresh that begins after this moment. 0: the leader is not in doubt. */
  suspectSince: number
  /** The leader is in doubt because it has answered that it does not know the partition. */
  isDenied: boolean
  /** Answers in a row with an epoch that is lower than the known epoch. */
  lowerEpochs: number
  /** The topic is not known any more, or has fewer partitions. */
  isForgotten: boolean
  /** Replicas of the partition are missing, according to the last answer to a batch; see ProduceAdmission. */
  isUnhealthy: boolean
  /** A batch was written to it since it was found. */
  isProven: boolean
  /** The number of the last produce call with a batch of it. */
  call: number
}

/** State of a partition's topic that the Router uses for batches. */
export interface TopicFreshness {
  /** The place of its first batch in the last Produce call that had one: only a guess where that may be another call. */
  place: number
  /** Time until which the topic counts as new: its partitions may still wait for their replicas. */
  readonly newUntil: number
}

/** A partition that was found. */
export class KnownPartition implements PartitionOfRequest {
  readonly of: TopicFreshness
  readonly topic: string
  readonly partition: number
  leaderId: number
  identity: PartitionIdentity
  suspectSince = 0
  isDenied = false
  lowerEpochs = 0
  isForgotten = false
  isUnhealthy = false
  isProven = false
  call = 0
  #key: string | undefined

  constructor(of: TopicFreshness, topic: string, partition: number, leaderId: number, identity: PartitionIdentity) {
    this.of = of
    this.topic = topic
    this.partition = partition
    this.leaderId = leaderId
    this.identity = identity
  }

  /** Made when it is needed: writers of thousands of topics need none. */
  get key(): string {
    this.#key ??= topicPartitionKey(this.topic, this.partition)
    return this.#key
  }
}
