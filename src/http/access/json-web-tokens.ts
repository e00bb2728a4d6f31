import { decodeJwt, errors, type JWTPayload, jwtVerify } from 'jose'
import { UnavailableError } from '../../core/errors.js'
import type { Identity } from './identity.js'
import type { IssuerKeys } from './issuer-keys.js'
import { isPrincipal } from './principal.js'
import type { AuthSettings } from './settings.js'

/** How long a verified token is remembered, which limits how long a revoked key is still accepted. */
const TRUSTED_MS = 60_000
const MS_PER_SECOND = 1_000

type Issuer = AuthSettings['issuers'][number]

/** Three parts of base64url. */
const JWT = /^[\w-]+\.[\w-]+\.[\w-]+$/

export const looksLikeJwt = (token: string): boolean => JWT.test(token)

/** The outcome for a token: its principal, or why it is not accepted. */
export type JwtResult = Identity | 'expired' | 'invalid' | UnavailableError

/** Verifies tokens of several issuers; the claim `iss` selects the keys. */
export class JsonWebTokens {
  readonly #issuers: ReadonlyMap<string, { readonly settings: Issuer; readonly keys: IssuerKeys }>
  readonly #clockToleranceMs: number
  readonly #now: () => number

  /** @param now epoch milliseconds */
  constructor(
    issuers: readonly { readonly settings: Issuer; readonly keys: IssuerKeys }[],
    clockToleranceMs: number,
    now: () => number
  ) {
    this.#issuers = new Map(issuers.map(issuer => [issuer.settings.issuer, issuer]))
    this.#clockToleranceMs = clockToleranceMs
    this.#now = now
  }

  /** Makes every issuer's keys be fetched again. */
  expireKeys(): void {
    for (const { keys } of this.#issuers.values()) keys.expire()
  }

  async verify(token: string): Promise<JwtResult> {
    try {
      const issuer = this.#issuers.get(decodeJwt(token).iss ?? '')
      if (!issuer) return 'invalid'
      const { payload } = await jwtVerify(token, issuer.keys.get, {
        issuer: issuer.settings.issuer,
        audience: issuer.settings.audience,
        algorithms: [...issuer.settings.algorithms],
        clockTolerance: this.#clockToleranceMs / MS_PER_SECOND,
        currentDate: new Date(this.#now()),
        requiredClaims: ['exp']
      })
      return this.#toIdentity(payload, issuer.settings)
    } catch (error) {
      if (error instanceof UnavailableError) return error
      return error instanceof errors.JWTExpired ? 'expired' : 'invalid'
    }
  }

  #toIdentity(payload: JWTPayload, { principalClaim, principalPrefix }: Issuer): Identity | 'invalid' {
    const claim = Object.hasOwn(payload, principalClaim) ? payload[principalClaim] : undefined
    if (typeof claim !== 'string' || claim === '') return 'invalid'
    const principal = principalPrefix + claim
    if (!isPrincipal(principal)) return 'invalid'
    const expiresAt = payload.exp! * MS_PER_SECOND + this.#clockToleranceMs
    return { principal, method: 'jwt', validUntil: Math.min(expiresAt, this.#now() + TRUSTED_MS) }
  }
}
