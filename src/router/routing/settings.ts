import { z } from 'zod'
import { MIB } from '../../core/bytes.js'
import { defaultsOf, parseOptions } from '../../core/settings/options.js'
import { bytes, constantOptions, count, milliseconds, millisecondsOrZero } from '../../core/settings/units.js'

/** Constants of a Router. No deployment has needed other values. Tests pass other values to `startRouter`. */
const constants = {
  /**
   * Connections to one broker: one for groups with quick calls, and three for slow groups. Each costs the broker a
   * socket.
   */
  maxGroupConnections: 4,
  /**
   * A group call is slow after this time. A commit on a busy broker is quicker, and clients of other groups do not
   * notice the delay.
   */
  slowGroupCallMs: 200,
  /**
   * First pause between look-ups. A new leader is usually known within this time after the former leader has failed.
   * The pause doubles each time.
   */
  refreshBackoffMs: 100,
  /** The longest pause between look-ups, as in an election of more than a second. */
  refreshBackoffMaxMs: 1_000,
  /**
   * For this time, requests for a missing topic cost no look-up. A topic that is created meanwhile is found afterwards.
   */
  unknownTopicRememberedMs: 5_000,
  /**
   * First pause after a broker has failed. A broker that only dropped its connections answers again at once. The pause
   * doubles each time.
   */
  brokerBackoffMs: 50,
  /**
   * Longest pause after a broker has failed. A broker that returns after a long absence is used again within this time.
   */
  brokerBackoffMaxMs: 10_000,
  /**
   * First pause before a request is repeated. Most retriable errors of a broker are over within this time. The pause
   * doubles each time.
   */
  retryBackoffMs: 50,
  /** Longest pause before a request is repeated. With this pause, repeated requests cost almost nothing. */
  retryBackoffMaxMs: 1_000,
  /**
   * Limit of a produce request, far below the brokers' own limit, `socket.request.max.bytes` of 100 MiB, and halved for
   * a broker with a lower limit.
   */
  produceRequestMaxBytes: 8 * MIB,
  /**
   * How long a broker may wait for replicas. It is shorter than `callTimeoutMs`, so that the broker reports an error
   * before the call times out.
   */
  produceBrokerTimeoutMs: 1_500,
  /**
   * How long a batch waits for a leader, which is the longest time of an election. Afterwards delivery takes the batch
   * back and retries it.
   */
  produceWaitMs: 5_000
}

const section = z.strictObject({
  requestTimeoutMs: milliseconds
    .default(30_000)
    .describe(
      'Deadline of a request to the Router, which is answered `timedOut` then. A time-out of the request itself takes precedence'
    )
    .meta({ advanced: true }),
  fetchMaxWaitMs: millisecondsOrZero
    .default(100)
    .describe(
      'How long a reader at the end of a partition waits for records before it is answered `noMessages`; 0: it does not wait'
    )
    .meta({ advanced: true }),
  fetchMaxBytes: bytes
    .default(16 * MIB)
    .describe('Limit of a fetch response with all its partitions')
    .meta({ advanced: true }),
  fetchBufferBytes: bytes
    .default(1 * MIB)
    .describe('Limit of one partition in a fetch response; a single larger batch is returned whole')
    .meta({ advanced: true }),
  isolationLevel: z
    .enum(['readUncommitted', 'readCommitted'])
    .default('readUncommitted')
    .describe('`readCommitted` hides records of transactions that are open or aborted'),
  callTimeoutMs: milliseconds
    .default(5_000)
    .describe('Time limit for one call to a broker, connecting included')
    .meta({ advanced: true }),
  metadataMaxAgeMs: milliseconds
    .default(10_000)
    .describe(
      'Greatest age of the metadata of a topic in use, in which deleted topics and added partitions are noticed; asked for in one call after three quarters of it'
    )
    .meta({ advanced: true }),
  unknownTopicTimeoutMs: milliseconds
    .default(5_000)
    .describe(
      'Longest time until a missing topic counts as unknown. Readers learn it sooner, after three look-ups without the topic; writers after these and at least half a second if `delivery.createTopics` or `auto.create.topics.enable` of the brokers is off. A topic that was known before has the whole time. If the topic may be created, the time begins with the first answer of a broker that was asked to create it'
    )
    .meta({ advanced: true }),
  onClusterChange: z
    .enum(['follow', 'stop'])
    .default('follow')
    .describe(
      'Reaction to a Kafka cluster with another id at the same addresses: `follow` forgets everything about the former cluster and uses the new one, `stop` ends the process'
    )
    .meta({ advanced: true }),
  maxWaitingRequests: count
    .default(10_000)
    .describe(
      'Limit of requests that wait for a leader, a coordinator or a broker; further ones are refused as overload. Those for missing topics may use half of it, those for all unknown topics three quarters'
    )
    .meta({ advanced: true }),
  produceConnections: count
    .max(5)
    .default(1)
    .describe(
      'Limit of produce calls in flight to one broker, each on its own connection. More help if the round trip is long, but make batches smaller'
    )
    .meta({ advanced: true })
})

/** Requests to Kafka: the section `router` of the configuration. */
export const routerSettings = section.prefault({}).describe('The Router: requests to Kafka')

const cache = z.strictObject({
  maxBytes: bytes.default(16 * MIB).describe('Memory for fetched record batches of all brokers'),
  decompressedMaxBytes: bytes
    .default(128 * MIB)
    .describe(
      'Memory for decompressed records of all clusters and readers of the process. The least recently read are dropped first. A batch may have half of it, and is decompressed in one piece, which holds up all else meanwhile'
    )
    .meta({ advanced: true })
})

/** The section `cache`. */
export const cacheSettings = cache.prefault({}).describe('Fetched record batches, shared by all readers')

/** Further options of a Router. In the configuration they are in other sections, or absent. */
const options = section.extend({
  ...constantOptions(constants),
  maxGroupConnections: z.int().min(2).default(constants.maxGroupConnections),
  cacheMaxBytes: cache.shape.maxBytes,
  decompressedMaxBytes: cache.shape.decompressedMaxBytes,
  allowAutoTopicCreation: z
    .boolean()
    .default(true)
    .describe('Lets brokers create missing topics for writers; a read never creates a topic'),
  connectAtStart: z.boolean().default(true).describe('Connects when the Router starts, not at the first request')
})

/** The options of a Router, as `openCastellan({ router })` takes them. */
export const routerOptions = options.prefault({})

/** Every limit and time of a Router; docs/router.md and docs/configuration.md describe them. */
export type RouterSettings = Readonly<z.output<typeof options>>

export const defaultRouterSettings: RouterSettings = defaultsOf(options)

export type RouterSettingsOverrides = Partial<RouterSettings>

/** @throws ConfigError that names every wrong setting */
export const toRouterSettings = (overrides: RouterSettingsOverrides = {}): RouterSettings =>
  parseOptions(options, overrides, 'startRouter', 'settings')
