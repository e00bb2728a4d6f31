import type { QuotaLimits } from './settings.js'

const MS_PER_SECOND = 1_000

/**
 * A rate limit that may be overdrawn once: as long as anything is left, a request may spend any amount, and the next
 * ones wait until the debt is paid. So a request larger than one second's worth is possible, and the rate holds over
 * time.
 *
 *   10 a second, 10 left:  spend 100 -> -90 left;  the next one waits 9 s
 */
export class Meter {
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
    return this.#left > 0 ? 0 : ((1 - this.#left) / this.#perSecond) * MS_PER_SECOND
  }

  spend(amount: number): void {
    this.#left -= amount
  }

  isFull(now: number): boolean {
    this.#refill(now)
    return this.#left === this.#perSecond
  }

  #refill(now: number): void {
    const gained = ((now - this.#updatedAt) / MS_PER_SECOND) * this.#perSecond
    this.#left = Math.min(this.#perSecond, this.#left + gained)
    this.#updatedAt = now
  }
}

/** What one principal or address has used of its quotas. */
export class QuotaAccount {
  readonly #records: Meter | undefined
  readonly #bytes: Meter | undefined
  readonly maxRequests: number
  readonly #onSpent: ((records: number, bytes: number) => void) | undefined
  #requests = 0

  /** @param onSpent told of what is spent here */
  constructor(
    { recordsPerSecond, bytesPerSecond, maxRequestsInFlight }: QuotaLimits,
    now: number,
    onSpent?: (records: number, bytes: number) => void
  ) {
    this.#onSpent = onSpent
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
    this.spentElsewhere(records, bytes)
    this.#onSpent?.(records, bytes)
  }

  /** Another process has let so much pass. */
  spentElsewhere(records: number, bytes: number): void {
    this.#records?.spend(records)
    this.#bytes?.spend(bytes)
  }

  /** True when a new account would be in the same state. */
  isIdle(now: number): boolean {
    return this.#requests === 0 && (this.#records?.isFull(now) ?? true) && (this.#bytes?.isFull(now) ?? true)
  }
}
