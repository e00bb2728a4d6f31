import { QuotaExceededError } from '../../core/errors.js'
import type { MonotonicClock } from '../../core/model.js'
import type { QuotaLimits, QuotaSettings } from './settings.js'

const MILLISECONDS_PER_SECOND = 1_000

/**
 * A rate limit that may be overdrawn once: as long as anything is left, a request may spend any amount, and the next
 * ones wait until the debt is paid. So a request larger than one second's worth is possible, and the rate holds over
 * time.
 *
 *   10 a second, 10 left:  spend 100 -> -90 left;  the next one waits 9 s
 */
class Meter {
  readonly #perSecond: number
  #left: number
  #updatedAt: number

  constructor(perSecond: number, now: number) {
    this.#perSecond = this.#left = perSecond
    this.#updatedAt = now
  }

  /** Time until something is left; 0: now. */
  waitMs(now: number): number {
    this.#refill(now)
    return this.#left > 0 ? 0 : ((1 - this.#left) / this.#perSecond) * MILLISECONDS_PER_SECOND
  }

  spend(amount: number): void {
    this.#left -= amount
  }

  isFull(now: number): boolean {
    this.#refill(now)
    return this.#left === this.#perSecond
  }

  #refill(now: number): void {
    const gained = ((now - this.#updatedAt) / MILLISECONDS_PER_SECOND) * this.#perSecond
    this.#left = Math.min(this.#perSecond, this.#left + gained)
    this.#updatedAt = now
  }
}

/** The use of the quotas of one principal or address. */
export class QuotaAccount {
  /** Whose it is: `the principal shop`. */
  readonly of: string
  readonly #records: Meter | undefined
  readonly #bytes: Meter | undefined
  readonly maxRequests: number
  #requests = 0

  constructor(of: string, { recordsPerSecond, bytesPerSecond, maxRequestsInFlight }: QuotaLimits, now: number) {
    this.of = of
    this.#records = recordsPerSecond === undefined ? undefined : new Meter(recordsPerSecond, now)
    this.#bytes = bytesPerSecond === undefined ? undefined : new Meter(bytesPerSecond, now)
    this.maxRequests = maxRequestsInFlight ?? Number.POSITIVE_INFINITY
  }

  /** Whether the number of requests in flight is limited. */
  get limitsRequests(): boolean {
    return this.maxRequests !== Number.POSITIVE_INFINITY
  }

  /** Time until the rates admit another request. */
  waitMs(now: number): number {
    return Math.max(this.#records?.waitMs(now) ?? 0, this.#bytes?.waitMs(now) ?? 0)
  }

  /** Counts a request as in flight; false when the limit is reached. {@link leave} ends it. */
  enter(): boolean {
    if (this.#requests >= this.maxRequests) return false
    this.#requests++
    return true
  }

  leave(): void {
    this.#requests--
  }

  spend(records: number, bytes: number): void {
    this.#records?.spend(records)
    this.#bytes?.spend(bytes)
  }

  /** True when a new account would be in the same state. */
  isIdle(now: number): boolean {
    return this.#requests === 0 && (this.#records?.isFull(now) ?? true) && (this.#bytes?.isFull(now) ?? true)
  }
}

/** Limit of accounts per kind; beyond it, new clients share one account. */
const MAX_ACCOUNTS = 10_000

/** Each new account examines this many accounts, to find one that can be forgotten. */
const SWEEP = 16

const MS_PER_SECOND = 1_000

const isLimited = (limits: QuotaLimits): boolean => Object.values(limits).some(limit => limit !== undefined)

type AccountKind = 'principal' | 'address'

/** The accounts of principals and of addresses. */
export class Quotas {
  readonly #clock: MonotonicClock
  readonly #principals: Accounts | undefined
  readonly #addresses: Accounts | undefined

  constructor({ perPrincipal, perAddress, principals }: QuotaSettings, clock: MonotonicClock) {
    this.#clock = clock
    const own = new Map(principals.map(({ principal, ...limits }) => [principal, limits]))
    if (isLimited(perPrincipal) || own.size > 0) this.#principals = new Accounts('principal', perPrincipal, own)
    if (isLimited(perAddress)) this.#addresses = new Accounts('address', perAddress, new Map())
  }

  get isActive(): boolean {
    return this.#principals !== undefined || this.#addresses !== undefined
  }

  now(): number {
    return this.#clock()
  }

  ofPrincipal(principal: string, now: number): QuotaAccount | undefined {
    return this.#principals?.get(principal, now)
  }

  /** @param address empty for clients without one, which have no quota */
  ofAddress(address: string, now: number): QuotaAccount | undefined {
    return address === '' ? undefined : this.#addresses?.get(address, now)
  }

  /** The error when the rates do not admit another request at the moment. */
  refusalOf(account: QuotaAccount, now: number): QuotaExceededError | undefined {
    const waitMs = account.waitMs(now)
    return waitMs > 0 ? exceeded(account, 'records or bytes per second', waitMs) : undefined
  }

  /** Counts a request as in flight, or returns the reason for refusing it; `leave` of the account ends it. */
  enter(account: QuotaAccount): QuotaExceededError | undefined {
    return account.enter() ? undefined : this.tooManyInFlight(account)
  }

  tooManyInFlight(account: QuotaAccount): QuotaExceededError {
    return exceeded(account, 'requests in flight', MS_PER_SECOND)
  }

  /** Charges both accounts, or none. */
  charge(
    one: QuotaAccount | undefined,
    other: QuotaAccount | undefined,
    records: number,
    bytes: number
  ): QuotaExceededError | undefined {
    const now = this.#clock()
    const scarcer = (other?.waitMs(now) ?? 0) > (one?.waitMs(now) ?? 0) ? other : one
    const refusal = scarcer && this.refusalOf(scarcer, now)
    if (refusal) return refusal
    one?.spend(records, bytes)
    other?.spend(records, bytes)
    return undefined
  }

  /** Number of remembered accounts. */
  get size(): number {
    return (this.#principals?.size ?? 0) + (this.#addresses?.size ?? 0)
  }
}

function exceeded({ of }: QuotaAccount, what: string, waitMs: number): QuotaExceededError {
  const seconds = Math.max(1, Math.ceil(waitMs / MS_PER_SECOND))
  return new QuotaExceededError(`the quota of ${what} of ${of} is used up; try again in ${seconds} s (quotas)`, seconds)
}

class Accounts {
  readonly #kind: AccountKind
  readonly #limits: QuotaLimits
  readonly #own: ReadonlyMap<string, QuotaLimits>
  /** Least recently examined first: the next sweep begins there. */
  readonly #byName = new Map<string, QuotaAccount>()
  #shared: QuotaAccount | undefined

  constructor(kind: AccountKind, limits: QuotaLimits, own: ReadonlyMap<string, QuotaLimits>) {
    this.#kind = kind
    this.#limits = limits
    this.#own = own
  }

  get size(): number {
    return this.#byName.size
  }

  get(name: string, now: number): QuotaAccount {
    const known = this.#byName.get(name)
    if (known) return known
    const own = this.#own.get(name)
    // Principals named in the configuration are few, and their accounts are never forgotten.
    if (!own && this.#byName.size >= MAX_ACCOUNTS && !this.#sweep(now)) {
      return (this.#shared ??= new QuotaAccount(`one ${this.#kind} of many`, this.#limits, now))
    }
    const account = new QuotaAccount(`the ${this.#kind} ${name}`, own ?? this.#limits, now)
    this.#byName.set(name, account)
    return account
  }

  /** Forgets accounts whose state equals that of a new one; true when at least one was forgotten. */
  #sweep(now: number): boolean {
    const sizeBefore = this.#byName.size
    let looked = 0
    for (const [name, account] of this.#byName) {
      if (looked++ >= SWEEP) break
      this.#byName.delete(name)
      if (!account.isIdle(now)) this.#byName.set(name, account)
    }
    return this.#byName.size < sizeBefore
  }
}
