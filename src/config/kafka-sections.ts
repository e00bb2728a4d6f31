import { z } from 'zod'
import { bytes, count, milliseconds } from './units.js'

const KIB = 1024
const MIB = 1024 * KIB

const requestTimeouts = z
  .strictObject({
    fetchData: milliseconds.default(30_000).describe('FetchData'),
    fetchOffset: milliseconds.default(30_000).describe('FetchOffset'),
    fetchConsumerOffset: milliseconds.default(30_000).describe('FetchConsumerOffset'),
    commitConsumerOffset: milliseconds.default(30_000).describe('CommitConsumerOffset'),
    fetchTopicMetadata: milliseconds.default(30_000).describe('FetchTopicMetadata'),
    initProducerId: milliseconds.default(30_000).describe("Delivery's request for a producer id")
  })
  .prefault({})
  .describe('When a request nobody has answered is answered `timedOut`; a time-out in the request goes first')

export const routerSettings = z
  .strictObject({
    fetchMaxWaitMs: milliseconds
      .default(100)
      .describe('How long a reader at the end of a partition waits for records before it is told `noMessages`'),
    fetchMaxBytes: bytes.default(16 * MIB).describe('One fetch response, over all its partitions'),
    fetchBufferBytes: bytes
      .default(1 * MIB)
      .describe('One partition in one answer; a single batch is answered whole even when it is larger'),
    fetchMaxPartitions: count.default(2_000).describe('Partitions in one fetch call'),
    fetchMaxDecompressedBytes: bytes
      .default(64 * MIB)
      .describe(
        'What one fetch response may be decompressed to; batches beyond it are asked for again, and a batch that is larger by itself is answered `failed` (`batchTooLarge`)'
      ),
    isolationLevel: z
      .enum(['readUncommitted', 'readCommitted'])
      .default('readUncommitted')
      .describe('`readCommitted` hides records of transactions that are open or aborted'),
    requestTimeoutMs: requestTimeouts,
    callTimeoutMs: milliseconds
      .default(5_000)
      .describe('How long one exchange with a broker may take, connecting included'),
    metadataTimeoutMs: milliseconds
      .default(1_500)
      .describe('The same for a refresh of metadata, which then asks another broker'),
    maxGroupConnections: z
      .int()
      .min(2)
      .default(4)
      .describe('Connections to one broker for commits and committed offsets; opened as groups are slow'),
    slowGroupCallMs: milliseconds
      .default(200)
      .describe('When a call of one group has taken this long, other groups get another connection'),
    metadataMaxAgeMs: milliseconds
      .default(10_000)
      .describe(
        'Longest time that what is known of a topic in use may lag behind Kafka when no broker tells: a deleted topic is read from the cache no longer than this, and added partitions are seen. All topics in use are looked up in one call at three quarters of it'
      ),
    refreshBackoffMs: milliseconds.default(100).describe('First pause between two refreshes of one topic; doubles'),
    refreshBackoffMaxMs: milliseconds.default(1_000).describe('Longest such pause'),
    unknownTopicRefreshes: count
      .default(3)
      .describe(
        'Look-ups that must miss a topic before it counts as unknown to who reads; also how often its leader must say so while look-ups name the topic'
      ),
    unknownTopicTimeoutMs: milliseconds
      .default(5_000)
      .describe('Longest that takes; a topic that was known, or may be created, is given this long'),
    unknownTopicRememberedMs: milliseconds.default(5_000).describe('How long the answer is remembered'),
    unknownTopicLookUpsPerSecond: count
      .default(20)
      .describe(
        'Missing topics that brokers are asked to create, per second; looking up names that nobody knows is not limited, since it creates nothing'
      ),
    onClusterChange: z
      .enum(['follow', 'stop'])
      .default('follow')
      .describe(
        'When another Kafka cluster (its id differs) answers at the same addresses: `follow` forgets all that is known and goes on with it, `stop` ends the process'
      ),
    brokerBackoffMs: milliseconds
      .default(50)
      .describe('First pause before a broker that failed is tried again; doubles'),
    brokerBackoffMaxMs: milliseconds.default(10_000).describe('Longest such pause'),
    retryBackoffMs: milliseconds
      .default(50)
      .describe('First pause before a request is sent again that a broker could not serve yet; doubles'),
    retryBackoffMaxMs: milliseconds.default(1_000).describe('Longest such pause'),
    maxQueuedPerDispatcher: count
      .default(10_000)
      .describe('Requests that may wait at one dispatcher of a broker; more are refused as overload'),
    maxParkedRequests: count
      .default(10_000)
      .describe(
        'Requests that may wait for a leader, a coordinator or a broker; more are refused as overload. Names that brokers say are missing may fill half of it, all names that are not known three quarters'
      ),
    produceConnections: count
      .max(5)
      .default(1)
      .describe(
        'Produce calls in flight to one broker, each on a connection of its own, for different partitions. More help where the way to the broker is long; batches are smaller then'
      ),
    produceRequestMaxBytes: bytes
      .default(8 * MIB)
      .describe(
        'All batches in one produce request; a single batch that is larger goes alone. Halved for a broker that closes the connection on such a request (its `socket.request.max.bytes`)'
      ),
    produceBrokerTimeoutMs: milliseconds.default(1_500).describe('How long a broker may wait for its in-sync replicas'),
    produceParkMs: milliseconds
      .default(5_000)
      .describe('How long a batch that has not been sent may look for its leader before it goes back to its lane')
  })
  .prefault({})
  .describe('The Router: requests to Kafka')

export const deliverySettings = z
  .strictObject({
    maxBytes: bytes
      .default(64 * MIB)
      .describe(
        'Records waiting for Kafka, all partitions together, bookkeeping included; more are refused as overload'
      ),
    maxLaneBytes: bytes
      .default(16 * MIB)
      .describe('The same for one partition, so that a stuck one leaves room for the others'),
    batchMaxBytes: bytes
      .default(1_000_000)
      .describe("One record batch; at most the topics' `max.message.bytes`. A single larger record travels alone"),
    maxRecordBytes: bytes.default(1 * MIB).describe('Key, value and headers of one record; larger ones are refused'),
    timeoutMs: milliseconds
      .default(120_000)
      .describe(
        'How long a batch that may have reached a broker is tried again before it is given up, and the longest any record waits'
      ),
    unknownTopicWaitMs: milliseconds
      .default(5_000)
      .describe('How long records wait for a topic the brokers do not know; their answer is remembered as long'),
    unknownTopicMaxBytes: bytes
      .default(1 * MIB)
      .describe(
        'Records that wait for one such topic. A topic that is being looked up has the room of `maxLaneBytes` instead; all such topics together have a quarter of `maxBytes`'
      ),
    maxUnknownTopics: count
      .default(1_000)
      .describe(
        'Such topics at one time. When there are more, the records of the topic that was missing first are answered that it does not exist'
      ),
    maxPendingTopics: count
      .default(10_000)
      .describe(
        'Topics that records wait for while no broker has answered for them yet; records of further ones are refused. One request may add a quarter of them'
      ),
    createTopics: z
      .boolean()
      .default(true)
      .describe('Lets the brokers create a topic somebody writes to, if they are set up to'),
    lookUpIntervalMs: milliseconds
      .default(50)
      .describe(
        'Least time between two look-ups of new topics, between two of missing ones, and between two refreshes'
      ),
    retryBackoffMs: milliseconds.default(100).describe('Wait before a batch is tried again; doubles with every try'),
    retryBackoffMaxMs: milliseconds.default(1_000).describe('Longest such wait'),
    answerTimeoutMs: milliseconds
      .default(60_000)
      .describe('How long the Router may keep a batch before it counts as unanswered'),
    compression: z
      .enum(['none', 'gzip', 'snappy', 'lz4', 'zstd'])
      .default('none')
      .describe('How record batches are compressed before they are sent')
  })
  .prefault({})
  .describe('Writing: lanes per partition')

export const cacheSettings = z
  .strictObject({
    maxBytes: bytes.default(128 * MIB).describe('Memory for fetched record batches, all brokers together'),
    decompressedMaxBytes: bytes
      .default(128 * MIB)
      .describe(
        'Memory for records that were decompressed, all clusters and readers of the process together; the least recently read are decompressed again when they are read again'
      )
  })
  .prefault({})
  .describe('Fetched record batches, shared by all readers')
