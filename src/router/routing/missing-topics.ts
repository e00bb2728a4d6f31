import { forgetOldest } from '../../core/maps.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { TopicNews } from '../messages/operations.js'

interface Missing {
  /** The number of look-ups in a row that did not find the topic, and the times of the first and the last answer. */
  misses: number
  since: number
  missedAt: number
  /** Time until which the topic counts as missing for readers, without a look-up. */
  missingUntil: number
  /**
   * Until when the topic counts as missing for writers, where brokers create none. Writers are notified later than readers:
   * after several misses over a while (`confirmedUntil`), or after a longer time of misses (`missedLongUntil`).
   */
  confirmedUntil: number
  missedLongUntil: number
  /** True when the topic existed before and counts as deleted. */
  isGone: boolean
  /**
   * When a broker first answered that was asked to create the topic (infinite: none has answered), when one was last asked, and
   * whether a look-up has not found it when the broker had had the time. `undefined`: none was asked.
   */
  creation: { since: number; askedAt: number; isDenied: boolean } | undefined
  /** Until when the topic also counts as missing for requests that may create it. */
  uncreatableUntil: number
  /** The error code when the name or the access to it is not allowed; 0: there was no such answer. */
  errorCode: number
}

export interface MissingTopicsOptions {
  readonly unknownTopicTimeoutMs: number
  readonly unknownTopicRememberedMs: number
  /** True when brokers have reported that they do not create missing topics. Default: they may create them. */
  readonly createsNone?: () => boolean
}

/** The remembered answer for a name. `ask`: the name has to be looked up. */
export type MissingLookup =
  /** `mayCome`: brokers were asked to create the topic, and may still do so. Absent: no broker creates it. */
  | { readonly type: 'unknownTopic'; readonly mayCome?: true }
  | { readonly type: 'topicError'; readonly errorCode: number }
  | { readonly type: 'ask' }

// Clients choose the names, so the number of names has a limit. Names with the oldest answers are forgotten first.
const MAX_NAMES = 10_000
/** Look-ups in a row that must not find a topic. A single broker may not know a new topic yet. */
export const MISSES_OF_UNKNOWN = 3
/**
 * Shortest time between two attempts to create a topic. Brokers need about 100 ms to create it. An earlier attempt only
 * uses up the budget of other topics.
 */
export const CREATION_PAUSE_MS = 1_000
/**
 * When there was no look-up of a topic for this time, its look-ups are counted from zero again. While a request waits
 * for a topic, its look-ups always follow in shorter intervals.
 */
export const FORGET_AFTER_MS = 10_000
/**
 * If brokers do not create topics, a topic counts as missing for writers when look-ups have not found it for this time.
 * Brokers learn of a new topic one after another, usually within 400 ms. A broker that was asked to create one has so long.
 */
const CONFIRMED_AFTER_MS = 500
const ASK: MissingLookup = { type: 'ask' }
const UNKNOWN_TOPIC: MissingLookup = { type: 'unknownTopic' }
const UNCREATED_TOPIC: MissingLookup = { type: 'unknownTopic', mayCome: true }

/**
 * Names of topics that do not exist, according to brokers. A topic counts as missing after several look-ups, because a
 * single broker may lag. The result is remembered for a while. For a request that may create a topic, the topic is only
 * missing when brokers were asked to create it and it did not appear.
 */
export class MissingTopics {
  readonly #options: MissingTopicsOptions
  /** The names in the order of their last answers, oldest first. */
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
    if ((mayBeCreated ? missing.uncreatableUntil : missing.missingUntil) <= now) return ASK
    return this.#mayCome(mayBeCreated) ? UNCREATED_TOPIC : UNKNOWN_TOPIC
  }

  /** The news of a name for writers. Writers wait longer than readers, so that they do not give up too early. */
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
    const mayCome = this.#mayCome(mayBeCreated)
    if (until > now) return mayCome ? { type: 'missing', topic, until, mayCome } : { type: 'missing', topic, until }
    if (!mayCome) return { type: 'denied', topic }
    return { type: 'denied', topic, creation: this.#creationOf(missing, now) }
  }

  /** Whether brokers may create a topic of a request that lets them, however late. No answer of theirs says that they do not. */
  #mayCome(mayBeCreated: boolean): boolean {
    return mayBeCreated && !this.#createsNone
  }

  /**
   * Time until which the topic counts as missing for requests that may create it. A topic that waits for its turn to be
   * created does not count as missing: no broker has refused to create it.
   */
  #untilForCreators(missing: Missing): number {
    if (missing.creation !== undefined) return missing.uncreatableUntil
    return this.#createsNone ? untilForWriters(missing) : 0
  }

  #creationOf(missing: Missing, now: number): 'waits' | 'begun' | 'asked' {
    if (!this.#isInTry(missing, now)) return 'waits'
    return missing.creation!.isDenied ? 'asked' : 'begun'
  }

  /**
   * Whether the creation of a missing topic is still pending: no broker that was asked to create it has had enough
   * time. {@link newsOf} tells when the topic counts as missing.
   */
  waitsForCreation(name: string, now: number): boolean {
    if (this.#createsNone) return false
    const missing = this.#names.get(name)
    if (missing === undefined) return true
    const { errorCode, creation, uncreatableUntil } = missing
    if (errorCode !== errorCodes.NONE || uncreatableUntil > now) return false
    return !this.#isInTry(missing, now) || now - creation!.since < this.#confirmedAfterMs
  }

  get #confirmedAfterMs(): number {
    return Math.min(CONFIRMED_AFTER_MS, this.#options.unknownTopicTimeoutMs)
  }

  /** Brokers were asked to create the topic a short time ago, and may still do so. */
  #isInTry({ creation, uncreatableUntil }: Missing, now: number): boolean {
    return creation !== undefined && uncreatableUntil === 0 && now - creation.askedAt <= this.#tryMs
  }

  /** The limit is twice the time-out: many names share the budget, so the attempts for one name may be more than a time-out apart. */
  get #tryMs(): number {
    return 2 * this.#options.unknownTopicTimeoutMs
  }

  get #createsNone(): boolean {
    return this.#options.createsNone?.() ?? false
  }

  /** True when a recent look-up did not find the topic. */
  isMissed(name: string): boolean {
    return this.#names.has(name)
  }

  /** A look-up did not find the name. `couldBeCreated`: the look-up asked brokers to create it. */
  missed(name: string, couldBeCreated: boolean, now: number): void {
    const { unknownTopicTimeoutMs, unknownTopicRememberedMs } = this.#options
    const missing = this.#touch(name, now)
    missing.errorCode = 0
    missing.misses++
    missing.missedAt = now
    if (couldBeCreated) this.#creationAsked(missing, now, now)
    else if (missing.creation !== undefined && now - missing.creation.since >= this.#confirmedAfterMs)
      missing.creation.isDenied = true
    const until = now + unknownTopicRememberedMs
    const isLong = now - missing.since >= unknownTopicTimeoutMs
    const isOften = missing.misses >= MISSES_OF_UNKNOWN
    const confirmedAfterMs = isOften ? this.#confirmedAfterMs : unknownTopicTimeoutMs
    if (now - missing.since >= confirmedAfterMs) missing.confirmedUntil = until
    if (isLong) missing.missedLongUntil = until
    if (isLong || isOften) missing.missingUntil = until
    const uncreatableAfterMs = this.#createsNone ? confirmedAfterMs : unknownTopicTimeoutMs
    const { creation, uncreatableUntil } = missing
    // A try that has ended says nothing of the next one.
    const isTried = creation !== undefined && (uncreatableUntil === 0 || uncreatableUntil > now)
    if (isTried && now - creation.since >= uncreatableAfterMs) missing.uncreatableUntil = until
  }

  /** Returns true if brokers may be asked to create the topic now. This then counts as an attempt to create it. */
  admitCreation(name: string, now: number): boolean {
    const askedAt = this.#names.get(name)?.creation?.askedAt
    if (askedAt !== undefined && now - askedAt < CREATION_PAUSE_MS) return false
    this.#creationAsked(this.#touch(name, now), now, Number.POSITIVE_INFINITY)
    return true
  }

  /** Notes that the topic existed and now counts as deleted. */
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

  /** Forgets names whose last look-up was long ago. */
  tidy(now: number): void {
    for (const [name, missing] of this.#names) {
      if (!this.#isOld(missing, now)) return
      this.#names.delete(name)
    }
  }

  /** @param answeredAt infinite: no broker has answered yet */
  #creationAsked(missing: Missing, now: number, answeredAt: number): void {
    const { creation, uncreatableUntil } = missing
    // An earlier attempt that has ended, or was long ago, does not count for the current attempt.
    if (creation !== undefined && this.#isInTry(missing, now)) {
      creation.askedAt = now
      creation.since = Math.min(creation.since, answeredAt)
    } else if (uncreatableUntil <= now) {
      missing.creation = { since: answeredAt, askedAt: now, isDenied: false }
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
