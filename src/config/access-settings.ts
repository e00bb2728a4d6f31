import { z } from 'zod'
import { bytes, count, milliseconds } from './units.js'

const PHC_SCRYPT = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d)\$[A-Za-z0-9+/]{22,}\$[A-Za-z0-9+/]{43,}$/

/** A name that rules, quotas and audit lines use. Printable, so that no log line can be faked with it. */
const principal = z
  .string()
  .regex(/^[^\p{C}]{1,256}$/u, { error: 'use 1 to 256 printable characters' })
  .refine(name => name !== 'anonymous', { error: 'anonymous is the name of clients that send no credentials' })

const bearerToken = z.strictObject({
  principal: principal.describe('Who the owner of the token is'),
  sha256: z
    .string()
    .regex(/^[0-9a-fA-F]{64}$/, { error: 'must be 64 hexadecimal digits; castellan token makes a token and its hash' })
    .describe('SHA-256 of the token, as `castellan token` prints it')
    .meta({ secret: true }),
  expiresAt: z.iso.datetime({ offset: true }).optional().describe('When it stops being accepted; absent: never')
})

const user = z.strictObject({
  username: z
    .string()
    .regex(/^[^\p{C}:]{1,256}$/u, { error: 'use 1 to 256 printable characters without colon' })
    .describe('The name to log in with'),
  principal: principal.optional().describe('Who the user is; absent: the name to log in with'),
  passwordHash: z
    .string()
    .regex(PHC_SCRYPT, {
      error: 'must be $scrypt$ln=…,r=…,p=…$SALT$HASH; castellan password makes it of a password',
      abort: true
    })
    .refine(isAffordable, { error: 'is too expensive to verify; at most ln=17, r=8, p=4' })
    .describe('As `castellan password` prints it')
    .meta({ secret: true })
})

function isAffordable(hash: string): boolean {
  const [, ln = '0', r = '0', p = '0'] = hash.match(PHC_SCRYPT) ?? []
  return Number(ln) >= 10 && Number(ln) <= 17 && Number(r) >= 1 && Number(r) <= 8 && Number(p) >= 1 && Number(p) <= 4
}

const certificate = z
  .strictObject({
    principal: principal.optional().describe('Who shows such a certificate; absent: the name that matched'),
    commonName: z.string().min(1).optional().describe('Pattern for the common name of the subject'),
    alternativeName: z
      .string()
      .min(1)
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
    issuer: z.string().min(1).describe('Must equal the claim `iss`'),
    audience: z.string().min(1).describe('Must be in the claim `aud`'),
    jwksUrl: z.string().min(1).optional().describe('Where the issuer publishes its keys'),
    jwksFile: z.string().min(1).optional().describe('Or a file with them, read again on SIGHUP'),
    algorithms: z
      .array(z.enum(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512']))
      .min(1)
      .default(['RS256', 'ES256'])
      .describe('Signatures that are accepted'),
    principalClaim: z.string().min(1).default('sub').describe('The claim with the name of the principal'),
    principalPrefix: z.string().default('').describe('Put before it, so that names of several issuers differ')
  })
  .refine(({ jwksUrl, jwksFile }) => (jwksUrl === undefined) !== (jwksFile === undefined), {
    error: 'name either jwksUrl or jwksFile'
  })

/** Who clients are. */
export const authSettings = z
  .strictObject({
    realm: z
      .string()
      .regex(/^[ !#-[\]-~]{1,64}$/, { error: 'use up to 64 printable characters without quote and backslash' })
      .default('castellan')
      .describe('The realm in the header `WWW-Authenticate`'),
    tokens: z
      .array(bearerToken)
      .default([])
      .describe('Bearer tokens. Several may belong to one principal, so that they can be rotated'),
    users: z.array(user).default([]).describe('User names and passwords for HTTP basic authentication'),
    certificates: z
      .array(certificate)
      .default([])
      .describe(
        'Client certificates, on listeners whose `tls.clientAuth` asks for them; the first that matches counts'
      ),
    issuers: z.array(issuer).default([]).describe('Issuers of JSON Web Tokens, which are sent as bearer tokens'),
    unixSocketPrincipal: principal
      .optional()
      .describe(
        'Principal of clients of `http.unixSocket` that send no credentials; the mode of the socket file decides who can connect. Absent: they need credentials like all other clients'
      ),
    clockToleranceMs: z
      .int()
      .min(0)
      .max(600_000)
      .default(30_000)
      .describe('How far the clock of an issuer may be ahead or behind'),
    jwksTimeoutMs: milliseconds.default(5_000).describe('Time limit for fetching the keys of an issuer'),
    jwksCooldownMs: milliseconds
      .default(30_000)
      .describe('Least time between two fetches of keys, even when tokens name unknown keys'),
    jwksRefreshMs: milliseconds.default(600_000).describe('Keys are fetched again when they are older than this'),
    jwksMaxAgeMs: milliseconds
      .default(86_400_000)
      .describe('Keys that cannot be fetched again are used up to this age; after it requests are answered 503')
  })
  .prefault({})
  .describe(
    'Who clients are: [authentication.md](authentication.md). With any of tokens, users, certificates and issuers every request needs credentials'
  )

const names = z.array(z.string().min(1).max(256))

const rule = z.strictObject({
  principals: names
    .min(1)
    .describe('Patterns for principals; `*` is everybody who is authenticated, `anonymous` everybody who need not be'),
  operations: z
    .array(z.enum(['produce', 'consume', 'offsets', 'admin', 'management']))
    .min(1)
    .describe('What they may do'),
  topics: names.default([]).describe('Patterns for topics'),
  groups: names.default([]).describe('Patterns for groups')
})

/** Who may what. */
export const accessSettings = z
  .strictObject({
    rules: z
      .array(rule)
      .default([])
      .describe(
        'What is allowed. Once a rule or a way to authenticate is configured, everything that no rule allows is refused. `*` in a name stands for any characters'
      ),
    audit: z
      .enum(['off', 'denied', 'all'])
      .default('off')
      .describe('Which decisions are written: none, refusals, or all'),
    auditFile: z
      .string()
      .min(1)
      .optional()
      .describe('File the audit lines are appended to, opened again on SIGHUP; absent: the log')
  })
  .prefault({})
  .describe('Who may do what')

const rates = {
  recordsPerSecond: count.optional().describe('Records written or read'),
  bytesPerSecond: bytes.optional().describe('Bytes of the bodies of requests, or of records read')
}

const limits = {
  ...rates,
  maxRequestsInFlight: count.optional().describe('Requests that are being answered at one time')
}

/** How much one client may take. */
export const quotaSettings = z
  .strictObject({
    perPrincipal: z
      .strictObject(limits)
      .prefault({})
      .describe('The limits of every principal that has none of its own. All anonymous clients are one principal'),
    perAddress: z
      .strictObject(rates)
      .prefault({})
      .describe(
        'The limits of every client address, an IPv6 /64 counting as one. A proxy in front is one address for all its clients. For requests in flight see `http.perAddress`'
      ),
    principals: z
      .array(z.strictObject({ principal: z.string().min(1).max(256), ...limits }))
      .default([])
      .describe('Limits of single principals, instead of those in `perPrincipal`')
  })
  .prefault({})
  .describe('How much one client may take; beyond it the answer is 429 with `Retry-After`. Absent limits do not apply')

export type AuthSettings = z.output<typeof authSettings>
export type AccessSettings = z.output<typeof accessSettings>
export type QuotaSettings = z.output<typeof quotaSettings>
export type QuotaLimits = QuotaSettings['perPrincipal']
