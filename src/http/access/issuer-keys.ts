import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose'
import { UnavailableError } from '../../core/errors.js'
import type { Logger, MonotonicClock } from '../../core/model.js'
import type { AuthSettings } from './settings.js'

/** How often keys are fetched, and how long they are used. */
export type IssuerKeysSettings = Pick<AuthSettings, 'jwksCooldownMs' | 'jwksRefreshMs' | 'jwksMaxAgeMs'>

/**
 * The public keys of one issuer. They are fetched when the first token needs them, when they have grown old, and when a
 * token names a key that is not among them; never twice within the cooldown, whatever tokens clients send. While the
 * issuer is away the keys that were fetched before go on being used.
 */
export class IssuerKeys {
  readonly #issuer: string
  readonly #fetchKeys: () => Promise<unknown>
  readonly #settings: IssuerKeysSettings
  readonly #clock: MonotonicClock
  readonly #log: Logger
  #keys: JWTVerifyGetKey | undefined
  #fetchedAt = Number.NEGATIVE_INFINITY
  #triedAt = Number.NEGATIVE_INFINITY
  #hasFailed = false
  #isOutdated = true
  #fetching: Promise<void> | undefined
  /** How often the keys have been declared outdated: a fetch that began before may have got the former ones. */
  #declared = 0

  constructor(
    issuer: string,
    fetchKeys: () => Promise<unknown>,
    settings: IssuerKeysSettings,
    { clock, log }: { clock: MonotonicClock; log: Logger }
  ) {
    this.#issuer = issuer
    this.#fetchKeys = fetchKeys
    this.#settings = settings
    this.#clock = clock
    this.#log = log
  }

  /**
   * The key with which a token is signed, for `jwtVerify`.
   *
   * @throws UnavailableError when the keys cannot be fetched at the moment
   */
  readonly get: JWTVerifyGetKey = async (header, token) => {
    if (this.#isOutdated || this.#ageMs >= this.#settings.jwksRefreshMs) {
      const fetching = this.#fetch()
      const isUsable = !this.#isOutdated && this.#keys !== undefined && this.#ageMs < this.#settings.jwksMaxAgeMs
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
   * Makes the next token fetch the keys again, regardless of the cooldown, and wait for them: the operator says that they have
   * changed. A fetch that is under way does not count.
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
    if (this.#keys === undefined || this.#ageMs >= this.#settings.jwksMaxAgeMs) throw this.#unavailable()
    return this.#keys
  }

  #unavailable(): UnavailableError {
    return new UnavailableError('issuerUnreachable', `the keys of the issuer ${this.#issuer} cannot be fetched now`)
  }

  /** One fetch for everyone waiting; none within the cooldown after the last one. */
  #fetch(): Promise<void> {
    if (this.#fetching) return this.#fetching
    if (this.#clock() - this.#triedAt < this.#settings.jwksCooldownMs) return Promise.resolve()
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
