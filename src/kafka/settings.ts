import { z } from 'zod'
import { brokerAddress, milliseconds, secret, tokenUrl } from '../core/settings/units.js'

const tls = z
  .strictObject({
    enabled: z.boolean().default(false).describe('Speaks TLS to the brokers'),
    caFile: z
      .string()
      .min(1)
      .optional()
      .describe('PEM file of the certificate authorities to trust instead of the list built into Node'),
    certFile: z
      .string()
      .min(1)
      .optional()
      .describe('PEM file of the certificate to show to the brokers; needs `keyFile`'),
    keyFile: z.string().min(1).optional().describe('PEM file of the private key that belongs to `certFile`'),
    rejectUnauthorized: z
      .boolean()
      .default(true)
      .describe(
        'Refuses brokers whose certificate cannot be verified. `false` makes TLS worthless against an active attacker'
      ),
    serverName: z
      .string()
      .min(1)
      .optional()
      .describe('Host name to expect in the certificate instead of the host that is connected to')
  })
  .prefault({})
  .describe('Encryption between Castellan and the brokers')

const sasl = z
  .strictObject({
    mechanism: z
      .enum(['plain', 'scram-sha-256', 'scram-sha-512', 'oauthbearer'])
      .describe('SASL mechanism; `plain` sends the password in clear text, so use it with TLS only'),
    username: z.string().min(1).optional().describe('For `plain` and the `scram` mechanisms'),
    password: secret.optional().describe('For `plain` and the `scram` mechanisms').meta({ secret: true }),
    token: secret
      .optional()
      .describe(
        'For `oauthbearer`: the token, sent as it is. Either this, or `tokenUrl`, `tokenClient` and `tokenSecret`'
      )
      .meta({ secret: true }),
    tokenUrl: tokenUrl
      .optional()
      .describe(
        'For `oauthbearer`: URL of the token endpoint, which is asked with the client credentials grant (RFC 6749, 4.4). All connections of the cluster share one token, which is renewed before it expires'
      ),
    tokenClient: z.string().min(1).optional().describe('Client id to authenticate with at `tokenUrl`'),
    tokenSecret: secret.optional().describe('Client secret; it is sent to `tokenUrl` only').meta({ secret: true }),
    tokenScope: z.string().min(1).optional().describe('Scope to ask for; without it the token endpoint decides'),
    tokenCaFile: z
      .string()
      .min(1)
      .optional()
      .describe("PEM file of the certificate authorities to trust at `tokenUrl`, instead of Node's own list")
  })
  .optional()
  .describe('Authentication towards the brokers; absent: none')

/** One Kafka cluster: where it is and how to get in. */
export const clusterSettings = z.strictObject({
  brokers: z
    .array(brokerAddress)
    .default([])
    .describe(
      'Bootstrap brokers, each as HOST:PORT; the rest of the cluster is discovered from them. If `default` names none, the embedded broker is used'
    ),
  clientId: z
    .string()
    .min(1)
    .max(249)
    .default('castellan')
    .describe('Client id that is sent to the brokers, for their logs and quotas'),
  connectTimeoutMs: milliseconds
    .default(3_000)
    .describe('Longest wait for a connection, TLS and authentication included'),
  requestTimeoutMs: milliseconds
    .default(10_000)
    .describe('Longest wait for the answer to one call; after it the connection is closed'),
  maxThrottleMs: milliseconds
    .default(10_000)
    .describe('Longest pause a broker may ask for when it throttles us; a longer one is cut to this'),
  tls,
  sasl
})

export type ClusterSettings = z.output<typeof clusterSettings>
export type SaslSettings = NonNullable<ClusterSettings['sasl']>
