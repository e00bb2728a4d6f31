import { z } from 'zod'
import { embeddedLimits } from './embedded-limits.js'
import { httpTlsSettings, managementTlsSettings } from './listener-tls-settings.js'
import { bytes, count, host, listenPort, milliseconds } from './units.js'

const MIB = 1024 * 1024

/** Off unless set: behind a proxy all clients share one address. */
const addressSettings = z
  .strictObject({
    maxConnections: count.optional().describe('Further connections of the address are closed at once'),
    maxBodiesInFlightBytes: bytes
      .optional()
      .describe('Request bodies of the address being received or answered; more is refused as overload'),
    maxRequestsInFlight: count
      .optional()
      .describe('Requests of the address being answered; more are refused as overload')
  })
  .prefault({})
  .describe(
    'What one client address may hold; absent: no limit, since clients behind a proxy share one. IPv6 addresses count by their first 64 bits, clients of the unix socket not at all'
  )

export const httpSettings = z
  .strictObject({
    host: host
      .default('127.0.0.1')
      .describe(
        'Address of the shared port. Others than loopback need a way to authenticate (`auth`) or `allowAnonymous`'
      ),
    port: listenPort
      .default(8080)
      .describe('The shared port, where every dialect has its prefix; 0: any free one, printed'),
    unixSocket: z
      .string()
      .min(1)
      .max(100)
      .optional()
      .describe('Path of a unix socket that serves the same as the shared port; its mode is `unixSocketMode`'),
    unixSocketMode: z
      .string()
      .regex(/^0?[0-7]{3}$/, { error: 'write it as three octal digits, for example "660"' })
      .default('660')
      .describe('Mode of the file of the unix socket, in octal digits: who may connect'),
    allowAnonymous: z
      .boolean()
      .default(false)
      .describe(
        'Allows listening on addresses others can reach although no client has to say who it is. Where clients can authenticate, it lets those without credentials in as the principal `anonymous`'
      ),
    allowedHosts: z
      .array(z.string().min(1))
      .default([])
      .describe(
        'Names, with or without port, by which clients may ask for a listener, besides its own. A listener on loopback serves only requests whose `Host` is `localhost`, a loopback address or one of these, so that no web page can reach it by a domain of its own; one elsewhere checks only when this is set, and then serves `localhost` and all addresses besides when it is bound to `0.0.0.0` or `::`. `*`: any'
      ),
    allowedOrigins: z
      .array(z.string().min(1))
      .default([])
      .describe(
        'Web pages whose requests are served, by origin (`https://app.example`). All others that a browser marks by `Origin` or `Sec-Fetch-Site` are refused with 403. `*`: any'
      ),
    maxConnections: count.default(10_000).describe('Further connections are closed at once'),
    maxHeaderBytes: bytes
      .min(1024)
      .default(16 * 1024)
      .describe('Request line and headers together; more is answered 431'),
    maxHeaders: count.default(100).describe('Headers of one request; more are answered 431'),
    maxBodyBytes: bytes.default(16 * MIB).describe('One request body; more is answered 413'),
    maxBodiesInFlightBytes: bytes
      .default(64 * MIB)
      .describe(
        'All request bodies being received or answered, counted as their bytes come. A request that finds no room is refused as overload; much larger bodies that are still coming are refused before it'
      ),
    maxBodyBytesPerConnection: bytes
      .default(16 * MIB)
      .describe(
        'Bodies of one connection that hold this much stop it from being read until requests before the last are answered'
      ),
    maxRequestsPerConnection: count
      .default(100)
      .describe('More pipelined requests of one connection are not read until some of them are answered'),
    minBodyBytesPerSecond: z
      .int()
      .min(0)
      .default(240)
      .describe('A body that comes more slowly than this, over `bodyGraceMs`, is answered 408; 0: any pace will do'),
    bodyGraceMs: milliseconds.default(5_000).describe('Time over which the pace of a body is measured'),
    perAddress: addressSettings,
    headersTimeoutMs: milliseconds.default(10_000).describe('Longest wait for the headers of a request; then 408'),
    requestTimeoutMs: milliseconds
      .default(30_000)
      .describe('Longest wait for a whole request, body included; then 408'),
    keepAliveTimeoutMs: milliseconds
      .default(65_000)
      .describe(
        'An idle connection is closed after this; longer than the 60 s of common load balancers, so that they close first'
      ),
    socketTimeoutMs: milliseconds
      .default(120_000)
      .describe('A connection on which no byte moves for this long is closed'),
    slowRequestMs: milliseconds.default(5_000).describe('A request that takes longer is logged as slow'),
    tls: httpTlsSettings
  })
  .prefault({})
  .describe('The shared port, and the limits every HTTP listener has')

export const managementSettings = z
  .strictObject({
    host: host
      .default('127.0.0.1')
      .describe(
        'Address of the management port. Others than loopback need a way to authenticate (`auth`) or `http.allowAnonymous`'
      ),
    port: z
      .union([z.literal('off'), listenPort])
      .default(8081)
      .describe('Port of `/health-check`, `/ready` and `/metrics`; 0: any free one, printed; `off`: none'),
    openProbes: z
      .boolean()
      .default(true)
      .describe('Answers `/health-check` and `/ready` without credentials, also where clients must authenticate'),
    tls: managementTlsSettings
  })
  .prefault({})
  .describe('Health and metrics')

const embeddedLimitSettings = z
  .strictObject({
    maxTopics: count.default(embeddedLimits.maxTopics).describe('Further topics are refused with code 44'),
    maxPartitions: count
      .default(embeddedLimits.maxPartitions)
      .describe('Partitions of all topics together; further ones are refused with code 44'),
    maxOpenFiles: count
      .min(2)
      .default(embeddedLimits.maxOpenFiles)
      .describe('Segment files open at a time in a directory; for another one the least recently used is closed'),
    maxConnections: count
      .default(embeddedLimits.maxConnections)
      .describe('Connections to all nodes together; a further one is closed at once'),
    idleTimeoutMs: milliseconds
      .default(embeddedLimits.idleTimeoutMs)
      .describe('A connection on which nothing happens for this long is closed'),
    requestTimeoutMs: milliseconds
      .default(embeddedLimits.requestTimeoutMs)
      .describe('A request that has not arrived as a whole this long after its first byte closes its connection'),
    maxRequestBytes: bytes
      .max(1024 * MIB)
      .default(embeddedLimits.maxRequestBytes)
      .describe('One request; a larger one closes its connection'),
    maxHeldBytes: bytes
      .min(MIB)
      .default(embeddedLimits.maxHeldBytes)
      .describe(
        'All connections together: requests that arrived in part or wait to be served, and answers not yet read. Beyond it the connection that has made no progress for the longest is closed'
      ),
    maxGroupBytes: bytes
      .default(embeddedLimits.maxGroupBytes)
      .describe(
        'Members of all groups, what they told about themselves, and committed offsets; beyond it joining is refused with code 81 and committing with code 44'
      ),
    maxRecordsPerBatch: count
      .default(embeddedLimits.maxRecordsPerBatch)
      .describe('A batch that claims more records is refused with code 10'),
    maxDecompressedBytes: bytes
      .default(embeddedLimits.maxDecompressedBytes)
      .describe(
        'What the compressed batches of one Produce request may grow to; beyond it they are refused with code 10'
      )
  })
  .prefault({})
  .describe('What the embedded broker holds at most, so that no client can exhaust the process')

export const embeddedSettings = z
  .strictObject({
    enabled: z
      .boolean()
      .default(false)
      .describe(
        'Runs the embedded broker as the `default` cluster. Also happens when that cluster names no brokers, except with NODE_ENV=production'
      ),
    host: host.default('127.0.0.1').describe('Address it listens on. Others than loopback need `http.allowAnonymous`'),
    advertisedHost: host
      .optional()
      .describe(
        'The host that clients are told to connect to; absent: `embedded.host` or, where that is every address of the machine (`0.0.0.0`, `::`), the one at which the client has reached the broker. Set it behind port forwarding'
      ),
    port: listenPort
      .default(9092)
      .describe('Port of its first node; further nodes take the following ports. 0: any free ones'),
    directory: z
      .string()
      .min(1)
      .optional()
      .describe('Directory for its records; absent: they are kept in memory and lost at exit'),
    nodes: count.max(9).default(1).describe('How many brokers it simulates'),
    defaultPartitions: count
      .max(10_000)
      .default(4)
      .describe('Partitions of a topic it creates because somebody wrote to it'),
    autoCreateTopics: z.boolean().default(true).describe('Creates a topic when somebody writes to it'),
    retentionBytes: bytes
      .optional()
      .describe(
        'Size of a partition beyond which its oldest records are deleted; absent: 1 GiB in a directory, 128 MiB in memory'
      ),
    limits: embeddedLimitSettings
  })
  .prefault({})
  .describe('A Kafka-protocol broker in this process, for trying out, development and tests')

export const logSettings = z
  .strictObject({
    level: z
      .enum(['debug', 'info', 'warn', 'error', 'silent'])
      .default('info')
      .describe('Lowest level that is written'),
    pretty: z
      .enum(['auto', 'always', 'never'])
      .default('auto')
      .describe('Readable lines instead of JSON; `auto`: when stdout is a terminal')
  })
  .prefault({})
  .describe('The log on stdout')

export const shutdownSettings = z
  .strictObject({
    graceMs: milliseconds
      .default(10_000)
      .describe(
        'Time limit for a stop after SIGTERM or SIGINT; records that Kafka has not taken by then are counted and lost'
      ),
    drainMs: z
      .int()
      .min(0)
      .max(2_147_483_647)
      .optional()
      .describe(
        'How long requests are still served after SIGTERM or SIGINT while `/ready` already answers 503, so that load balancers stop sending requests first; at most half of `graceMs`. Absent: 0 when stdout is a terminal, else 5000'
      )
  })
  .prefault({})
  .describe('Stopping')
