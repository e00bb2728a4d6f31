import type { ErrorCode } from './errors.js'

/** A Kafka partition. Plain data; compare with {@link topicPartitionKey}, never by identity. */
export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

/**
 * Identifies one incarnation of a partition's log. The topic id changes when a topic is deleted and created again. The
 * leader epoch changes with the leader. After an unclean leader election, the end of the log may be lost.
 */
export interface PartitionIdentity {
  /** `undefined`: the broker does not report it. */
  readonly topicId: string | undefined
  /** -1: unknown. */
  readonly leaderEpoch: number
}

/**
 * Whether a topic is still the incarnation that was known before. `another`: the topic was deleted and created again,
 * so known offsets do not apply to its log. `unclear`: the brokers report no id at the moment and have to be asked
 * again.
 * @param before the known id; `undefined`: no id is known, and the result is `same`
 * @param now the id that brokers report
 */
export function incarnationOfTopic(
  before: string | undefined,
  now: string | undefined
): 'same' | 'another' | 'unclear' {
  if (before === undefined || before === now) return 'same'
  return now === undefined ? 'unclear' : 'another'
}

export const UNKNOWN_IDENTITY: PartitionIdentity = { topicId: undefined, leaderEpoch: -1 }

/** Another Kafka cluster answers at the same addresses. Metadata, offsets and ids of the former cluster do not apply to it. */
export interface ClusterChange {
  /** The id of the former cluster; `undefined`: there was none. */
  readonly before: string | undefined
  readonly now: string
}

/**
 * A position in a partition. Offsets have 64 bits in the protocol, but decoders accept safe integers only, so a number
 * is enough.
 */
export type Offset = number

export interface LogPosition {
  readonly offset: Offset
  /** A leader epoch whose log contains every record before the offset. Absent or `undefined`: unknown. */
  readonly leaderEpoch?: number | undefined
}

/** Copies the fields of the position from an object with more fields. */
export const positionIn = ({ offset, leaderEpoch }: LogPosition): LogPosition => ({
  offset,
  ...(leaderEpoch !== undefined && { leaderEpoch })
})

export interface OffsetAndMetadata {
  readonly offset: Offset
  /** Absent or `undefined`: none. */
  readonly metadata?: string | undefined
  /**
   * The leader epoch of the last record before the offset, or a later epoch whose log still contains that record. A
   * group uses it to detect that the end of the log was lost (KIP-320). Absent or `undefined`: unknown.
   */
  readonly leaderEpoch?: number | undefined
}

/**
 * Returns for example `orders/3`: a Map key, and a name for logs and tests. It is unambiguous, because topic names have
 * no slash.
 */
export const topicPartitionKey = (topic: string, partition: number): string => `${topic}/${partition}`

/** Kafka's limit for the length of a topic name, in characters. */
export const MAX_TOPIC_LENGTH = 249

const LEGAL_TOPIC_NAME = new RegExp(`^[a-zA-Z0-9._-]{1,${MAX_TOPIC_LENGTH}}$`)

/** Limit of the headers of one record. A body of megabytes could otherwise have a million of them. */
export const MAX_RECORD_HEADERS = 1_000

/** Kafka's rule for topic names. `__proto__` is legal. Source: org.apache.kafka.common.internals.Topic */
export const isLegalTopicName = (name: string): boolean => LEGAL_TOPIC_NAME.test(name) && name !== '.' && name !== '..'

/** A broker in the cluster's metadata. `nodeId` identifies it; its address may change. */
export interface BrokerNode {
  readonly nodeId: number
  readonly host: string
  readonly port: number
  readonly rack: string | null
}

/** The address of a broker whose id is unknown, such as a bootstrap broker. */
export interface BrokerAddress {
  readonly host: string
  readonly port: number
}

/** A key or value. A string stands for its UTF-8 bytes. `null` is Kafka's null, which is not the same as empty. */
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
 * Whether a record is in Kafka's log, judged by all attempts to write it. `no`: it is not there. `unknown`: it may be
 * there, even several times. `pending`: it is in the durable log, and is delivered after the caller's deadline.
 */
export type Persisted = 'no' | 'unknown' | 'pending'

export type RecordOutcome =
  | { readonly type: 'delivered'; readonly partition: number; readonly offset: Offset; readonly timestampMs: number }
  | RecordFailure

export interface RecordFailure {
  readonly type: 'failed'
  readonly code: ErrorCode
  /** Kafka's protocol error code; `undefined`: no broker answered with an error. */
  readonly errorCode: number | undefined
  readonly message: string
  readonly persisted: Persisted
  readonly retriable: boolean
  /** The setting whose limit refuses the record; absent: it comes from none. */
  readonly setting?: string | undefined
}

/** The bytes of key, value and headers. A character in the key of a header counts as one byte. */
export const sizeOfRecord = ({ key, value, headers }: KafkaRecord): number => {
  let bytes = (key?.length ?? 0) + (value?.length ?? 0)
  // Most records have none, and an iterator over none costs about 90 bytes.
  if (headers.length > 0) for (const { key, value } of headers) bytes += key.length + (value?.length ?? 0)
  return bytes
}

/** The content of a record that was read from Kafka. */
export interface RecordContent {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly RecordHeader[]
}

/** A record read from Kafka. Key, value and header values are views of the bytes of its batch: copy them to keep them. */
export interface KafkaRecord extends RecordContent {
  readonly offset: Offset
  readonly timestampMs: number
}

/** Records from `offset` on were written in this leader epoch, up to the start of the next epoch. */
export interface EpochStart {
  readonly offset: Offset
  readonly leaderEpoch: number
}

export interface BatchOrigin {
  readonly baseOffset: Offset
  /** The last offset of the batch as it was written. Compaction may have removed this record. */
  readonly lastOffset: Offset
  /** -1: the producer has no id. */
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
}

/**
 * Consecutive records of one partition. A batch has at least one record; compaction may have removed others. Records
 * are decoded when a reader iterates over them. A batch is read-only and shared by many readers.
 */
export interface RecordBatch extends Iterable<KafkaRecord> {
  /** Offset of the first record. */
  readonly offset: Offset
  readonly maxOffset: Offset
  /** The offset to fetch next. It is above `maxOffset + 1` where compaction or control records leave gaps. */
  readonly nextOffset: Offset
  readonly recordCount: number
  /** Bytes on the wire, after decompression. */
  readonly sizeBytes: number
  /**
   * The leader epochs in which its records were written, ascending. The first epoch may begin before the batch. Absent:
   * unknown.
   */
  readonly leaderEpochs?: readonly EpochStart[]
  /**
   * The batches in the log that its records come from, ascending. Its first record need not be the first record of a
   * batch in the log. Absent: unknown.
   */
  readonly origins?: readonly BatchOrigin[]
  /** Memory in bytes that this batch keeps alive. A slice keeps its whole original batch alive. Absent: unknown. */
  readonly heapBytes?: number
  at(index: number): KafkaRecord
  /**
   * The records at or after `offset`. Returns this object when these are all its records, and `undefined` when there is
   * no such record or `offset` is before the batch.
   */
  sliceFrom(offset: Offset): RecordBatch | undefined
}

/** The logger interface of all of Castellan; pino implements it. */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} }

/**
 * Returns monotonic milliseconds, for durations and deadlines. It is passed as a parameter, so that tests can control
 * the time.
 */
export type MonotonicClock = () => number

/**
 * A time 12 days before the start of a {@link MonotonicClock}. Fields that exist once per topic hold whole
 * milliseconds: V8 stores up to 24 days in the field, and needs an object for any other number.
 */
export const LONG_AGO = -(2 ** 30)
export const SECOND_MS = 1_000
export const DAY_MS = 86_400_000

/** A part of work that is counted. */
export interface Amount {
  readonly records: number
  readonly bytes: number
}

/**
 * Told often while long work is done; a count that is not known is 0.
 *
 * @param of the part of the work to which both belong
 */
export type TellProgress = (done: Amount, left: Amount, of?: string) => void

/** Longest delay of a timer in Node, 24.8 days; a timer with a longer delay fires at once. */
export const MAX_TIMER_MS = 0x7fffffff
