import type { KafkaRecord, Offset, TopicPartition } from '../../core/model.js'
import type { Failure, TimedOut } from '../../router/messages/request.js'

/**
 * The verbs of consumer instances: named consumers that outlive a request. A client creates one, subscribes it or
 * assigns partitions to it, and reads records in further requests. An instance stays in its group between requests,
 * until it is removed or was not used for its idle time.
 */

/** The group and the name of an instance; together they are unique. */
export interface InstanceName {
  readonly groupId: string
  readonly name: string
  /** The client on whose behalf a verb is asked, for the logs of the process that carries it out. No part of the name. */
  readonly principal?: string | undefined
  /** The API that asks. An instance that another API has created is unknown to it. Absent: any. No part of the name. */
  readonly api?: string | undefined
  /** Whether the client still waits for the verb: otherwise it is not asked again. Absent: yes. No part of the name. */
  readonly isWanted?: (() => boolean) | undefined
  /** Identifies the attempt; not part of the name. Absent: the first attempt, in the process that was asked. */
  readonly attempt?: InstanceAttempt | undefined
}

/**
 * An attempt to carry out a verb. It may arrive late, after its caller has asked another process, so it says which
 * state of the instance it is meant for, and the process that gets it compares. No clock decides.
 */
export interface InstanceAttempt {
  /** Another process has passed the verb on; it knew this number of the instance. Absent: none. */
  readonly number?: string | undefined
  readonly isPassedOn: boolean
  /** An earlier attempt may still arrive elsewhere. */
  readonly isRepeated: boolean
}

/** The settings of an instance. They do not change. */
export interface InstanceSettings {
  /** The name of the API that has created the instance. */
  readonly api: string
  /** How the API writes keys and values; only the API interprets it. */
  readonly format: string
  /** Where the instance begins in partitions without a committed offset. `none`: a read of such a partition fails. */
  readonly start: 'earliest' | 'latest' | 'none'
  /** Interval of automatic commits. `undefined`: only commits that a client asks for. */
  readonly autoCommitMs: number | undefined
  /** A read waits for this many bytes of keys and values, or for its time limit. `undefined`: for the first record. */
  readonly minBytes: number | undefined
  /** The longest wait of a read, in milliseconds. */
  readonly maxWaitMs: number
  /** Limit for the bytes of keys and values in one read. One record is returned however large it is. */
  readonly maxBytes: number
  /** The instance is removed when it is not used for this time. `undefined`: it is never removed. */
  readonly idleMs: number | undefined
}

/** The topics that an instance reads as a member of its group. */
export type InstanceTopics =
  | { readonly topics: readonly string[] }
  /**
   * A regular expression in RE2's syntax, which has to match a whole name. Internal topics do not match, nor those that
   * `includes` leaves out, which the client may not read.
   */
  | { readonly pattern: string; readonly includes?: ((topic: string) => boolean) | undefined }

/** The next position of an assigned partition. */
export interface InstancePosition extends TopicPartition {
  readonly position: Offset | 'beginning' | 'end' | { readonly timestampMs: number }
}

export interface InstanceOffset extends TopicPartition {
  readonly offset: Offset
  readonly metadata: string
}

/** A record of a read. Key, value and header values are views of fetched bytes, valid until the read is settled. */
export interface InstanceRecord extends KafkaRecord, TopicPartition {}

export interface InstanceReadLimits {
  /** The wait of this read is this, or `maxWaitMs` of the instance when that is less. `undefined`: `maxWaitMs`. */
  readonly timeoutMs: number | undefined
  /** The limit of this read is this, or `maxBytes` of the instance when that is less. `undefined`: `maxBytes`. */
  readonly maxBytes: number | undefined
  /** The formats that the client takes. An instance of another one reads nothing. `undefined`: all. */
  readonly formats?: readonly string[] | undefined
  /** The client to whose share of the memory for answers the records of another process count. Absent: {@link NAMELESS}. */
  readonly client?: string | undefined
  /** When it is aborted, the client is gone: the read ends without records, which stay in the instance. */
  readonly gone?: AbortSignal | undefined
}

/** The records of a read, in the order of their offsets in each partition. */
export interface InstanceRead {
  readonly records: readonly InstanceRecord[]
  readonly format: string
  /** How long it was to wait for records, in milliseconds. Absent: another process has read, of an earlier release. */
  readonly waitMs?: number | undefined
  /**
   * Ends the read; to be called exactly once. The next read of the instance begins only then, or after five
   * minutes, which returns all records to the instance.
   *
   * @param accepted how many of the first records the client has got. Further records are returned by the next read.
   *   Automatic commits and empty commits cover accepted records only
   */
  settle(accepted: number): void
  /** Another process has the records from now on, counts their bytes, and writes the answer. */
  passedOn?(): void
}

export type UnknownInstance = { readonly type: 'unknownInstance' }
/** The instance is not in a state for this: it is subscribed, or not, or the partition is not assigned to it. */
export type IllegalState = { readonly type: 'illegalState'; readonly message: string }
/** Result of a read: the client does not take the format of the instance. */
export type OtherFormat = { readonly type: 'otherFormat'; readonly format: string }

/** The result of a verb. A failed or late verb may have had its effect. */
export type InstanceResult<Value> =
  | { readonly type: 'done'; readonly value: Value }
  | UnknownInstance
  | IllegalState
  | OtherFormat
  | Failure
  | TimedOut

export interface DescribedInstance {
  readonly subscription: readonly string[]
  readonly assignment: readonly TopicPartition[]
}

/** Whether a process had the instance, and has given it up. A text: it has the instance, which has this other number. */
export type Released = boolean | string

/** Asks another process to give up an instance of this number. */
export type AskToRelease = (owner: string, instance: InstanceName, number: string | undefined) => Promise<Released>

/** How processes hand instances over whose states are in Kafka. */
export interface InstanceOwners {
  /** Tells how other processes know this one. To be called before the first verb. */
  identify(id: string, askToRelease: AskToRelease): void
  /**
   * Ends an instance in this process, so that another one can continue it; automatic commits are made before.
   *
   * @param instance with an attempt: only if the instance has the number that it names
   */
  release(instance: InstanceName): Promise<Released>
}

/** The verbs whose arguments and results are plain data. */
export const PLAIN_INSTANCE_VERBS = [
  'create',
  'settingsOf',
  'remove',
  'subscription',
  'unsubscribe',
  'assign',
  'assignment',
  'describe',
  'seek',
  'commit',
  'committed'
] as const
export type PlainInstanceVerb = (typeof PLAIN_INSTANCE_VERBS)[number]

/** The verbs of the instances of one Kafka cluster. Every verb but `settingsOf` restarts the idle time. */
export interface InstanceVerbs {
  /**
   * Creates an instance. Settings must be valid.
   *
   * @param client who gets a share of the places for instances
   * @returns `false`: the group has an instance of this name
   */
  create(
    instance: InstanceName,
    settings: InstanceSettings,
    client: string | undefined
  ): Promise<InstanceResult<boolean>>
  settingsOf(instance: InstanceName): Promise<InstanceResult<InstanceSettings>>
  /** Commits what automatic commits would commit, leaves the group, and removes the instance. */
  remove(instance: InstanceName): Promise<InstanceResult<void>>
  /**
   * Subscribes to topics, in place of those of an earlier subscription. The instance joins its group at once.
   * `illegalState`: partitions were assigned to it. `failed` with code `invalidRequest`: a bad pattern or topic name.
   */
  subscribe(instance: InstanceName, topics: InstanceTopics): Promise<InstanceResult<void>>
  /** The subscribed topics; for a pattern those that match it now. Empty: none. */
  subscription(instance: InstanceName): Promise<InstanceResult<readonly string[]>>
  /** Subscription and assignment of one moment. */
  describe(instance: InstanceName): Promise<InstanceResult<DescribedInstance>>
  /** Ends a subscription or an assignment. The instance leaves its group. */
  unsubscribe(instance: InstanceName): Promise<InstanceResult<void>>
  /** Assigns partitions in place of an earlier assignment. `illegalState`: the instance is subscribed. */
  assign(instance: InstanceName, partitions: readonly TopicPartition[]): Promise<InstanceResult<void>>
  /** The partitions that the instance reads now, sorted. With a subscription, it has some once it has joined its group. */
  assignment(instance: InstanceName): Promise<InstanceResult<readonly TopicPartition[]>>
  /** Moves the position of partitions that it reads, all or none. `illegalState`: it does not read one of them. */
  seek(instance: InstanceName, positions: readonly InstancePosition[]): Promise<InstanceResult<void>>
  /** Reads records. Reads of an instance are answered one after another. */
  read(instance: InstanceName, limits: InstanceReadLimits): Promise<InstanceResult<InstanceRead>>
  /**
   * Commits offsets; resolves when Kafka has them.
   *
   * @param offsets stored as given; `accepted`: the positions after the accepted records
   */
  commit(instance: InstanceName, offsets: readonly InstanceOffset[] | 'accepted'): Promise<InstanceResult<void>>
  /** The committed offsets of the group in these partitions. Partitions without one are absent. */
  committed(
    instance: InstanceName,
    partitions: readonly TopicPartition[]
  ): Promise<InstanceResult<readonly InstanceOffset[]>>
  /**
   * Absent: the states of instances are in memory alone. Otherwise a verb for an instance whose process is gone continues
   * it in this process.
   */
  readonly owners?: InstanceOwners | undefined
  /** The number of an instance, or of the moment in which there is none. Absent: calls that are late count. */
  readonly numberOf?: ((instance: InstanceName) => string) | undefined
}
