import { z } from 'zod'
import { brokerAddress, milliseconds, secret } from './units.js'

const tls = z
  .strictObject({
    enabled: z.boolean().default(false).describe('Speaks TLS to the brokers'),
    caFile: z.string().min(1).optional().describe("PEM file of the authorities to trust instead of Node's own list"),
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
      .describe('Host name to expect in the certificate instead of the one connected to')
  })
  .prefault({})
  .describe('Encryption between Castellan and the brokers')

const sasl = z
  .strictObject({
    mechanism: z
      .enum(['plain', 'scram-sha-256', 'scram-sha-512', 'oauthbearer'])
      .describe('How to prove who we are; `plain` sends the password as it is, so use it with TLS only'),
    username: z.string().min(1).optional().describe('For `plain` and the `scram` mechanisms'),
    password: secret.optional().describe('For `plain` and the `scram` mechanisms').meta({ secret: true }),
    token: secret.optional().describe('For `oauthbearer`: the token, sent as it is').meta({ secret: true })
  })
  .optional()
  .describe('Authentication towards the brokers; absent: none')

/** One Kafka cluster: where it is and how to get in. */
export const clusterSettings = z.strictObject({
  brokers: z
    .array(brokerAddress)
    .default([])
    .describe('Where to knock first, each as HOST:PORT. None for `default` means the embedded broker'),
  clientId: z.string().min(1).max(249).default('castellan').describe("The name in the brokers' logs and quotas"),
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
