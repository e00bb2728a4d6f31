import type { MonotonicClock } from '../core/model.js'
import type { GrantedToken } from './token-request.js'

/** A token is renewed once this share of its time is over. */
const RENEWED_AT_SHARE_OF_LIFE = 0.8
/** After a failed request, a login does not ask again before this time. */
const PAUSE_AFTER_FAILURE_MS = 1_000

/**
 * The token with which all connections of a cluster log in. The first login asks for it, and so does the first login after
 * most of its time is over. Logins at the same time share one request. While no new token can be had, the old one is used
 * until it ends.
 */
export class SharedToken {
  readonly #request: () => Promise<GrantedToken>
  readonly #clock: MonotonicClock
  #token: string | undefined
  #renewAt = 0
  #endsAt = 0
  #requesting: Promise<void> | undefined
  #failure: { readonly error: Error; readonly until: number } | undefined

  constructor(request: () => Promise<GrantedToken>, clock: MonotonicClock) {
    this.#request = request
    this.#clock = clock
  }

  /** @throws what the request threw, when there is no token that is good */
  readonly get = async (): Promise<string> => {
    if (this.#token === undefined || this.#clock() >= this.#renewAt) await this.#renew()
    if (this.#token !== undefined && this.#clock() < this.#endsAt) return this.#token
    throw this.#failure?.error ?? new Error('the token had ended when it came')
  }

  /** A broker has refused it: the next login asks for another. */
  readonly refused = (token: string): void => {
    if (this.#token === token) this.#token = undefined
  }

  #renew(): Promise<void> {
    if (this.#failure !== undefined && this.#clock() < this.#failure.until) return Promise.resolve()
    this.#requesting ??= this.#requestOnce().finally(() => {
      this.#requesting = undefined
    })
    return this.#requesting
  }

  async #requestOnce(): Promise<void> {
    const askedAt = this.#clock()
    try {
      const { token, lifetimeMs } = await this.#request()
      this.#token = token
      this.#renewAt = askedAt + lifetimeMs * RENEWED_AT_SHARE_OF_LIFE
      this.#endsAt = askedAt + lifetimeMs
      this.#failure = undefined
    } catch (error) {
      this.#failure = { error: error as Error, until: this.#clock() + PAUSE_AFTER_FAILURE_MS }
    }
  }
}
