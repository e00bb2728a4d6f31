import { z } from 'zod'
import { bytes, count, nonEmpty } from '../../core/settings/units.js'
import { ANONYMOUS, OPERATIONS } from './access.js'

const PHC_SCRYPT = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d)\$[A-Za-z0-9+/]{22,}\$[A-Za-z0-9+/]{43,}$/

/** SHA-256 of `test`, an example in the documentation of release 0.2.0: its token is no secret. */
const PUBLISHED_HASH = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'

/** A name that rules, quotas and audit lines use. Printable, so that no log line can be faked with it. */
const principal = z
  .string()
  .regex(/^[^\p{C}]{1,256}$/u, { error: 'use 1 to 256 printable characters' })
  .refine(name => name !== ANONYMOUS, { error: 'anonymous is the name of clients that send no credentials' })

const bearerToken = z.strictObject({
  principal: principal.describe('Principal of the client that sends the token'),
  sha256: z
    .string()
    .regex(/^[0-9a-fA-F]{64}$/, { error: 'must be 64 hexadecimal digits; castellan token makes a token and its hash' })
    .refine(hash => hash.toLowerCase() !== PUBLISHED_HASH, {
      error:
        'is the hash of the word "test", which our own examples once showed; castellan token makes a token and its hash'
    })
    .describe('SHA-256 of the token, as `castellan token` prints it')
    .meta({ secret: true }),
  expiresAt: z.iso.datetime({ offset: true }).optional().describe('When the token expires; absent: never')
})

const user = z.strictObject({
  username: z
    .string()
    .regex(/^[^\p{C}:]{1,256}$/u, { error: 'use 1 to 256 printable characters without colon' })
    .describe('User name'),
  principal: principal.optional().describe('Principal of the user; absent: the user name'),
  passwordHash: z
    .string()
    .regex(PHC_SCRYPT, {
      error: 'must be $scrypt$ln=…,r=…,p=…$SALT$HASH; castellan password makes it of a password',
      abort: true
    })
    .refine(isAffordable, { error: 'is too expensive to verify; at most ln=17, r=8, p=4' })
    .describe('Hash of the password, as `castellan password` prints it')
    .meta({ secret: true })
})

function isAffordable(hash: string): boolean {
  const [, ln = '0', r = '0', p = '0'] = hash.match(PHC_SCRYPT) ?? []
  return Number(ln) >= 10 && Number(ln) <= 17 && Number(r) >= 1 && Number(r) <= 8 && Number(p) >= 1 && Number(p) <= 4
}

const certificate = z
  .strictObject({
    principal: principal
      .optional()
      .describe('Principal of clients with such a certificate; absent: the name that matched'),
    commonName: nonEmpty.optional().describe('Pattern for the common name of the subject'),
    alternativeName: nonEmpty
      .optional()
      .describe(
        'Pattern for a subject alternative name, such as `DNS:shop.example.com` or `URI:spiffe://example.com/*`'
      )
  })
  .refine(({ commonName, alternativeName }) => (commonName === undefined) !== (alternativeName === undefined), {
    error: 'name either commonName or alternativeName'
  })

const issuer = z
  .strictObject({
    issuer: nonEmpty.describe('Must equal the claim `iss`'),
    audience: nonEmpty.describe('Must be in the claim `aud`'),
    jwksUrl: nonEmpty.optional().describe('URL at which the issuer publishes its keys'),
    jwksFile: nonEmpty.optional().describe('File with the keys instead of `jwksUrl`, read again on SIGHUP'),
    algorithms: z
      .array(z.enum(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512']))
      .min(1)
      .default(['RS256', 'ES256'])
      .describe('Accepted signature algorithms'),
    principalClaim: nonEmpty.default('sub').describe('Claim that holds the principal'),
    principalPrefix: z.string().default('').describe('Prefix of the principal, so that names of several issuers differ')
  })
  .refine(({ jwksUrl, jwksFile }) => (jwksUrl === undefined) !== (jwksFile === undefined), {
    error: 'name either jwksUrl or jwksFile'
  })

export const authSettings = z
  .strictObject({
    tokens: z.array(bearerToken).default([]).describe('Bearer tokens'),
    users: z.array(user).default([]).describe('User names and passwords for HTTP basic authentication'),
    certificates: z
      .array(certificate)
      .default([])
      .describe('Principals of client certificates, on listeners with `tls.clientAuth`; the first match counts'),
    issuers: z.array(issuer).default([]).describe('Issuers of JSON Web Tokens'),
    unixSocketPrincipal: principal
      .optional()
      .describe('Principal of clients of `http.unixSocket` that send no credentials. Absent: they need credentials')
  })
  .prefault({})
  .describe(
    'Authentication of clients, explained in [authentication.md](authentication.md). Once tokens, users, certificates or issuers are configured, every request needs credentials'
  )

const names = z.array(nonEmpty.max(256))

const rule = z.strictObject({
  principals: names
    .min(1)
    .describe(
      'Patterns for principals; `*` stands for all authenticated clients, `anonymous` for clients without credentials'
    ),
  operations: z.array(z.enum(OPERATIONS)).min(1).describe('Allowed operations'),
  topics: names.default([]).describe('Patterns for topics'),
  groups: names.default([]).describe('Patterns for groups'),
  subjects: names.default([]).describe('Patterns for subjects of the schema registry, for `register`')
})

export const accessSettings = z
  .strictObject({
    rules: z
      .array(rule)
      .default([])
      .describe(
        'Permissions. Once a rule or authentication is configured, everything that no rule allows is refused. `*` in a name stands for any characters'
      ),
    audit: z
      .enum(['off', 'denied', 'all'])
      .default('off')
      .describe('Decisions that are written to the audit log: none, refusals, or all'),
    auditFile: nonEmpty
      .optional()
      .describe('File to which audit lines are appended, opened again on SIGHUP; absent: the log')
  })
  .prefault({})
  .describe('Permissions of clients')

const rates = {
  recordsPerSecond: count.optional().describe('Records written or read per second'),
  bytesPerSecond: bytes.optional().describe('Bytes of request bodies, or of records read, per second')
}

const limits = {
  ...rates,
  maxRequestsInFlight: count.optional().describe('Requests in progress')
}

export const quotaSettings = z
  .strictObject({
    perPrincipal: z
      .strictObject(limits)
      .prefault({})
      .describe(
        'Limits of every principal without limits of its own. All anonymous clients together are one principal'
      ),
    perAddress: z
      .strictObject(rates)
      .prefault({})
      .describe(
        'Limits of every client address; an IPv6 /64 counts as one. All clients behind a proxy share its address. For requests in progress see `http.perAddress`'
      ),
    principals: z
      .array(z.strictObject({ principal: nonEmpty.max(256), ...limits }))
      .default([])
      .describe('Limits of single principals, instead of those in `perPrincipal`')
  })
  .prefault({})
  .describe('Quotas of clients; beyond one the answer is 429 with `Retry-After`. Absent limits do not apply')

export type AuthSettings = z.output<typeof authSettings>
export type AccessSettings = z.output<typeof accessSettings>
export type QuotaSettings = z.output<typeof quotaSettings>
export type QuotaLimits = QuotaSettings['perPrincipal']

/** Whether any way to authenticate is configured; then all clients have to. */
export const requiresCredentials = ({ tokens, users, certificates, issuers }: AuthSettings): boolean =>
  tokens.length + users.length + certificates.length + issuers.length > 0
