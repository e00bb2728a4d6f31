import type { CompressionCodec } from '../wire/compression.js'

const KIB = 1024
const MIB = 1024 * KIB

/** Every limit of delivery; what is absent has the default. */
export interface DeliverySettings {
  /** Records waiting for Kafka, all lanes together, bookkeeping included; more are refused as overload. */
  readonly maxBytes: number
  /** The same for one lane, so that a stuck partition leaves room for the others. */
  readonly maxLaneBytes: number
  /** One record batch, header included. A single record that is larger travels alone. */
  readonly batchMaxBytes: number
  /** Key, value and headers of one record; larger ones are refused. */
  readonly maxRecordBytes: number
  /** How long a sealed batch is tried before it is given up, and the longest any record waits to be sealed. */
  readonly timeoutMs: number
  /** How long records wait for a topic the brokers say they do not know. A negative answer is remembered as long. */
  readonly unknownTopicWaitMs: number
  /** Records that wait for one such topic. A topic that is being looked up may hold as many bytes as a lane instead. */
  readonly unknownTopicMaxBytes: number
  /** Most topics that brokers denied and records wait for; beyond it, records of the one denied first fail. */
  readonly maxUnknownTopics: number
  /** Topics that records wait for and that no broker has answered for yet; records of further ones are refused. */
  readonly maxPendingTopics: number
  /** Lets the brokers create a topic that is produced to. */
  readonly createTopics: boolean
  /** Topics in use are looked up again after this, which is how added partitions are seen. */
  readonly metadataMaxAgeMs: number
  /** Least time between two look-ups of new topics, between two of missing ones, and between two refreshes. */
  readonly lookUpIntervalMs: number
  /** First wait before a batch is tried again; doubles up to `retryBackoffMaxMs`, plus or minus a fifth. */
  readonly retryBackoffMs: number
  readonly retryBackoffMaxMs: number
  /** How long the Router may keep a batch or a look-up before it counts as unanswered. */
  readonly answerTimeoutMs: number
  readonly compression: CompressionCodec
}

export const defaultDeliverySettings: DeliverySettings = {
  maxBytes: 64 * MIB,
  maxLaneBytes: 16 * MIB,
  batchMaxBytes: 1_000_000,
  maxRecordBytes: 1 * MIB,
  timeoutMs: 120_000,
  unknownTopicWaitMs: 5_000,
  unknownTopicMaxBytes: 1 * MIB,
  maxUnknownTopics: 1_000,
  maxPendingTopics: 10_000,
  createTopics: true,
  metadataMaxAgeMs: 10_000,
  lookUpIntervalMs: 50,
  retryBackoffMs: 100,
  retryBackoffMaxMs: 1_000,
  answerTimeoutMs: 60_000,
  compression: 'none'
}
