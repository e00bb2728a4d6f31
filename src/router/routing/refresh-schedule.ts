import { backoffMs } from '../../core/backoff.js'
import { DueHeap } from './due-heap.js'
import { CREATION_PAUSE_MS, FORGET_AFTER_MS } from './missing-topics.js'
import type { TokenBucket } from './token-bucket.js'

/** A topic that is to be looked up, or was looked up lately. */
interface Entry {
  readonly topic: string
  /** Look-ups in a row, and when the last one began. */
  attempts: number
  startedAt: number
  /** When the next look-up is due; `undefined`: no look-up is wanted. */
  lookUpAt: number | undefined
  /** When brokers may be asked to create it; `undefined`: it is not missing, or no waiting request may have it created. */
  createAt: number | undefined
  /** When brokers were last asked to create it. */
  creationAskedAt: number
  isOnItsWay: boolean
}

export interface RefreshScheduleOptions {
  readonly refreshBackoffMs: number
  readonly refreshBackoffMaxMs: number
  readonly random: () => number
  readonly isKnown: (topic: string) => boolean
  /** A broker has lately said that there is no such topic. */
  readonly isMissing: (topic: string) => boolean
  /** No broker creates a missing topic, so that a few look-ups decide about it. Default: brokers may. */
  readonly cannotBeCreated?: () => boolean
  /** Limits how many topics brokers are asked to create. */
  readonly creations: TokenBucket
}

/** What one metadata call should ask for. */
export interface RefreshPlan {
  readonly topics: readonly string[]
  readonly allowAutoTopicCreation: boolean
}

/** Longest pause between two look-ups that confirm that a topic is missing which no broker creates: its writers wait for them. */
const CONFIRMATION_PAUSE_MS = 250
const MAX_KNOWN_PER_CALL = 2_000
const MAX_UNKNOWN_PER_CALL = 500
/** Least pause between two calls for unknown names, however many there are. */
const UNKNOWN_INTERVAL_MS = 20

/**
 * Decides which topics are looked up when. One call at a time asks for many topics. A topic is looked up at once the first
 * time, and then with a doubling pause; after a call that failed all topics pause. The clock is an argument.
 *
 *   look-up    known topics first, then unknown names; it creates nothing, so it may ask for many names
 *   creation   names that brokers say are missing and that a request may have created, within a budget
 *
 * When both are due they take turns. The cost of one message does not depend on the number of waiting names.
 */
export class RefreshSchedule {
  readonly #options: RefreshScheduleOptions
  readonly #entries = new Map<string, Entry>()
  readonly #known = new DueHeap<Entry>((entry, dueAt) => this.#isLive(entry) && entry.lookUpAt === dueAt)
  readonly #unknown = new DueHeap<Entry>((entry, dueAt) => this.#isLive(entry) && entry.lookUpAt === dueAt)
  readonly #creations = new DueHeap<Entry>((entry, dueAt) => this.#isLive(entry) && entry.createAt === dueAt)
  #unknownNotBefore = Number.NEGATIVE_INFINITY
  #wantsBrokers = false
  /** Calls in a row that were made for the list of brokers alone, and when the last one began. */
  #brokersAttempts = 0
  #brokersStartedAt = Number.NEGATIVE_INFINITY
  #brokersNotBefore = Number.NEGATIVE_INFINITY
  #inFlight: RefreshPlan | undefined
  #createdLast = false
  #failures = 0
  #pausedUntil = 0

  constructor(options: RefreshScheduleOptions) {
    this.#options = options
  }

  /** Calls in a row that no broker answered. */
  get failures(): number {
    return this.#failures
  }
  /** Topics that are wanted or were looked up lately. */
  get size(): number {
    return this.#entries.size
  }

  /**
   * Asks for a topic to be looked up. A look-up that is wanted or in flight already is enough; if its answer turns out to be
   * too old, the topic is asked for again.
   *
   * @param mayBeCreated brokers may be asked to create it when it is missing
   */
  want(topic: string, mayBeCreated: boolean, now: number): void {
    const entry = this.#require(topic)
    if (entry.isOnItsWay) return
    if (entry.lookUpAt === undefined) this.#lookUpAt(entry, this.#notBefore(entry, now))
    if (!mayBeCreated || entry.createAt !== undefined || !this.#options.isMissing(topic)) return
    entry.createAt = Math.max(now, entry.creationAskedAt + CREATION_PAUSE_MS)
    this.#creations.add(entry, entry.createAt)
  }

  /** No request waits for it any more. */
  forget(topic: string): void {
    this.#entries.delete(topic)
  }

  /** Asks for the list of brokers: at once the first time, and then with a doubling pause, as for a topic. */
  wantBrokers(): void {
    this.#wantsBrokers = true
  }

  /** What to ask now, if anything. The call is then in flight until {@link succeeded} or {@link failed}. */
  start(now: number): RefreshPlan | undefined {
    if (this.#inFlight || now < this.#pausedUntil) return undefined
    this.#inFlight = this.#createdLast
      ? (this.#planLookUp(now) ?? this.#planCreation(now))
      : (this.#planCreation(now) ?? this.#planLookUp(now))
    if (this.#inFlight) this.#createdLast = this.#inFlight.allowAutoTopicCreation
    return this.#inFlight
  }

  succeeded(): void {
    this.#land()
    this.#failures = 0
    this.#pausedUntil = 0
  }

  /** No broker answered. Everything waits for a pause, and what was asked is still wanted. */
  failed(plan: RefreshPlan, now: number): void {
    const { refreshBackoffMs, refreshBackoffMaxMs, random } = this.#options
    this.#land()
    this.#pausedUntil = now + backoffMs(this.#failures++, refreshBackoffMs, refreshBackoffMaxMs, random)
    for (const topic of plan.topics) {
      const entry = this.#entries.get(topic)
      if (entry && entry.lookUpAt === undefined) this.#lookUpAt(entry, now)
    }
    this.#wantsBrokers = true
    // The pause of everything is enough.
    this.#brokersAttempts = 0
    this.#brokersNotBefore = now
  }

  /** When {@link start} may have a call next; `undefined` when nothing is wanted. */
  nextAt(now: number): number | undefined {
    if (this.#inFlight) return undefined
    const times = [
      this.#wantsBrokers ? Math.max(now, this.#brokersNotBefore) : undefined,
      this.#known.nextAt(),
      this.#nextUnknownAt(),
      this.#nextCreationAt(now)
    ]
    const next = Math.min(...times.filter(time => time !== undefined))
    return next === Number.POSITIVE_INFINITY ? undefined : Math.max(next, this.#pausedUntil)
  }

  /** Drops entries that are not wanted any more. */
  tidy(now: number): void {
    for (const [topic, { lookUpAt, isOnItsWay, startedAt }] of this.#entries) {
      if (lookUpAt === undefined && !isOnItsWay && now - startedAt > FORGET_AFTER_MS) this.#entries.delete(topic)
    }
  }

  #planLookUp(now: number): RefreshPlan | undefined {
    const known = this.#known.takeDue(now, MAX_KNOWN_PER_CALL)
    const unknown = now < this.#unknownNotBefore ? [] : this.#unknown.takeDue(now, MAX_UNKNOWN_PER_CALL)
    if (unknown.length > 0) this.#unknownNotBefore = now + UNKNOWN_INTERVAL_MS
    const entries = [...known, ...unknown]
    const isForBrokers = this.#wantsBrokers && now >= this.#brokersNotBefore
    if (entries.length === 0 && !isForBrokers) return undefined
    // Every answer has the list of brokers.
    if (isForBrokers) this.#askForBrokers(now)
    this.#wantsBrokers = false
    return this.#depart(entries, false, now)
  }

  #askForBrokers(now: number): void {
    const { refreshBackoffMs, refreshBackoffMaxMs, random } = this.#options
    if (now - this.#brokersStartedAt > FORGET_AFTER_MS) this.#brokersAttempts = 0
    this.#brokersStartedAt = now
    this.#brokersNotBefore = now + backoffMs(this.#brokersAttempts++, refreshBackoffMs, refreshBackoffMaxMs, random)
  }

  #planCreation(now: number): RefreshPlan | undefined {
    const { creations } = this.#options
    // So that no token is taken without a use for it.
    if ((this.#creations.nextAt() ?? Number.POSITIVE_INFINITY) > now) return undefined
    const entries = this.#creations.takeDue(now, creations.available(now))
    if (entries.length === 0) return undefined
    creations.take(entries.length, now)
    for (const entry of entries) {
      entry.createAt = undefined
      entry.creationAskedAt = now
      // Brokers create it in a moment, so it is looked up again soon.
      entry.attempts = 0
    }
    return this.#depart(entries, true, now)
  }

  #depart(entries: readonly Entry[], allowAutoTopicCreation: boolean, now: number): RefreshPlan {
    for (const entry of entries) {
      entry.lookUpAt = undefined
      entry.isOnItsWay = true
      entry.attempts++
      entry.startedAt = now
    }
    return { topics: entries.map(({ topic }) => topic), allowAutoTopicCreation }
  }

  #land(): void {
    for (const topic of this.#inFlight?.topics ?? []) {
      const entry = this.#entries.get(topic)
      if (entry) entry.isOnItsWay = false
    }
    this.#inFlight = undefined
  }

  #nextUnknownAt(): number | undefined {
    const next = this.#unknown.nextAt()
    return next === undefined ? undefined : Math.max(next, this.#unknownNotBefore)
  }

  #nextCreationAt(now: number): number | undefined {
    const next = this.#creations.nextAt()
    return next === undefined ? undefined : Math.max(next, now + this.#options.creations.untilNextMs(now))
  }

  #require(topic: string): Entry {
    let entry = this.#entries.get(topic)
    if (!entry) {
      entry = {
        topic,
        attempts: 0,
        startedAt: Number.NEGATIVE_INFINITY,
        lookUpAt: undefined,
        createAt: undefined,
        creationAskedAt: Number.NEGATIVE_INFINITY,
        isOnItsWay: false
      }
      this.#entries.set(topic, entry)
    }
    return entry
  }

  #isLive(entry: Entry): boolean {
    return this.#entries.get(entry.topic) === entry
  }

  #lookUpAt(entry: Entry, at: number): void {
    entry.lookUpAt = at
    const heap = this.#options.isKnown(entry.topic) ? this.#known : this.#unknown
    heap.add(entry, at)
  }

  #notBefore(entry: Entry, now: number): number {
    if (now - entry.startedAt > FORGET_AFTER_MS) entry.attempts = 0
    if (entry.attempts === 0) return now
    const { refreshBackoffMs, refreshBackoffMaxMs, random, isKnown, isMissing, cannotBeCreated } = this.#options
    const isConfirming = !isKnown(entry.topic) && isMissing(entry.topic) && cannotBeCreated?.() === true
    const maxMs = isConfirming ? Math.min(refreshBackoffMaxMs, CONFIRMATION_PAUSE_MS) : refreshBackoffMaxMs
    return entry.startedAt + backoffMs(entry.attempts - 1, refreshBackoffMs, maxMs, random)
  }
}
