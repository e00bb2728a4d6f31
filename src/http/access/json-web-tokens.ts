import {
  createLocalJWKSet,
  decodeJwt,
  errors,
  type JSONWebKeySet,
  type JWTPayload,
  type JWTVerifyGetKey,
  jwtVerify
} from 'jose'
import { UnavailableError } from '../../core/errors.js'
import { MAX_PARSED_BYTES } from '../../core/json/parsed-json.js'
import { type Logger, type MonotonicClock, SECOND_MS } from '../../core/model.js'
import { type Identity, isPrincipal } from './access.js'
import type { AuthSettings } from './settings.js'

/** Tolerance for the clock of an issuer. */
const CLOCK_TOLERANCE_MS = 30_000
/** How long a verified token is remembered, which limits how long a revoked key is still accepted. */
const TRUSTED_MS = 60_000

type Issuer = AuthSettings['issuers'][number]

/** The outcome for a token: its principal, or why it is not accepted. */
export type JwtResult = Identity | 'expired' | 'invalid' | UnavailableError

/** Verifies tokens of several issuers; the claim `iss` selects the keys. */
export class JsonWebTokens {
  readonly #issuers: ReadonlyMap<string, { readonly settings: Issuer; readonly keys: IssuerKeys }>
  readonly #now: () => number

  /** @param now epoch milliseconds */
  constructor(issuers: readonly { readonly settings: Issuer; readonly keys: IssuerKeys }[], now: () => number) {
    this.#issuers = new Map(issuers.map(issuer => [issuer.settings.issuer, issuer]))
    this.#now = now
  }

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
        clockTolerance: CLOCK_TOLERANCE_MS / SECOND_MS,
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
    const expiresAt = payload.exp! * SECOND_MS + CLOCK_TOLERANCE_MS
    return { principal, method: 'jwt', validUntil: Math.min(expiresAt, this.#now() + TRUSTED_MS) }
  }
}

/** Tokens that name unknown keys cost an issuer no more than two requests a minute. */
export const COOLDOWN_MS = 30_000

/** Issuers announce a new key longer than this before they sign with it. */
const REFRESH_MS = 600_000

/**
 * While an issuer is away, its keys are trusted for a day: longer than an outage, shorter than a revoked key may live.
 */
export const MAX_AGE_MS = 86_400_000

/**
 * The public keys of one issuer. They are fetched when the first token needs them, when they have grown old, and when a
 * token names a key that is not among them; never twice within the cooldown, whatever tokens clients send. While the
 * issuer is unreachable, the keys fetched before stay in use.
 */
export class IssuerKeys {
  readonly #issuer: string
  readonly #fetchKeys: () => Promise<unknown>
  readonly #clock: MonotonicClock
  readonly #log: Logger
  #keys: JWTVerifyGetKey | undefined
  #fetchedAt = Number.NEGATIVE_INFINITY
  #triedAt = Number.NEGATIVE_INFINITY
  #hasFailed = false
  #isOutdated = true
  #fetching: Promise<void> | undefined
  /**
   * How often the keys were declared outdated: a fetch that began before the last time may have got the former keys.
   */
  #declared = 0

  constructor(
    issuer: string,
    fetchKeys: () => Promise<unknown>,
    { clock, log }: { clock: MonotonicClock; log: Logger }
  ) {
    this.#issuer = issuer
    this.#fetchKeys = fetchKeys
    this.#clock = clock
    this.#log = log
  }

  /**
   * The key with which a token is signed, for `jwtVerify`.
   *
   * @throws UnavailableError when the keys cannot be fetched at the moment
   */
  readonly get: JWTVerifyGetKey = async (header, token) => {
    if (this.#isOutdated || this.#ageMs >= REFRESH_MS) {
      const fetching = this.#fetch()
      const isUsable = !this.#isOutdated && this.#keys !== undefined && this.#ageMs < MAX_AGE_MS
      if (!isUsable) await fetching
      // The operator may have declared the keys outdated meanwhile; within the cooldown this does nothing.
      if (!isUsable && this.#isOutdated) await this.#fetch()
    }
    try {
      return await this.#current(header, token)
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error
      await this.#fetch()
      if (this.#hasFailed) throw this.#unavailable()
      return await this.#current(header, token)
    }
  }

  /**
   * Makes the next token fetch the keys again, regardless of the cooldown, and wait for them: the operator says that
   * they have changed. A fetch that is under way does not count.
   */
  expire(): void {
    this.#isOutdated = true
    this.#declared++
    this.#fetching = undefined
    this.#triedAt = Number.NEGATIVE_INFINITY
  }

  get #ageMs(): number {
    return this.#clock() - this.#fetchedAt
  }

  get #current(): JWTVerifyGetKey {
    if (this.#keys === undefined || this.#ageMs >= MAX_AGE_MS) throw this.#unavailable()
    return this.#keys
  }

  #unavailable(): UnavailableError {
    return new UnavailableError('issuerUnreachable', `the keys of the issuer ${this.#issuer} cannot be fetched now`)
  }

  /** One fetch for everyone waiting; none within the cooldown after the last one. */
  #fetch(): Promise<void> {
    if (this.#fetching) return this.#fetching
    if (this.#clock() - this.#triedAt < COOLDOWN_MS) return Promise.resolve()
    this.#triedAt = this.#clock()
    const fetching = this.#fetchOnce().finally(() => {
      if (this.#fetching === fetching) this.#fetching = undefined
    })
    this.#fetching = fetching
    return fetching
  }

  async #fetchOnce(): Promise<void> {
    const declared = this.#declared
    try {
      const keys = createLocalJWKSet((await this.#fetchKeys()) as JSONWebKeySet)
      if (declared !== this.#declared) return
      this.#keys = keys
      this.#fetchedAt = this.#clock()
      this.#hasFailed = this.#isOutdated = false
    } catch (error) {
      if (declared !== this.#declared) return
      this.#hasFailed = true
      const { name, message } = error as Error
      this.#log.warn({ issuer: this.#issuer, cause: `${name}: ${message}` }, 'the keys of an issuer cannot be fetched')
    }
  }
}

/** More than any issuer's key set has; stops a wrong address that answers without end. */
const MAX_BYTES = MAX_PARSED_BYTES

/** Fetches a JSON Web Key Set. Redirects are refused: only the configured address is trusted. */
export async function fetchKeys(url: string, timeoutMs: number): Promise<unknown> {
  const signal = AbortSignal.timeout(timeoutMs)
  const response = await fetch(url, { signal, redirect: 'error', headers: { accept: 'application/json' } })
  if (!response.ok) {
    await response.body?.cancel()
    throw new Error(`the server answered ${response.status}`)
  }
  const chunks: Uint8Array[] = []
  let sizeBytes = 0
  const pieces: AsyncIterable<Uint8Array> | [] = response.body ?? []
  for await (const chunk of pieces) {
    sizeBytes += chunk.length
    if (sizeBytes > MAX_BYTES) throw new Error(`the answer is larger than ${MAX_BYTES} bytes`)
    chunks.push(chunk)
  }
  return JSON.parse(Buffer.concat(chunks).toString('utf8'))
}
