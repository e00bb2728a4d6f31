import { errorCodes } from '../../kafka/error-codes.js'
import type { TopicNews } from '../messages/operations.js'
import { forgetOldest } from './forget-oldest.js'

interface Missing {
  /** Look-ups in a row that did not find it, and when the first and the last of them were answered. */
  misses: number
  since: number
  missedAt: number
  /** Until when it counts as missing for readers, without being looked up. */
  missingUntil: number
  /**
   * Until when it counts as missing for writers. They are told later than readers: after several misses over a while where
   * it will not be created, and only after a longer time of misses where brokers may create it.
   */
  confirmedUntil: number
  missedLongUntil: number
  /** True when it existed before, and counts as deleted. */
  isGone: boolean
  /** When brokers were first and last asked to create it; `undefined`: never. */
  creation: { readonly since: number; askedAt: number } | undefined
  /** Until when it counts as missing for requests that may have it created, too. */
  uncreatableUntil: number
  /** The error when the name is not allowed, or access to it is not; 0: no such answer. */
  errorCode: number
}

export interface MissingTopicsOptions {
  readonly unknownTopicRefreshes: number
  readonly unknownTopicTimeoutMs: number
  readonly unknownTopicRememberedMs: number
  /** Brokers have said that they create no topic that they are asked for. Default: they may. */
  readonly createsNone?: () => boolean
}

/** What is remembered about a name; `ask`: it has to be looked up. */
export type MissingLookup =
  | { readonly type: 'unknownTopic' }
  | { readonly type: 'topicError'; readonly errorCode: number }
  | { readonly type: 'ask' }

// Clients choose the names, so their number has a limit; the names whose last answers are oldest are forgotten first.
const MAX_NAMES = 10_000
/** Brokers take some 100 ms to create a topic. Asking again meanwhile would only use up the budget of other topics. */
export const CREATION_PAUSE_MS = 1_000
/**
 * After a pause of this length the look-ups of a topic are counted from zero again. Those of a topic that is waited for are
 * closer together, whatever the time-out is.
 */
export const FORGET_AFTER_MS = 10_000
/**
 * Brokers learn of a new topic one after another, mostly within 400 ms. Look-ups that missed a topic for so long are believed
 * by writers where brokers do not create it.
 */
const CONFIRMED_AFTER_MS = 500
const ASK: MissingLookup = { type: 'ask' }
const UNKNOWN_TOPIC: MissingLookup = { type: 'unknownTopic' }

/**
 * Names of topics that brokers say do not exist. That is believed after several look-ups, because each broker may lag, and
 * then remembered for a while. For a request that may have a topic created, the topic is only missing when brokers were asked
 * to create it and it did not appear, whatever readers have found.
 */
export class MissingTopics {
  readonly #options: MissingTopicsOptions
  /** In the order of the last answer about each, oldest first. */
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

  /** The same for writers, who wait longer, so that they are not told too early. */
  newsOf(topic: string, mayBeCreated: boolean, now: number): TopicNews | undefined {
    const missing = this.#names.get(topic)
    if (!missing) return undefined
    const { errorCode, missingUntil } = missing
    if (errorCode !== errorCodes.NONE) {
      return missingUntil > now ? { type: 'refused', topic, errorCode, until: missingUntil } : undefined
    }
    const until = mayBeCreated
      ? this.#untilForCreators(missing)
      : missing.isGone
        ? missingUntil
        : untilForWriters(missing)
    return until > now ? { type: 'missing', topic, until } : { type: 'denied', topic }
  }

  /** A request that has waited long enough is answered even if brokers were never asked, because of a flood of other names. */
  #untilForCreators(missing: Missing): number {
    if (missing.creation !== undefined) return missing.uncreatableUntil
    return this.#createsNone ? untilForWriters(missing) : missing.missedLongUntil
  }

  get #createsNone(): boolean {
    return this.#options.createsNone?.() ?? false
  }

  /** True when a look-up missed it lately. */
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
    const until = now + unknownTopicRememberedMs
    const isLong = now - missing.since >= unknownTopicTimeoutMs
    const isOften = missing.misses >= unknownTopicRefreshes
    const confirmedAfterMs = isOften ? Math.min(CONFIRMED_AFTER_MS, unknownTopicTimeoutMs) : unknownTopicTimeoutMs
    if (now - missing.since >= confirmedAfterMs) missing.confirmedUntil = until
    if (isLong) missing.missedLongUntil = until
    if (isLong || isOften) missing.missingUntil = until
    const uncreatableAfterMs = this.#createsNone ? confirmedAfterMs : unknownTopicTimeoutMs
    if (missing.creation && now - missing.creation.since >= uncreatableAfterMs) missing.uncreatableUntil = until
  }

  /** Whether brokers may be asked to create it now. If so, it counts as asked. */
  admitCreation(name: string, now: number): boolean {
    const askedAt = this.#names.get(name)?.creation?.askedAt
    if (askedAt !== undefined && now - askedAt < CREATION_PAUSE_MS) return false
    this.#creationAsked(this.#touch(name, now), now)
    return true
  }

  /** Notes that it existed, and counts as deleted now. */
  gone(name: string, now: number): void {
    const missing = this.#touch(name, now)
    missing.missedAt = now
    missing.isGone = true
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

  /** Forgets names that were missed long ago and have not been asked for since. */
  tidy(now: number): void {
    for (const [name, missing] of this.#names) {
      if (!this.#isOld(missing, now)) return
      this.#names.delete(name)
    }
  }

  #creationAsked(missing: Missing, now: number): void {
    const { creation, uncreatableUntil } = missing
    // An attempt that ended long ago, or whose end is forgotten, does not count for this one. The limit is twice the time-out,
    // because many names share the budget, so that a name may be asked for less often than once per time-out.
    const isSameTry =
      creation && uncreatableUntil === 0 && now - creation.askedAt <= 2 * this.#options.unknownTopicTimeoutMs
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
    forgetOldest(this.#names, MAX_NAMES)
    return missing
  }

  #isOld({ missedAt, missingUntil }: Missing, now: number): boolean {
    return now > missingUntil && now - missedAt > Math.max(FORGET_AFTER_MS, 2 * this.#options.unknownTopicTimeoutMs)
  }
}

const untilForWriters = ({ confirmedUntil, missedLongUntil }: Missing): number =>
  Math.max(confirmedUntil, missedLongUntil)

const blank = (now: number): Missing => ({
  misses: 0,
  since: now,
  missedAt: now,
  missingUntil: 0,
  confirmedUntil: 0,
  missedLongUntil: 0,
  isGone: false,
  creation: undefined,
  uncreatableUntil: 0,
  errorCode: errorCodes.NONE
})
