import { z } from 'zod'
import { brokerAddress, milliseconds, nonEmpty, secret, tokenUrl, yesOrNo } from '../core/settings/units.js'

const optionalText = nonEmpty.optional()

/** A word that other clients of Kafka write in capitals, as `SCRAM-SHA-256`. */
export const lowerCase = (given: unknown): unknown => (typeof given === 'string' ? given.toLowerCase() : given)

const tls = z
  .strictObject({
    enabled: yesOrNo(false).describe('Uses TLS for the connections to the brokers'),
    caFile: optionalText.describe(
      'PEM file of the certificate authorities to trust instead of the list built into Node'
    ),
    certFile: optionalText.describe('PEM file of the certificate to show to the brokers; needs `keyFile`'),
    keyFile: optionalText.describe('PEM file of the private key that belongs to `certFile`'),
    rejectUnauthorized: yesOrNo(true).describe('Refuses brokers whose certificate cannot be verified'),
    serverName: optionalText.describe(
      'Host name that the certificate of the broker must have; absent: the host of the connection'
    )
  })
  .prefault({})
  .describe('Encryption between Castellan and the brokers')

const sasl = z
  .strictObject({
    mechanism: z
      .preprocess(lowerCase, z.enum(['plain', 'scram-sha-256', 'scram-sha-512', 'oauthbearer']))
      .describe(
        'SASL mechanism, in small letters or capitals; `plain` sends the password in clear text, so use it with TLS only'
      ),
    username: optionalText.describe('User name for `plain` and the `scram` mechanisms'),
    password: secret.optional().describe('Password for `plain` and the `scram` mechanisms').meta({ secret: true }),
    token: secret
      .optional()
      .describe(
        'For `oauthbearer`: the token, sent as it is. Either this, or `tokenPath`, `tokenCommand`, `mskRegion`, or `tokenUrl` with `tokenClient` and `tokenSecret`'
      )
      .meta({ secret: true }),
    tokenPath: optionalText.describe(
      'For `oauthbearer`: file with the token, read again at each login, such as a projected token of Kubernetes'
    ),
    tokenCommand: z
      .array(nonEmpty)
      .min(1)
      .optional()
      .describe(
        'For `oauthbearer`: program and arguments, run without a shell, that write the token to stdout within 30 s. All connections of the cluster share one token, until shortly before the `exp` of a JSON Web Token, otherwise for 5 minutes'
      ),
    mskRegion: optionalText.describe(
      'For `oauthbearer` at Amazon MSK: the region, such as `eu-west-1`. Tokens are signed by the package `aws-msk-iam-sasl-signer-js`, to be installed beside Castellan, with the credentials of the environment'
    ),
    tokenUrl: tokenUrl
      .optional()
      .describe(
        'For `oauthbearer`: URL of the token endpoint, which is asked with the client credentials grant (RFC 6749, 4.4). All connections of the cluster share one token, which is renewed before it expires'
      ),
    tokenClient: optionalText.describe('Client id to authenticate with at `tokenUrl`'),
    tokenSecret: secret.optional().describe('Client secret; it is sent to `tokenUrl` only').meta({ secret: true }),
    tokenScope: optionalText.describe('Scope of the requested token; absent: the token endpoint chooses it'),
    tokenCaFile: optionalText.describe(
      "PEM file of the certificate authorities to trust at `tokenUrl`, instead of Node's own list"
    )
  })
  .optional()
  .describe('Authentication at the brokers; absent: no authentication')

/** One Kafka cluster: its addresses, TLS and authentication. */
export const clusterSettings = z.strictObject({
  brokers: z
    .array(brokerAddress)
    .default([])
    .describe('Bootstrap brokers, each as HOST:PORT; the rest of the cluster is discovered from them'),
  clientId: nonEmpty
    .max(249)
    .default('castellan')
    .describe('Client id that is sent to the brokers, for their logs and quotas'),
  connectTimeoutMs: milliseconds
    .default(3_000)
    .describe('Longest wait for a connection, TLS and authentication included'),
  requestTimeoutMs: milliseconds
    .default(10_000)
    .describe('Longest wait for the answer to one call; a call without an answer closes the connection'),
  tls,
  sasl
})

export type ClusterSettings = z.output<typeof clusterSettings>
export type SaslSettings = NonNullable<ClusterSettings['sasl']>
