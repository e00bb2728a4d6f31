import { z } from 'zod'
import { bytes, count, host, listenPort, milliseconds, millisecondsOrZero } from '../core/settings/units.js'

const MIB = 1024 * 1024

const embeddedLimitSettings = z
  .strictObject({
    maxTopics: count.default(25_000).describe('Most topics; further ones are refused with code 44'),
    maxPartitions: count
      .default(100_000)
      .describe('Most partitions of all topics together; further ones are refused with code 44'),
    maxOpenFiles: count
      .min(2)
      .default(256)
      .describe('Most open segment files of a directory; for a further one the least recently used is closed'),
    maxConnections: count
      .default(2_000)
      .describe('Most connections to all nodes together; further ones are closed at once'),
    idleTimeoutMs: milliseconds.default(600_000).describe('Time after which an idle connection is closed'),
    requestTimeoutMs: milliseconds
      .default(30_000)
      .describe('Time limit for receiving a whole request from its first byte; beyond it the connection is closed'),
    maxRequestBytes: bytes
      .max(1024 * MIB)
      .default(100 * MIB)
      .describe('Largest request; beyond it the connection is closed'),
    maxHeldBytes: bytes
      .min(MIB)
      .default(256 * MIB)
      .describe(
        'Most bytes of incomplete or waiting requests and unread answers, all connections together. Beyond it the connection that has made no progress for the longest time is closed'
      ),
    maxGroupBytes: bytes
      .default(64 * MIB)
      .describe(
        'Most bytes of group members, their metadata, and committed offsets; beyond it joining is refused with code 81 and committing with code 44'
      ),
    maxRecordsPerBatch: count
      .default(1_000_000)
      .describe('Most records of one batch; a batch with more is refused with code 10'),
    maxDecompressedBytes: bytes
      .default(64 * MIB)
      .describe(
        'Most bytes of the compressed batches of one Produce request after decompression; beyond it they are refused with code 10'
      )
  })
  .prefault({})
  .describe('Limits of the embedded broker, so that no client can exhaust the process')

const section = z.strictObject({
  enabled: z
    .boolean()
    .default(false)
    .describe(
      'Runs the embedded broker as the `default` cluster. Also happens when that cluster names no brokers, except with NODE_ENV=production'
    ),
  host: host
    .default('127.0.0.1')
    .describe('Listening address of the embedded broker. Addresses other than loopback need `http.allowAnonymous`'),
  advertisedHost: host
    .optional()
    .describe(
      'The host that clients are told to connect to; absent: `embedded.host` or, where that is every address of the machine (`0.0.0.0`, `::`), the address at which the client has connected. To be set behind port forwarding'
    ),
  port: listenPort
    .default(9092)
    .describe('Port of its first node; further nodes take the following ports. 0: any free ones'),
  directory: z
    .string()
    .min(1)
    .optional()
    .describe('Directory for its records; absent: they are kept in memory and lost at exit'),
  nodes: count.max(9).default(1).describe('Number of brokers in the embedded cluster'),
  defaultPartitions: count.max(10_000).default(4).describe('Partitions of topics that are created by a write'),
  autoCreateTopics: z.boolean().default(true).describe('Creates missing topics when records are written to them'),
  retentionBytes: bytes
    .optional()
    .describe(
      'Size of a partition beyond which its oldest records are deleted; absent: 1 GiB in a directory, 128 MiB in memory'
    ),
  limits: embeddedLimitSettings
})

/** The section `embedded` of the configuration. */
export const embeddedSettings = section
  .prefault({})
  .describe('A Kafka-protocol broker in this process, for trials, development and tests')

export type EmbeddedSettings = z.output<typeof embeddedSettings>

/** Limits of what the embedded broker holds. Every limit counts what is held, never what a client announces. */
export type EmbeddedLimits = EmbeddedSettings['limits']

export const embeddedLimits: EmbeddedLimits = embeddedLimitSettings.parse({})

/** Objects and functions of the caller, which are taken as they are. */
const given = z.unknown().optional()

/** The options of `startEmbeddedCluster`. Some have no place in the configuration: they are for tests. */
export const clusterOptions = section.omit({ enabled: true }).extend({
  nodes: count.default(1),
  port: listenPort.default(0),
  minSessionTimeoutMs: millisecondsOrZero.default(6_000),
  producerIdExpirationMs: milliseconds.default(86_400_000),
  producerIdExpirationCheckMs: milliseconds.default(600_000),
  warn: given,
  sasl: given,
  tls: given
})

export type ClusterSettings = z.output<typeof clusterOptions>
