import { isIP } from 'node:net'
import { z } from 'zod'
import { MIB } from '../../core/bytes.js'
import {
  bytes,
  count,
  host,
  listenPort,
  milliseconds,
  millisecondsOrZero,
  nonEmpty,
  yesOrNo
} from '../../core/settings/units.js'
import { recordHeaderProblem } from '../exchange/record-headers.js'
import { NULL_ORIGIN, originProblem } from './cors.js'

const file = nonEmpty.optional()

const listenerTls = z.strictObject({
  certFile: file.describe('PEM file of the certificate and its chain; when set, the listener accepts TLS only'),
  keyFile: file.describe('PEM file of the private key that belongs to `certFile`'),
  caFile: file.describe(
    'PEM file of the certificate authorities that are trusted for client certificates; needed for `clientAuth`'
  ),
  clientAuth: z
    .enum(['none', 'optional', 'required'])
    .default('none')
    .describe(
      'Whether client certificates are requested. `required` ends the handshake without a trusted one; `auth.certificates` maps certificates to principals'
    ),
  minVersion: z.enum(['TLSv1.2', 'TLSv1.3']).default('TLSv1.2').describe('Oldest TLS version that is accepted'),
  reloadIntervalMs: milliseconds
    .default(10_000)
    .describe(
      'Interval at which the files are checked for changes; changed ones are used for new connections, as after SIGHUP'
    )
    .meta({ advanced: true })
})

export const httpTlsSettings = listenerTls
  .prefault({})
  .describe("TLS of the shared port and of the APIs' own ports, not of the unix socket")
const managementTlsSettings = listenerTls.prefault({}).describe('TLS of the management port')

export type ListenerTlsSettings = z.output<typeof listenerTls>

/** Off unless set: behind a proxy all clients share one address. */
const addressSettings = z
  .strictObject({
    maxConnections: count.optional().describe('Limit of connections of one address; further ones are closed at once'),
    maxBodiesInFlightBytes: bytes.optional().describe('As `http.maxBodiesInFlightBytes`, of one address'),
    maxRequestsInFlight: count
      .optional()
      .describe('Limit of requests of one address in progress; further ones are answered 429')
  })
  .prefault({})
  .describe(
    'Limits per client address; absent ones do not apply, since all clients behind a proxy share one address. IPv6 addresses are counted by their first 64 bits; clients of the unix socket are not counted'
  )

function isNetwork(text: string): boolean {
  const [, address = '', bits = '0'] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const version = isIP(address)
  return version !== 0 && Number(bits) <= (version === 4 ? 32 : 128)
}

export const httpSettings = z
  .strictObject({
    host: host
      .default('127.0.0.1')
      .describe(
        'Listening address of the shared port. Addresses other than loopback need authentication (`auth`) or `allowAnonymous`'
      ),
    port: listenPort
      .default(8080)
      .describe('The shared port, where every API is served below its prefix; 0: any free port, which is logged'),
    unixSocket: nonEmpty.max(100).optional().describe('Path of a unix socket that serves the same as the shared port'),
    unixSocketMode: z
      .string()
      .regex(/^0?[0-7]{3}$/, { error: 'write it as three octal digits, for example "660"' })
      .default('660')
      .describe('File mode of the unix socket, in octal digits; it decides which users of the machine can connect'),
    allowAnonymous: yesOrNo(false).describe(
      'Allows listening on addresses that other machines can reach without authentication. With authentication configured, clients without credentials are the principal `anonymous`'
    ),
    allowedHosts: z
      .array(nonEmpty)
      .default([])
      .describe(
        'Further values of `Host`, with or without port, that are served. A listener on loopback serves only `localhost`, loopback addresses and these; others check `Host` only when this is set. `*`: any'
      ),
    allowedOrigins: z
      .array(
        z
          .string({ error: ({ input }) => (input === null ? NULL_ORIGIN : undefined) })
          .superRefine((origin, context) => {
            const problem = originProblem(origin)
            if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
          })
      )
      .default([])
      .describe(
        'Origins of web pages whose requests are served, and which may read answers (CORS), such as `https://app.example`: without a path, and without the usual port. `*`: any'
      ),
    recordHeaders: z
      .array(
        z.string().superRefine((name, context) => {
          const problem = recordHeaderProblem(name)
          if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
        })
      )
      .max(50)
      .default([])
      .describe('Names of HTTP headers that become headers of the records of a request'),
    decodedApis: z
      .array(z.enum(['arion', 'kafboy', 'kafka-pixy']))
      .default([])
      .describe(
        'APIs that decode the bodies of produce requests with `Content-Encoding`, whose originals keep them as they are sent'
      ),
    trustedProxies: z
      .array(z.string().refine(isNetwork, { error: 'write an address, or a network such as 10.0.0.0/8' }))
      .default([])
      .describe(
        'Addresses and networks of proxies whose headers `Forwarded` and `X-Forwarded-*` give the address of the gateway in answers: the front page, and `base_uri` of Strimzi consumers'
      ),
    maxConnections: count.default(10_000).describe('Limit of connections; further ones are closed at once'),
    maxHeaderBytes: bytes
      .min(1024)
      .default(16 * 1024)
      .describe('Limit of the bytes of request line and headers together; beyond it the answer is 431')
      .meta({ advanced: true }),
    maxHeaders: count
      .default(100)
      .describe('Limit of headers of one request; beyond it the answer is 431')
      .meta({ advanced: true }),
    maxBodyBytes: bytes.default(16 * MIB).describe('Largest request body; beyond it the answer is 413'),
    maxBodiesInFlightBytes: bytes
      .default(64 * MIB)
      .describe(
        'Limit of the bytes of all request bodies, and requests of gRPC, that are being received or answered. A request beyond it is refused as overload'
      ),
    maxBodyBytesPerConnection: bytes
      .default(16 * MIB)
      .describe(
        'Limit of the bytes of request bodies per connection; beyond it reading pauses until earlier requests of the connection are answered'
      )
      .meta({ advanced: true }),
    answersMaxBytes: bytes
      .optional()
      .describe(
        'Limit of the bytes of records that are held for answers, until these have left; one client has about half. Absent: an eighth of what the heap may take, 32 to 128 MiB'
      )
      .meta({ advanced: true }),
    maxRequestsPerConnection: count
      .default(100)
      .describe('Limit of pipelined requests per connection; further ones are not read until some are answered')
      .meta({ advanced: true }),
    perAddress: addressSettings,
    headersTimeoutMs: milliseconds
      .default(10_000)
      .describe('Time limit for the headers of a request; beyond it the answer is 408')
      .meta({ advanced: true }),
    requestTimeoutMs: milliseconds
      .default(30_000)
      .describe('Time limit for receiving a whole request; beyond it the answer is 408'),
    admissionWaitMs: milliseconds
      .default(1_000)
      .describe(
        'How long a produce request waits, unread, for space in the buffer of records (`delivery.maxBytes`), or in the memory for records that wait for the disk (`advanced.wal.maxWaitingBytes`), before it is refused as overload. It extends `http.requestTimeoutMs`'
      ),
    maxEventLoopDelayMs: millisecondsOrZero
      .default(500)
      .describe(
        'Requests with a body are refused as overload, a quarter more each second, while the event loop is late by more than this all the time; fewer again below half of it. 0: never'
      )
      .meta({ advanced: true }),
    maxHeapShare: z
      .number()
      .min(0.1)
      .max(1)
      .default(0.9)
      .describe(
        'Requests with a body are refused as overload while more than this share of the heap is used, until it is a tenth below. 1: never'
      )
      .meta({ advanced: true }),
    keepAliveTimeoutMs: milliseconds
      .default(65_000)
      .describe(
        'Time after which an idle connection is closed; longer than the 60 s of common load balancers, so that they close first'
      )
      .meta({ advanced: true }),
    socketTimeoutMs: milliseconds
      .default(120_000)
      .describe('Time after which a connection without any traffic is closed')
      .meta({ advanced: true }),
    accessLog: z
      .strictObject({
        target: nonEmpty
          .default('off')
          .describe('Where one line of JSON is written for each request: `off`, `stdout`, or a file'),
        share: z
          .number()
          .min(0)
          .max(1)
          .default(1)
          .describe('Share of the requests that have a line, drawn at random')
          .meta({ advanced: true })
      })
      .prefault({})
      .describe('The access log'),
    tls: httpTlsSettings
  })
  .prefault({})
  .describe('The shared port, and the limits of every HTTP listener')

export const managementSettings = z
  .strictObject({
    host: host
      .default('127.0.0.1')
      .describe(
        'Listening address of the management port. Addresses other than loopback need authentication (`auth`) or `http.allowAnonymous`'
      ),
    port: z
      .union([z.literal('off'), listenPort])
      .default(8081)
      .describe(
        'Port of the page for people, `/status.json`, `/health-check`, `/ready`, `/ready/kafka` and `/metrics`; 0: any free port, which is logged; `off`: none'
      ),
    openProbes: yesOrNo(true).describe(
      'Serves `/health-check`, `/ready` and `/ready/kafka` without credentials even when clients must authenticate'
    ),
    tls: managementTlsSettings
  })
  .prefault({})
  .describe('Health, status and metrics')

export type HttpSettings = z.output<typeof httpSettings>
export type ManagementSettings = z.output<typeof managementSettings>
