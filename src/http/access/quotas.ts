import { QuotaExceededError } from '../../core/errors.js'
import { HeldAmount } from '../../core/held-amount.js'
import { type MonotonicClock, SECOND_MS } from '../../core/model.js'
import type { QuotaLimits, QuotaSettings } from './settings.js'

/**
 * A rate limit that may be overdrawn once: as long as anything is left, a request may spend any amount, and the next
 * ones wait until the debt is paid. So a request larger than one second's worth is possible, and the rate holds over
 * time.
 *
 *   10 a second, 10 left:  spend 100 -> -90 left;  the next one waits 9 s
 */
class QuotaMeter {
  readonly #perSecond: number
  readonly #clock: MonotonicClock
  #left: number
  #updatedAt: number

  constructor(perSecond: number, clock: MonotonicClock) {
    this.#perSecond = this.#left = perSecond
    this.#clock = clock
    this.#updatedAt = clock()
  }

  /** Time until something is left; 0: now. */
  get waitMs(): number {
    this.#refill()
    return this.#left > 0 ? 0 : ((1 - this.#left) / this.#perSecond) * SECOND_MS
  }

  spend(amount: number): void {
    // Refilled first, so that the credit of a long pause, which is limited, does not pay for these records in full.
    this.#refill()
    this.#left -= amount
  }

  get isFull(): boolean {
    this.#refill()
    return this.#left === this.#perSecond
  }

  #refill(): void {
    const now = this.#clock()
    const gained = ((now - this.#updatedAt) / SECOND_MS) * this.#perSecond
    this.#left = Math.min(this.#perSecond, this.#left + gained)
    this.#updatedAt = now
  }
}

/** The use of the quotas of one principal or address. */
export class QuotaAccount {
  readonly #of: string
  readonly #records: QuotaMeter | undefined
  readonly #bytes: QuotaMeter | undefined
  readonly #maxRequests: number
  readonly #requests = new HeldAmount('requests of a quota')

  /** @param of whose it is: `the principal shop` */
  constructor(of: string, limits: QuotaLimits, clock: MonotonicClock) {
    const { recordsPerSecond, bytesPerSecond, maxRequestsInFlight = Number.POSITIVE_INFINITY } = limits
    this.#of = of
    this.#records = recordsPerSecond === undefined ? undefined : new QuotaMeter(recordsPerSecond, clock)
    this.#bytes = bytesPerSecond === undefined ? undefined : new QuotaMeter(bytesPerSecond, clock)
    this.#maxRequests = maxRequestsInFlight
  }

  get limitsRequests(): boolean {
    return this.#maxRequests !== Number.POSITIVE_INFINITY
  }

  /** The error when the rates do not admit another request at the moment. */
  refusal(): QuotaExceededError | undefined {
    const waitMs = Math.max(this.#records?.waitMs ?? 0, this.#bytes?.waitMs ?? 0)
    return waitMs > 0 ? this.#exceeded('records or bytes per second', waitMs) : undefined
  }

  /** Counts a request as in flight until {@link leave}, or returns the error when there are too many. */
  enter(): QuotaExceededError | undefined {
    if (this.#requests.value >= this.#maxRequests) return this.#exceeded('requests in flight', SECOND_MS)
    this.#requests.add(1)
    return undefined
  }

  leave(): void {
    this.#requests.release(1)
  }

  spend(records: number, bytes: number): void {
    this.#records?.spend(records)
    this.#bytes?.spend(bytes)
  }

  /** True when a new account would be in the same state. */
  get isIdle(): boolean {
    return this.#requests.value === 0 && (this.#records?.isFull ?? true) && (this.#bytes?.isFull ?? true)
  }

  #exceeded(what: string, waitMs: number): QuotaExceededError {
    const seconds = Math.max(1, Math.ceil(waitMs / SECOND_MS))
    const text = `the quota of ${what} of ${this.#of} is used up; try again in ${seconds} s (quotas)`
    return new QuotaExceededError(text, seconds, 'quotas')
  }
}

/** Charges all accounts, or none: then it returns the error of the one that takes longest. */
export function charge(
  accounts: readonly QuotaAccount[],
  records: number,
  bytes: number
): QuotaExceededError | undefined {
  const refusals = accounts.flatMap(account => account.refusal() ?? [])
  if (refusals.length === 0) for (const account of accounts) account.spend(records, bytes)
  return refusals.sort((one, other) => other.retryAfterSeconds - one.retryAfterSeconds)[0]
}

/** Limit of accounts per kind; beyond it, new clients share one account. */
const MAX_ACCOUNTS = 10_000

/** Each new account examines this many accounts, to find one that can be forgotten. */
const SWEEP = 16

const isLimited = (limits: QuotaLimits): boolean => Object.values(limits).some(limit => limit !== undefined)

export class Quotas {
  readonly #principals: Accounts | undefined
  readonly #addresses: Accounts | undefined

  constructor({ perPrincipal, perAddress, principals }: QuotaSettings, clock: MonotonicClock) {
    const own = new Map(principals.map(({ principal, ...limits }) => [principal, limits]))
    if (isLimited(perPrincipal) || own.size > 0) this.#principals = new Accounts('principal', perPrincipal, clock, own)
    if (isLimited(perAddress)) this.#addresses = new Accounts('address', perAddress, clock)
  }

  get isActive(): boolean {
    return this.#principals !== undefined || this.#addresses !== undefined
  }

  ofPrincipal(principal: string): QuotaAccount | undefined {
    return this.#principals?.get(principal)
  }

  /** @param address empty for clients without one, which have no quota */
  ofAddress(address: string): QuotaAccount | undefined {
    return address === '' ? undefined : this.#addresses?.get(address)
  }

  get size(): number {
    return (this.#principals?.size ?? 0) + (this.#addresses?.size ?? 0)
  }
}

class Accounts {
  readonly #limitsOf: (name: string) => QuotaLimits | undefined
  readonly #make: (whose: string, limits?: QuotaLimits) => QuotaAccount
  readonly #kind: string
  /** Least recently examined first: the next sweep begins there. */
  readonly #byName = new Map<string, QuotaAccount>()
  #shared: QuotaAccount | undefined

  /** @param own limits of single names */
  constructor(kind: string, limits: QuotaLimits, clock: MonotonicClock, own?: ReadonlyMap<string, QuotaLimits>) {
    this.#kind = kind
    this.#limitsOf = name => own?.get(name)
    this.#make = (whose, its = limits) => new QuotaAccount(whose, its, clock)
  }

  get size(): number {
    return this.#byName.size
  }

  get(name: string): QuotaAccount {
    const known = this.#byName.get(name)
    if (known) return known
    const own = this.#limitsOf(name)
    // Principals named in the configuration are few, and their accounts are never forgotten.
    if (!own && this.#byName.size >= MAX_ACCOUNTS && !this.#sweep())
      return (this.#shared ??= this.#make(`one ${this.#kind} of many`))
    const account = this.#make(`the ${this.#kind} ${name}`, own)
    this.#byName.set(name, account)
    return account
  }

  /** Forgets accounts whose state equals that of a new one; true when at least one was forgotten. */
  #sweep(): boolean {
    const sizeBefore = this.#byName.size
    let looked = 0
    for (const [name, account] of this.#byName) {
      if (looked++ >= SWEEP) break
      this.#byName.delete(name)
      if (!account.isIdle) this.#byName.set(name, account)
    }
    return this.#byName.size < sizeBefore
  }
}
