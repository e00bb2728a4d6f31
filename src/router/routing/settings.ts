import { z } from 'zod'
import { parseOptions } from '../../core/settings/options.js'
import { bytes, count, milliseconds, millisecondsOrZero } from '../../core/settings/units.js'
import { operations } from '../processors/operations.js'

const MIB = 1024 * 1024

type Operations = typeof operations
type TimedKind = {
  [Kind in keyof Operations]: Operations[Kind] extends { deadline: string } ? Kind : never
}[keyof Operations]

const deadlines = (
  Object.values(operations) as readonly { readonly kind: string; readonly deadline?: string }[]
).flatMap(({ kind, deadline }) =>
  deadline === undefined ? [] : [[kind, milliseconds.default(30_000).describe(deadline)]]
)

const requestTimeouts = z
  .strictObject(Object.fromEntries(deadlines) as Record<TimedKind, z.ZodDefault<z.ZodNumber>>)
  .prefault({})
  .describe(
    'Deadlines of requests to the Router: a request without an answer by then is answered `timedOut`. A time-out in the request itself takes precedence'
  )

const section = z.strictObject({
  fetchMaxWaitMs: millisecondsOrZero
    .default(100)
    .describe(
      'How long a reader at the end of a partition waits for records before it is told `noMessages`; 0: it does not wait'
    ),
  fetchMaxBytes: bytes.default(16 * MIB).describe('Largest fetch response, all its partitions together'),
  fetchBufferBytes: bytes
    .default(1 * MIB)
    .describe(
      'Largest part of one partition in a fetch response; a single batch is returned whole even when it is larger'
    ),
  fetchMaxPartitions: count
    .default(2_000)
    .describe('Most partitions in one fetch call; a long poll at the ends of logs takes ten times as many'),
  fetchMaxDecompressedBytes: bytes
    .default(64 * MIB)
    .describe(
      'How many bytes one fetch response may have after decompression. Batches beyond that are fetched again; readers of a single batch that is larger are answered `failed` (`batchTooLarge`). A response is decompressed in one turn of the event loop, so behind its first batch no more than 16 MiB are; a single batch of 64 MiB holds up everything else for about 0.1 s with gzip or zstd, 0.3 s with snappy or lz4'
    ),
  isolationLevel: z
    .enum(['readUncommitted', 'readCommitted'])
    .default('readUncommitted')
    .describe('`readCommitted` hides records of transactions that are open or aborted'),
  requestTimeoutMs: requestTimeouts,
  callTimeoutMs: milliseconds.default(5_000).describe('Time limit for one call to a broker, connecting included'),
  metadataTimeoutMs: milliseconds
    .default(1_500)
    .describe('Time limit for a metadata call. After half a second another broker is asked as well'),
  maxGroupConnections: z
    .int()
    .min(2)
    .default(4)
    .describe(
      'Most connections to one broker for commits and committed offsets; those after the first are opened while groups are slow'
    ),
  slowGroupCallMs: milliseconds
    .default(200)
    .describe('When a call of one group has taken this long, the other groups use another connection'),
  metadataMaxAgeMs: milliseconds
    .default(10_000)
    .describe(
      'Greatest age of the metadata of a topic in use: a deleted topic is read from the cache for no longer than this, and added partitions are seen by then. All topics in use are looked up in one call when three quarters of this time have passed'
    ),
  refreshBackoffMs: milliseconds
    .default(100)
    .describe('First pause between two metadata refreshes for one topic; it doubles each time'),
  refreshBackoffMaxMs: milliseconds
    .default(1_000)
    .describe('Longest pause between two metadata refreshes for one topic'),
  unknownTopicRefreshes: count
    .default(3)
    .describe(
      'How many look-ups in a row must miss a topic before readers are told that it is unknown. Where look-ups still find the topic, its leader must deny it as often'
    ),
  unknownTopicTimeoutMs: milliseconds
    .default(5_000)
    .describe(
      'Longest time until a missing topic counts as unknown. It does sooner for those who read, after `unknownTopicRefreshes`, and for those who write after as many and half a second where it will not be created: by `delivery.createTopics`, or as brokers say by `auto.create.topics.enable`. A topic that was known before never does. Where it may be created, the time begins again with the first attempt'
    ),
  unknownTopicRememberedMs: milliseconds.default(5_000).describe('How long it is remembered that a topic is unknown'),
  unknownTopicLookUpsPerSecond: count
    .default(20)
    .describe(
      'How many missing topics per second the brokers are asked to create. Look-ups create nothing and are not limited'
    ),
  onClusterChange: z
    .enum(['follow', 'stop'])
    .default('follow')
    .describe(
      'When another Kafka cluster (its id differs) answers at the same addresses: `follow` forgets all that is known and goes on with it, `stop` ends the process'
    ),
  brokerBackoffMs: milliseconds
    .default(50)
    .describe('First pause before a broker that failed is tried again; it doubles each time'),
  brokerBackoffMaxMs: milliseconds.default(10_000).describe('Longest pause before a broker that failed is tried again'),
  retryBackoffMs: milliseconds
    .default(50)
    .describe('First pause before a request that a broker could not serve is sent again; it doubles each time'),
  retryBackoffMaxMs: milliseconds.default(1_000).describe('Longest pause before such a request is sent again'),
  maxQueuedPerDispatcher: count
    .default(10_000)
    .describe(
      'Most requests that wait at one dispatcher of a broker; further ones are refused as overload. When three quarters of the places are taken, readers that have waited at the end of a partition for a second are told `noMessages`, so that others get their turn'
    ),
  maxWaitingRequests: count
    .default(10_000)
    .describe(
      'Most requests that wait for a leader, a coordinator or a broker; further ones are refused as overload. Requests for topics that brokers say are missing may fill half of it, requests for all unknown topics together three quarters'
    ),
  produceConnections: count
    .max(5)
    .default(1)
    .describe(
      'Most produce calls in flight to one broker, each on its own connection and for different partitions. More than one helps when the round trip to the broker is long; batches are smaller then'
    ),
  produceRequestMaxBytes: bytes
    .default(8 * MIB)
    .describe(
      'Largest produce request, all its batches together; a single batch that is larger is sent alone. Halved for a broker that closes the connection on such a request (its `socket.request.max.bytes`)'
    ),
  produceBrokerTimeoutMs: milliseconds
    .default(1_500)
    .describe('How long a broker may wait for its in-sync replicas to acknowledge a produce request'),
  produceWaitMs: milliseconds
    .default(5_000)
    .describe(
      'How long a batch that has not been sent may wait for a leader before it is returned to delivery, which tries it again'
    )
})

/** Requests to Kafka: the section `router` of the configuration. */
export const routerSettings = section.prefault({}).describe('The Router: requests to Kafka')

const cache = z.strictObject({
  maxBytes: bytes
    .default(16 * MIB)
    .describe(
      'Memory for fetched record batches, all brokers together. More of it saves fetches where many readers read the same records at different times'
    ),
  decompressedMaxBytes: bytes
    .default(128 * MIB)
    .describe(
      'Memory for decompressed records, shared by all clusters and readers of the process. The least recently read ones are dropped first, and decompressed again when they are needed'
    )
})

/** The section `cache`. */
export const cacheSettings = cache.prefault({}).describe('Fetched record batches, shared by all readers')

/** What a Router can be told. In the configuration the last four stand in other sections, or nowhere. */
const options = section.extend({
  cacheMaxBytes: cache.shape.maxBytes,
  decompressedMaxBytes: cache.shape.decompressedMaxBytes,
  allowAutoTopicCreation: z
    .boolean()
    .default(true)
    .describe('Lets brokers create topics that are written to; reading never creates one'),
  connectAtStart: z.boolean().default(true).describe('Connects when the Router starts, not with the first request')
})

/** The options of a Router, as `openCastellan({ router })` takes them. */
export const routerOptions = options.prefault({})

/** Every limit and time of a Router; docs/router.md and docs/configuration.md describe them. */
export type RouterSettings = Readonly<z.output<typeof options>>

export const defaultRouterSettings: RouterSettings = options.parse({})

export type RouterSettingsOverrides = Partial<Omit<RouterSettings, 'requestTimeoutMs'>> & {
  readonly requestTimeoutMs?: Partial<RouterSettings['requestTimeoutMs']>
}

/** @throws ConfigError naming every setting that is wrong */
export const toRouterSettings = (overrides: RouterSettingsOverrides = {}): RouterSettings =>
  parseOptions(options, overrides, 'startRouter', 'settings')
