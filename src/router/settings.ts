import type { RoutedKind } from '../processors/accepted.js'
import type { IsolationLevel } from '../wire/broker-client.js'

/** Every limit and time of a Router. */
export interface RouterSettings {
  /** How long a reader at the end of a partition waits for records before it is told noMessages. */
  readonly fetchMaxWaitMs: number
  /** Bytes of one fetch response, over all its partitions. */
  readonly fetchMaxBytes: number
  /** Bytes of one partition in one answer; one batch is answered whole even when it is larger. */
  readonly fetchBufferBytes: number
  /** Partitions in one fetch call. */
  readonly fetchMaxPartitions: number
  /** What one fetch response may be decompressed to. Batches beyond it are asked for again; one that is larger by itself fails. */
  readonly fetchMaxDecompressedBytes: number
  /** Heap the cache of fetched batches may hold, over all brokers. */
  readonly cacheMaxBytes: number
  /** Memory for records that were decompressed, whoever reads them; the least recently read are decompressed again. */
  readonly decompressedMaxBytes: number
  /** `readCommitted` hides records of open and aborted transactions. One value per Router, since the cache is shared. */
  readonly isolationLevel: IsolationLevel
  /** Deadlines of requests, per operation: without an answer by then a request is answered `timedOut`. Its own `timeoutMs` takes precedence. */
  readonly requestTimeoutMs: Readonly<Record<Exclude<RoutedKind, 'produceBatch' | 'findCoordinator'>, number>>
  /** Time limit for one call to a broker, connecting included. */
  readonly callTimeoutMs: number
  /** Time limit for a metadata call. After half a second another broker is asked as well. */
  readonly metadataTimeoutMs: number
  /** Connections to one broker for commits and committed offsets; at least 2. */
  readonly maxGroupConnections: number
  /** When a group's call has taken this long, other groups get another connection. */
  readonly slowGroupCallMs: number
  /**
   * Longest time that what is known of a topic in use may lag behind Kafka when no broker tells. All topics in use are
   * looked up in one call at three quarters of it.
   */
  readonly metadataMaxAgeMs: number
  /** First pause between two refreshes of one topic; doubles up to `refreshBackoffMaxMs`. */
  readonly refreshBackoffMs: number
  readonly refreshBackoffMaxMs: number
  /**
   * Look-ups that must miss a topic before it counts as unknown to who reads, and answers of its leader that it does not
   * know it although look-ups name it...
   */
  readonly unknownTopicRefreshes: number
  /** Longest time until readers are told that a topic is unknown; always given to one that was known or may be created. */
  readonly unknownTopicTimeoutMs: number
  /** How long it is remembered that a topic is unknown. */
  readonly unknownTopicRememberedMs: number
  /** Missing topics that brokers are asked to create, per second. */
  readonly unknownTopicLookUpsPerSecond: number
  /** Lets brokers create topics that are produced to; reading never creates. */
  readonly allowAutoTopicCreation: boolean
  /** What to do when another Kafka cluster answers at the same addresses. `stop`: the Router fails, and the process ends. */
  readonly onClusterChange: 'follow' | 'stop'
  /** Pause before a broker that failed is tried again: first, and longest. */
  readonly brokerBackoffMs: number
  readonly brokerBackoffMaxMs: number
  /** Pause before a request is sent again that a broker could not serve yet: first, and longest. */
  readonly retryBackoffMs: number
  readonly retryBackoffMaxMs: number
  /** Most requests that wait at one dispatcher of a broker; the next is answered `overloaded`. */
  readonly maxQueuedPerDispatcher: number
  /** Requests that may wait for a leader, coordinator or broker. */
  readonly maxParkedRequests: number
  /**
   * Produce calls in flight to one broker, each over a connection of its own and for other partitions. More help where
   * the way to the broker is long; batches are smaller then.
   */
  readonly produceConnections: number
  /** Bytes of all batches in one produce request; a single batch that is larger goes alone. */
  readonly produceRequestMaxBytes: number
  /** How long a broker may wait for its in-sync replicas. */
  readonly produceBrokerTimeoutMs: number
  /** How long a batch that has not been sent may wait for a leader before it is returned to delivery, which tries it again. */
  readonly produceParkMs: number
  /** Connects when the Router starts, not with the first request. */
  readonly connectAtStart: boolean
}

const MEBIBYTE = 1024 * 1024

export const defaultRouterSettings: RouterSettings = {
  fetchMaxWaitMs: 100,
  fetchMaxBytes: 16 * MEBIBYTE,
  fetchBufferBytes: MEBIBYTE,
  fetchMaxPartitions: 2_000,
  fetchMaxDecompressedBytes: 64 * MEBIBYTE,
  cacheMaxBytes: 128 * MEBIBYTE,
  decompressedMaxBytes: 128 * MEBIBYTE,
  isolationLevel: 'readUncommitted',
  requestTimeoutMs: {
    fetchData: 30_000,
    fetchOffset: 30_000,
    fetchConsumerOffset: 30_000,
    commitConsumerOffset: 30_000,
    fetchTopicMetadata: 30_000,
    initProducerId: 30_000
  },
  callTimeoutMs: 5_000,
  maxGroupConnections: 4,
  slowGroupCallMs: 200,
  metadataTimeoutMs: 1_500,
  metadataMaxAgeMs: 10_000,
  refreshBackoffMs: 100,
  refreshBackoffMaxMs: 1_000,
  unknownTopicRefreshes: 3,
  unknownTopicTimeoutMs: 5_000,
  unknownTopicRememberedMs: 5_000,
  unknownTopicLookUpsPerSecond: 20,
  allowAutoTopicCreation: true,
  onClusterChange: 'follow',
  brokerBackoffMs: 50,
  brokerBackoffMaxMs: 10_000,
  retryBackoffMs: 50,
  retryBackoffMaxMs: 1_000,
  maxQueuedPerDispatcher: 10_000,
  maxParkedRequests: 10_000,
  produceConnections: 1,
  produceRequestMaxBytes: 8 * MEBIBYTE,
  produceBrokerTimeoutMs: 1_500,
  produceParkMs: 5_000,
  connectAtStart: true
}

export type RouterSettingsOverrides = Partial<Omit<RouterSettings, 'requestTimeoutMs'>> & {
  readonly requestTimeoutMs?: Partial<RouterSettings['requestTimeoutMs']>
}

export const toRouterSettings = (overrides: RouterSettingsOverrides = {}): RouterSettings => ({
  ...defaultRouterSettings,
  ...overrides,
  requestTimeoutMs: { ...defaultRouterSettings.requestTimeoutMs, ...overrides.requestTimeoutMs }
})
