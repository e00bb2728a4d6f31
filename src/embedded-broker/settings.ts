import { z } from 'zod'
import { MIB } from '../core/bytes.js'
import {
  bytes,
  constantOptions,
  count,
  host,
  listenPort,
  milliseconds,
  millisecondsOrZero,
  nonEmpty,
  yesOrNo
} from '../core/settings/units.js'

/**
 * Limits of the embedded broker, so that no client can use up the resources of the process. They apply to memory
 * in use, not to the sizes that clients announce.
 */
const limits = {
  /** Ten times the topics of a large test suite. Further topics are refused with code 44. */
  maxTopics: 25_000,
  /** This many empty partitions use about 100 MB of memory. Further partitions are refused with code 44. */
  maxPartitions: 100_000,
  /** Connections to all nodes together, enough for some hundred clients. Further connections are closed at once. */
  maxConnections: 2_000,
  /** The same as Apache Kafka's `connections.max.idle.ms`. */
  idleTimeoutMs: 600_000,
  /** Time from the first to the last byte of a request, enough for the largest request at 3.5 MB/s. */
  requestTimeoutMs: 30_000,
  /** The same as Apache Kafka's `socket.request.max.bytes`. A larger request closes its connection. */
  maxRequestBytes: 100 * MIB,
  /**
   * Bytes of incomplete requests, waiting requests and unread responses. Beyond it, the connection that has made no
   * progress for the longest time is closed.
   */
  maxHeldBytes: 256 * MIB,
  /**
   * Bytes of members, their metadata and committed offsets. Beyond it, joins are refused with code 81 and commits with
   * code 44.
   */
  maxGroupBytes: 64 * MIB,
  /** Enough for the largest request with records of 105 bytes. A batch with more records is refused with code 10. */
  maxRecordsPerBatch: 1_000_000,
  /** Decompressed bytes of the compressed batches of one Produce request. Further batches are refused with code 10. */
  maxDecompressedBytes: 64 * MIB
}

const section = z.strictObject({
  enabled: yesOrNo(false).describe('Runs the embedded broker as the `default` cluster'),
  host: host
    .default('127.0.0.1')
    .describe('Listening address of the embedded broker. Addresses other than loopback need `http.allowAnonymous`'),
  advertisedHost: host
    .optional()
    .describe(
      'The host in the metadata for clients; absent: `embedded.host` or, if that is `0.0.0.0` or `::`, the address to which the client has connected'
    ),
  port: listenPort
    .default(9092)
    .describe('Port of the first node; further nodes take the following ports. 0: any free ports'),
  directory: nonEmpty.optional().describe('Directory for records; absent: records are kept in memory and lost at exit'),
  nodes: count.max(9).default(1).describe('Number of brokers in the embedded cluster'),
  defaultPartitions: count.max(10_000).default(4).describe('Partitions of topics that are created by a write'),
  autoCreateTopics: yesOrNo(true).describe('Creates missing topics when records are written to them'),
  retentionBytes: bytes
    .optional()
    .describe(
      'Size of a partition beyond which its oldest records are deleted; absent: 1 GiB in a directory, 128 MiB in memory'
    )
    .meta({ advanced: true })
})

/** The section `embedded` of the configuration. */
export const embeddedSettings = section
  .prefault({})
  .describe('A Kafka-protocol broker in this process, for trials, development and tests')

const limitOptions = z.strictObject({
  ...constantOptions(limits),
  maxRequestBytes: bytes.max(1024 * MIB).default(limits.maxRequestBytes),
  maxHeldBytes: bytes.min(MIB).default(limits.maxHeldBytes)
})

export type EmbeddedLimits = z.output<typeof limitOptions>

export const embeddedLimits: EmbeddedLimits = limits

/** An option with an object or a function of the caller, which is not checked. */
const given = z.unknown().optional()

/** The options of `startEmbeddedCluster`. Some are not in the configuration, because only tests need them. */
export const clusterOptions = section.omit({ enabled: true }).extend({
  limits: limitOptions.prefault({}),
  nodes: count.default(1),
  port: listenPort.default(0),
  minSessionTimeoutMs: millisecondsOrZero.default(6_000),
  producerIdExpirationMs: milliseconds.default(86_400_000),
  producerIdExpirationCheckMs: milliseconds.default(600_000),
  warn: given,
  sasl: given,
  tls: given
})

export type EmbeddedClusterSettings = z.output<typeof clusterOptions>
