import { errorCodes } from '../wire/error-codes.js'

interface Missing {
  /** Look-ups in a row that did not find it, and when the first and the last of them were answered. */
  misses: number
  since: number
  missedAt: number
  /** Until then it counts as missing without asking, for those who only read. */
  missingUntil: number
  /** When brokers were first and last asked to create it; `undefined`: they were not. */
  creation: { readonly since: number; askedAt: number } | undefined
  /** Until then it counts as missing for those, too, who may have it created. */
  uncreatableUntil: number
  /** The name is not allowed, or we may not see it; 0: no such answer. Remembered as long. */
  errorCode: number
}

export interface MissingTopicsOptions {
  readonly unknownTopicRefreshes: number
  readonly unknownTopicTimeoutMs: number
  readonly unknownTopicRememberedMs: number
}

/** What is remembered about a name; `ask`: nothing, or not enough to say no. */
export type MissingLookup =
  | { readonly type: 'unknownTopic' }
  | { readonly type: 'topicError'; readonly errorCode: number }
  | { readonly type: 'ask' }

// Names come from strangers: of more than this the one missed longest ago is forgotten.
const MAX_NAMES = 10_000
/** Creating takes brokers some 100 ms; asking for it again meanwhile would only use up the budget of others. */
export const CREATION_PAUSE_MS = 1_000
const ASK: MissingLookup = { type: 'ask' }
const UNKNOWN_TOPIC: MissingLookup = { type: 'unknownTopic' }

/**
 * Names that brokers say are no topics. Believed after several look-ups, since each broker's view lags separately; then
 * remembered for a while. Whoever may have a topic created does not care what readers have found: for them it is missing
 * only when brokers were asked to create it and it did not appear.
 */
export class MissingTopics {
  readonly #options: MissingTopicsOptions
  /** In the order of the last answer about them, oldest first. */
  readonly #names = new Map<string, Missing>()

  constructor(options: MissingTopicsOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#names.size
  }

  lookUp(name: string, mayBeCreated: boolean, now: number): MissingLookup {
    const missing = this.#names.get(name)
    if (!missing) return ASK
    if (missing.errorCode !== errorCodes.NONE) {
      return missing.missingUntil > now ? { type: 'topicError', errorCode: missing.errorCode } : ASK
    }
    return (mayBeCreated ? missing.uncreatableUntil : missing.missingUntil) > now ? UNKNOWN_TOPIC : ASK
  }

  /** Missed by a look-up lately. */
  isMissed(name: string): boolean {
    return this.#names.has(name)
  }

  /** A look-up did not find it. `couldBeCreated`: the look-up asked brokers to create it. */
  missed(name: string, couldBeCreated: boolean, now: number): void {
    const { unknownTopicRefreshes, unknownTopicTimeoutMs, unknownTopicRememberedMs } = this.#options
    const missing = this.#touch(name, now)
    missing.errorCode = 0
    missing.misses++
    missing.missedAt = now
    if (couldBeCreated) this.#creationAsked(missing, now)
    if (missing.misses >= unknownTopicRefreshes || now - missing.since >= unknownTopicTimeoutMs) {
      missing.missingUntil = now + unknownTopicRememberedMs
    }
    if (missing.creation && now - missing.creation.since >= unknownTopicTimeoutMs) {
      missing.uncreatableUntil = now + unknownTopicRememberedMs
    }
  }

  /** Whether brokers may be asked to create it now; then it counts as asked. */
  admitCreation(name: string, now: number): boolean {
    const askedAt = this.#names.get(name)?.creation?.askedAt
    if (askedAt !== undefined && now - askedAt < CREATION_PAUSE_MS) return false
    this.#creationAsked(this.#touch(name, now), now)
    return true
  }

  /** It was there, and is believed to be gone. */
  gone(name: string, now: number): void {
    const missing = this.#touch(name, now)
    missing.missedAt = now
    missing.missingUntil = now + this.#options.unknownTopicRememberedMs
  }

  refused(name: string, errorCode: number, now: number): void {
    const missing = this.#touch(name, now)
    missing.errorCode = errorCode
    missing.missedAt = now
    missing.missingUntil = now + this.#options.unknownTopicRememberedMs
  }

  found(name: string): void {
    this.#names.delete(name)
  }

  clear(): void {
    this.#names.clear()
  }

  /** Forgets what was missed long ago and not asked for since: it says nothing about now. */
  tidy(now: number): void {
    for (const [name, missing] of this.#names) {
      if (!this.#isOld(missing, now)) return
      this.#names.delete(name)
    }
  }

  #creationAsked(missing: Missing, now: number): void {
    const { creation, uncreatableUntil } = missing
    // A try that ended long ago, or whose end is no longer remembered, says nothing about this one.
    const isSameTry =
      creation && uncreatableUntil === 0 && now - creation.askedAt <= this.#options.unknownTopicTimeoutMs
    if (isSameTry) creation.askedAt = now
    else if (uncreatableUntil <= now) {
      missing.creation = { since: now, askedAt: now }
      missing.uncreatableUntil = 0
    }
  }

  #touch(name: string, now: number): Missing {
    const known = this.#names.get(name)
    this.#names.delete(name)
    const missing = known && !this.#isOld(known, now) ? known : blank(now)
    this.#names.set(name, missing)
    for (const oldest of this.#names.keys()) {
      if (this.#names.size <= MAX_NAMES) break
      this.#names.delete(oldest)
    }
    return missing
  }

  #isOld({ missedAt, missingUntil }: Missing, now: number): boolean {
    return now > missingUntil && now - missedAt > 2 * this.#options.unknownTopicTimeoutMs
  }
}

const blank = (now: number): Missing => ({
  misses: 0,
  since: now,
  missedAt: now,
  missingUntil: 0,
  creation: undefined,
  uncreatableUntil: 0,
  errorCode: errorCodes.NONE
})
