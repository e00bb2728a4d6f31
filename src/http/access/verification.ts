import { deleteFrom, getOrAdd } from '../../core/maps.js'
import { Places } from '../../core/places.js'
import type { Identity } from './access.js'

/** Concurrent verifications. The thread pool has four threads, which are needed for other work as well. */
const MAX_RUNNING = 2
const MAX_WAITING_PER_ADDRESS = 4
const MAX_WAITING = 256

/**
 * Runs few password verifications at a time, and serves the waiting addresses in rotation: a flood of wrong passwords
 * from one address delays another address by one verification only.
 *
 *   10.0.0.1 -> [a, b, c]   10.0.0.2 -> [d]      runs a, d, b, c
 */
export class VerificationTurns {
  readonly #places = new Places(() => MAX_RUNNING, 'verifications')

  /** @returns `undefined` at once when too many verifications are waiting, for this address or in all */
  run<Result>(address: string, verify: () => Promise<Result>): Promise<Result> | undefined {
    const isFull = this.#places.waitingOf(address) >= MAX_WAITING_PER_ADDRESS || this.#places.waiting >= MAX_WAITING
    if (isFull) return undefined
    return new Promise<Result>((resolve, reject) => {
      this.#places.enter(address, release => void verify().then(resolve, reject).finally(release))
    })
  }
}

/**
 * How many verified credentials are remembered, so that a client pays for verifying a password or signature only once.
 */
const MAX_REMEMBERED = 10_000
/** Limit for one principal. Its issuer may make any number of tokens, which must not evict the tokens of others. */
const MAX_PER_PRINCIPAL = 100

export interface VerifiedCredentials {
  readonly identity: Identity
  /** The user in the settings with which the password was compared; `undefined`: a token. */
  readonly user?: string | undefined
}

/**
 * Verified credentials, by a digest of their decoded content: one credential has one entry, however its header is encoded.
 * Only verified ones are remembered, so guesses cannot evict them.
 */
export class RememberedCredentials {
  readonly #byKey = new Map<string, VerifiedCredentials>()
  /** Keys by principal, the oldest first. */
  readonly #keys = new Map<string, Set<string>>()

  /** @param now epoch milliseconds */
  find(key: string, now: number): Identity | undefined {
    const found = this.#byKey.get(key)?.identity
    if (found === undefined || found.validUntil === Number.POSITIVE_INFINITY || found.validUntil > now) return found
    this.#forget(key)
    return undefined
  }

  add(key: string, remembered: VerifiedCredentials): void {
    this.#forget(key)
    const { principal } = remembered.identity
    const ofPrincipal = this.#keys.get(principal)
    if (ofPrincipal !== undefined && ofPrincipal.size >= MAX_PER_PRINCIPAL) this.#forget(firstOf(ofPrincipal.keys()))
    if (this.#byKey.size >= MAX_REMEMBERED) this.#forget(firstOf(this.#byKey.keys()))
    this.#byKey.set(key, remembered)
    getOrAdd(this.#keys, principal, () => new Set()).add(key)
  }

  keep(isKept: (remembered: VerifiedCredentials) => boolean): void {
    for (const [key, remembered] of this.#byKey) if (!isKept(remembered)) this.#forget(key)
  }

  #forget(key: string): void {
    const known = this.#byKey.get(key)
    if (known === undefined) return
    this.#byKey.delete(key)
    deleteFrom(this.#keys, known.identity.principal, key)
  }
}

const firstOf = (keys: IterableIterator<string>): string => keys.next().value!
