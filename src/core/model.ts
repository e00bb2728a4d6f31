import type { ErrorCode } from './errors.js'

/** A Kafka partition. Plain data; compare with {@link topicPartitionKey}, never by identity. */
export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

/**
 * Identifies one life of a partition's log. Another topic id: the topic was deleted and created anew. Another leader
 * epoch: the leader changed, and after an unclean election the end of the log may have been lost.
 */
export interface PartitionIdentity {
  /** `undefined`: the broker does not tell. */
  readonly topicId: string | undefined
  /** -1: unknown. */
  readonly leaderEpoch: number
}

/**
 * Whether a topic is still the one that was known by this name, whose log positions are offsets of. `another`: it was deleted
 * and created anew, so that its log is a new one. `unclear`: brokers do not tell now, and are to be asked again.
 *
 * @param before its id then; `undefined`: not known, which counts as the same topic
 * @param now its id, as brokers tell
 */
export function incarnationOfTopic(
  before: string | undefined,
  now: string | undefined
): 'same' | 'another' | 'unclear' {
  if (before === undefined || before === now) return 'same'
  return now === undefined ? 'unclear' : 'another'
}

/** Neither topic id nor leader epoch is known. */
export const UNKNOWN_IDENTITY: PartitionIdentity = { topicId: undefined, leaderEpoch: -1 }

/**
 * Another Kafka cluster answers at the same addresses. Nothing that was learnt from the former cluster holds any more.
 */
export interface ClusterChange {
  /** The id of the former cluster; `undefined` when this is the first one. */
  readonly before: string | undefined
  readonly now: string
}

/**
 * A position in a partition. 64 bits on the wire; decoding checks that it is a safe integer, so it is a plain number
 * here.
 */
export type Offset = number

/** A place in a log. */
export interface LogPosition {
  readonly offset: Offset
  /** An epoch of the leader in whose log all was that is before the offset. Absent or `undefined`: unknown. */
  readonly leaderEpoch?: number | undefined
}

/** The position in an answer, or in anything else with these fields. */
export const positionIn = ({ offset, leaderEpoch }: LogPosition): LogPosition => ({
  offset,
  ...(leaderEpoch !== undefined && { leaderEpoch })
})

/** A committed offset, and the metadata that was committed with it. */
export interface OffsetAndMetadata {
  readonly offset: Offset
  /** Absent or `undefined`: none. */
  readonly metadata?: string | undefined
  /**
   * The leader epoch of the last record before the offset, or a later one in which that record was still in the log: by it a
   * group finds out that the end of the log was lost (KIP-320). Absent or `undefined`: unknown.
   */
  readonly leaderEpoch?: number | undefined
}

/** `orders/3`: used as a Map key, in logs and in test names. Unambiguous, because a topic name has no slash. */
export const topicPartitionKey = (topic: string, partition: number): string => `${topic}/${partition}`

/** Kafka's own bound, in characters. */
export const MAX_TOPIC_LENGTH = 249

const LEGAL_TOPIC_NAME = new RegExp(`^[a-zA-Z0-9._-]{1,${MAX_TOPIC_LENGTH}}$`)

/** Kafka's rule for topic names. `__proto__` is a legal one. Source: org.apache.kafka.common.internals.Topic */
export const isLegalTopicName = (name: string): boolean => LEGAL_TOPIC_NAME.test(name) && name !== '.' && name !== '..'

/** A broker as the cluster's metadata names it. Identity is `nodeId`; the address may change. */
export interface BrokerNode {
  readonly nodeId: number
  readonly host: string
  readonly port: number
  readonly rack: string | null
}

/** The address of a bootstrap broker. Its id is unknown until it has answered a metadata request. */
export interface BrokerAddress {
  readonly host: string
  readonly port: number
}

/** Bytes of a key or value. A string stands for its UTF-8 bytes; `null` is Kafka's null and differs from empty. */
export type Bytes = Buffer | string | null

/** A record header. Keys may repeat and their order is kept. */
export interface RecordHeader {
  readonly key: string
  readonly value: Buffer | null
}

/** A record on its way into Kafka. */
export interface ProduceRecord {
  readonly topic: string
  /** Absent: the partitioner decides. */
  readonly partition?: number | undefined
  readonly key: Bytes
  readonly value: Bytes
  readonly headers?: readonly RecordHeader[] | undefined
  /** Epoch milliseconds; absent: the moment the record is accepted. */
  readonly timestampMs?: number | undefined
}

/**
 * `no`: never in Kafka's log. `unknown`: zero or more times. `pending`: stored in the durable log and delivered later,
 * but the caller's deadline is over. Takes into account everything that has happened to the record.
 */
export type Persisted = 'no' | 'unknown' | 'pending'

export type RecordOutcome =
  | { readonly type: 'delivered'; readonly partition: number; readonly offset: Offset; readonly timestampMs: number }
  | RecordFailure

export interface RecordFailure {
  readonly type: 'failed'
  readonly code: ErrorCode
  /** Kafka's protocol error code when a broker said so. */
  readonly errorCode: number | undefined
  readonly message: string
  readonly persisted: Persisted
  readonly retriable: boolean
}

/** Bytes of key, value and headers. The keys of headers count by their characters. */
export const sizeOfRecord = ({ key, value, headers }: KafkaRecord): number => {
  let bytes = (key?.length ?? 0) + (value?.length ?? 0)
  for (const header of headers) bytes += header.key.length + (header.value?.length ?? 0)
  return bytes
}

/** A record read out of Kafka. Key, value and header values are views of the batch's bytes: copy what outlives it. */
export interface KafkaRecord {
  readonly offset: Offset
  readonly timestampMs: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly RecordHeader[]
}

/** From `offset` on records were written in this leader epoch, until the next one begins. */
export interface EpochStart {
  readonly offset: Offset
  readonly leaderEpoch: number
}

/** A batch as it was written: who wrote it, and where it is in the log. */
export interface BatchOrigin {
  readonly baseOffset: Offset
  /** As it was written: records in between may be gone. */
  readonly lastOffset: Offset
  /** -1: it has none. */
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
}

/**
 * Consecutive records of one partition, never empty, possibly with holes (compaction). Lazy: records are decoded
 * when asked for. Read-only and shared by many readers.
 */
export interface RecordBatch extends Iterable<KafkaRecord> {
  /** Offset of the first record. */
  readonly offset: Offset
  /** Offset of the last record. */
  readonly maxOffset: Offset
  /** What to ask for next. May lie further than `maxOffset + 1` where compaction or control records left holes. */
  readonly nextOffset: Offset
  readonly recordCount: number
  /** Bytes on the wire, after decompression. */
  readonly sizeBytes: number
  /**
   * The leader epochs in which its records were written: from `offset` on `leaderEpoch`, ascending. The first one may begin
   * before the batch. Absent: not known.
   */
  readonly leaderEpochs?: readonly EpochStart[]
  /** The written batches that its records come from, ascending; of the first one there may be a part only. Absent: not known. */
  readonly origins?: readonly BatchOrigin[]
  /** Memory that is held as long as this batch: a slice holds all of the batch it was cut from. Absent: not known. */
  readonly heapBytes?: number
  at(index: number): KafkaRecord
  /**
   * The tail starting with the first record at or after `offset`; the same object when that is the first record,
   * `undefined` when no record is left or `offset` lies before the batch.
   */
  sliceFrom(offset: Offset): RecordBatch | undefined
}

/** The logger interface of the core. pino implements it: fields come first. */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** Says nothing. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} }

/** Monotonic milliseconds for durations and deadlines. Passed in, so that tests can control the time. */
export type MonotonicClock = () => number
