import type { Identity } from './identity.js'

/** How many verified credentials are remembered, so that a client pays for verifying a password or signature only once. */
const MAX_REMEMBERED = 10_000
/** Limit for one principal: its issuer may make any number of tokens, and they must not evict those of others. */
const MAX_PER_PRINCIPAL = 100

/** Credentials that have been verified. */
export interface Remembered {
  readonly identity: Identity
  /** The user in the settings, as the password was compared with it; `undefined`: a token. */
  readonly user?: string | undefined
}

/**
 * Verified credentials by a digest of what was verified, so that one credential is remembered once however it is spelt. Only
 * verified ones are remembered, so guesses cannot evict them.
 */
export class RememberedCredentials {
  readonly #byKey = new Map<string, Remembered>()
  /** Keys by principal, the oldest first. */
  readonly #keys = new Map<string, Set<string>>()

  get size(): number {
    return this.#byKey.size
  }

  /** @param now epoch milliseconds */
  find(key: string, now: number): Identity | undefined {
    const found = this.#byKey.get(key)?.identity
    if (found === undefined || found.validUntil === Number.POSITIVE_INFINITY || found.validUntil > now) return found
    this.#forget(key)
    return undefined
  }

  add(key: string, remembered: Remembered): void {
    this.#forget(key)
    const { principal } = remembered.identity
    const ofPrincipal = this.#keys.get(principal)
    if (ofPrincipal !== undefined && ofPrincipal.size >= MAX_PER_PRINCIPAL) this.#forget(firstOf(ofPrincipal.keys()))
    if (this.#byKey.size >= MAX_REMEMBERED) this.#forget(firstOf(this.#byKey.keys()))
    this.#byKey.set(key, remembered)
    const keys = this.#keys.get(principal)
    if (keys === undefined) this.#keys.set(principal, new Set([key]))
    else keys.add(key)
  }

  /** Forgets all others. */
  keep(isKept: (remembered: Remembered) => boolean): void {
    for (const [key, remembered] of this.#byKey) if (!isKept(remembered)) this.#forget(key)
  }

  #forget(key: string): void {
    const known = this.#byKey.get(key)
    if (known === undefined) return
    this.#byKey.delete(key)
    const { principal } = known.identity
    const keys = this.#keys.get(principal)!
    keys.delete(key)
    if (keys.size === 0) this.#keys.delete(principal)
  }
}

const firstOf = (keys: IterableIterator<string>): string => keys.next().value!
