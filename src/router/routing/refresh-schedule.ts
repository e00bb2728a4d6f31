import { backoffMs } from '../../core/backoff.js'
import { ClientTurns } from '../../core/client-turns.js'
import { ownText } from '../../core/own-text.js'
import type { TokenBucket } from '../../core/token-bucket.js'
import { CREATION_PAUSE_MS, FORGET_AFTER_MS } from './missing-topics.js'

/** A topic that has to be looked up or was looked up lately. */
interface ScheduledTopic {
  readonly topic: string
  /** The number of look-ups in a row, and the start of the last one. */
  attempts: number
  startedAt: number
  /** When the next look-up is due; `undefined`: no look-up is wanted. */
  lookUpAt: number | undefined
  /**
   * When brokers may be asked to create the topic; `undefined`: it is not missing, or no waiting request may create it.
   */
  createAt: number | undefined
  /** When brokers were last asked to create the topic. */
  creationAskedAt: number
  /** The client in whose turn the topic is created; empty: it is not known. */
  client: string
  isOnItsWay: boolean
}

export interface RefreshScheduleOptions {
  readonly refreshBackoffMs: number
  readonly refreshBackoffMaxMs: number
  readonly random: () => number
  /** Knows which topics brokers have reported, and which names the last look-up did not find. */
  readonly leaders: { isKnown(topic: string): boolean; isMissing(topic: string): boolean }
  /**
   * True when no broker creates missing topics, so that a few look-ups are enough. Default: brokers may create topics.
   */
  readonly cannotBeCreated?: () => boolean
  /** Limits how many topics brokers are asked to create. */
  readonly creations: TokenBucket
}

export interface RefreshPlan {
  readonly topics: readonly string[]
  readonly allowAutoTopicCreation: boolean
}

/**
 * Longest pause between two look-ups that confirm that a topic is missing, if no broker creates topics. The writers of
 * the topic wait for these look-ups.
 */
const CONFIRMATION_PAUSE_MS = 250
const MAX_KNOWN_PER_CALL = 2_000
const MAX_UNKNOWN_PER_CALL = 500
/** Shortest pause between two calls for unknown names, however many names there are. */
const UNKNOWN_INTERVAL_MS = 20

/**
 * Decides when topics are looked up. There is one call at a time, for many topics. The first look-up of a topic has no
 * delay, and the pause before further look-ups doubles each time. After a failed call all look-ups pause. The clock is
 * an argument.
 *
 *   look-up    known topics first, then unknown names; it creates nothing, so it may ask for many names
 *   creation   names that brokers say are missing and that a request may have created, within a budget: clients take turns
 *
 * When both are due they take turns. The cost of one message does not depend on the number of waiting names.
 */
export class RefreshSchedule {
  readonly #options: RefreshScheduleOptions
  readonly #entries = new Map<string, ScheduledTopic>()
  readonly #known = new DueHeap<ScheduledTopic>((entry, dueAt) => this.#isLive(entry) && entry.lookUpAt === dueAt)
  readonly #unknown = new DueHeap<ScheduledTopic>((entry, dueAt) => this.#isLive(entry) && entry.lookUpAt === dueAt)
  readonly #creations = new DueHeap<ScheduledTopic>((entry, dueAt) => this.#isLive(entry) && entry.createAt === dueAt)
  /** Names whose creation is due. */
  readonly #turns = new ClientTurns<ScheduledTopic>()
  /** Topics that users look up, and that are missing, have the next token. */
  #owesOne = false
  #unknownNotBefore = Number.NEGATIVE_INFINITY
  #wantsBrokers = false
  /** The number of calls in a row only for the list of brokers, and the start of the last one. */
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

  /** Number of calls in a row that no broker answered. */
  get failures(): number {
    return this.#failures
  }
  /** Number of topics that are wanted or were looked up lately. */
  get size(): number {
    return this.#entries.size
  }

  /**
   * Requests a look-up of a topic. If a look-up is already wanted or in flight, this call adds none. If the answer is
   * then too old, the caller asks again.
   *
   * @param mayBeCreated brokers may be asked to create the topic if it is missing
   * @param client in whose turn it is created; the first one that is named counts. Absent: it is not known
   */
  want(topic: string, mayBeCreated: boolean, now: number, client = ''): void {
    const entry = this.#require(topic)
    // A topic that has its turn stays with the client under which it waits.
    if (mayBeCreated && entry.client === '' && entry.createAt === undefined) entry.client = ownText(client)
    if (entry.isOnItsWay) return
    if (entry.lookUpAt === undefined) this.#lookUpAt(entry, this.#notBefore(entry, now))
    if (!mayBeCreated || entry.createAt !== undefined || !this.#options.leaders.isMissing(topic)) return
    entry.createAt = Math.max(now, entry.creationAskedAt + CREATION_PAUSE_MS)
    this.#creations.add(entry, entry.createAt)
  }

  /** Cancels the look-ups of a topic that no request waits for. */
  forget(topic: string): void {
    const entry = this.#entries.get(topic)
    if (entry === undefined) return
    this.#entries.delete(topic)
    this.#turns.delete(entry.client, entry)
  }

  /** How many missing topics of users' look-ups may be created now. While others wait for their turn, every second one. */
  freeCreations(now: number): number {
    const available = this.#options.creations.available(now)
    if (this.#turns.size === 0) return available
    this.#owesOne = true
    return Math.min(1, available)
  }

  /** Takes so many of the {@link freeCreations}. */
  tookCreations(count: number, now: number): void {
    this.#options.creations.take(count, now)
    if (count > 0) this.#owesOne = false
  }

  /**
   * Requests a look-up of the list of brokers. As for a topic, the first look-up has no delay, and the pause doubles
   * each time.
   */
  wantBrokers(): void {
    this.#wantsBrokers = true
  }

  /** Returns the call that is due, if any. It is in flight until {@link succeeded} or {@link failed}. */
  start(now: number): RefreshPlan | undefined {
    if (this.#inFlight || now < this.#pausedUntil || this.#isIdle) return undefined
    this.#inFlight = this.#createdLast
      ? (this.#planLookUp(now) ?? this.#planCreation(now))
      : (this.#planCreation(now) ?? this.#planLookUp(now))
    if (this.#inFlight) this.#createdLast = this.#inFlight.allowAutoTopicCreation
    return this.#inFlight
  }

  /** Whether nothing is wanted, as is the case for most messages to the Router. */
  get #isIdle(): boolean {
    const topics = this.#known.size + this.#unknown.size + this.#creations.size + this.#turns.size
    return !this.#wantsBrokers && topics === 0
  }

  succeeded(): void {
    this.#land()
    this.#failures = 0
    this.#pausedUntil = 0
  }

  /** Notes that no broker answered. All look-ups pause, and the look-ups of the call are wanted again. */
  failed(plan: RefreshPlan, now: number): void {
    const { refreshBackoffMs, refreshBackoffMaxMs, random } = this.#options
    this.#land()
    this.#pausedUntil = now + backoffMs(this.#failures++, refreshBackoffMs, refreshBackoffMaxMs, random)
    for (const topic of plan.topics) {
      const entry = this.#entries.get(topic)
      if (entry && entry.lookUpAt === undefined) this.#lookUpAt(entry, now)
    }
    this.#wantsBrokers = true
    // All look-ups pause now, so the list of brokers needs no pause of its own.
    this.#brokersAttempts = 0
    this.#brokersNotBefore = now
  }

  /** When {@link start} has a call to make; `undefined`: nothing is wanted. */
  nextAt(now: number): number | undefined {
    if (this.#inFlight || this.#isIdle) return undefined
    const times = [
      this.#wantsBrokers ? Math.max(now, this.#brokersNotBefore) : undefined,
      this.#known.nextAt(),
      this.#nextUnknownAt(),
      this.#nextCreationAt(now)
    ]
    const next = Math.min(...times.filter(time => time !== undefined))
    return next === Number.POSITIVE_INFINITY ? undefined : Math.max(next, this.#pausedUntil)
  }

  /** Drops entries that are no longer wanted. */
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
    // Every metadata response has the list of brokers.
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
    for (const entry of this.#creations.takeDue(now, Number.POSITIVE_INFINITY)) this.#turns.add(entry.client, entry)
    // No token is taken when no creation is due.
    if (this.#turns.size === 0) return undefined
    const entries = this.#takeTurns(creations.available(now) - this.#owed)
    if (entries.length === 0) return undefined
    creations.take(entries.length, now)
    for (const entry of entries) {
      entry.createAt = undefined
      entry.creationAskedAt = now
      // Brokers are about to create the topic, so it is looked up again soon.
      entry.attempts = 0
    }
    return this.#depart(entries, true, now)
  }

  /** Topics that were found meanwhile take no turn. */
  #takeTurns(most: number): ScheduledTopic[] {
    const entries: ScheduledTopic[] = []
    while (entries.length < most && this.#turns.size > 0) {
      const entry = this.#turns.next()!
      if (this.#options.leaders.isMissing(entry.topic)) entries.push(entry)
      else entry.createAt = undefined
    }
    return entries
  }

  #depart(entries: readonly ScheduledTopic[], allowAutoTopicCreation: boolean, now: number): RefreshPlan {
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
    const next = this.#turns.size > 0 ? now : this.#creations.nextAt()
    if (next === undefined) return undefined
    return Math.max(next, now + this.#options.creations.untilNextMs(now, 1 + this.#owed))
  }

  get #owed(): number {
    return this.#owesOne ? 1 : 0
  }

  #require(sent: string): ScheduledTopic {
    let entry = this.#entries.get(sent)
    if (!entry) {
      const topic = ownText(sent)
      entry = {
        topic,
        attempts: 0,
        startedAt: Number.NEGATIVE_INFINITY,
        lookUpAt: undefined,
        createAt: undefined,
        creationAskedAt: Number.NEGATIVE_INFINITY,
        client: '',
        isOnItsWay: false
      }
      this.#entries.set(topic, entry)
    }
    return entry
  }

  #isLive(entry: ScheduledTopic): boolean {
    return this.#entries.get(entry.topic) === entry
  }

  #lookUpAt(entry: ScheduledTopic, at: number): void {
    entry.lookUpAt = at
    const heap = this.#options.leaders.isKnown(entry.topic) ? this.#known : this.#unknown
    heap.add(entry, at)
  }

  #notBefore(entry: ScheduledTopic, now: number): number {
    if (now - entry.startedAt > FORGET_AFTER_MS) entry.attempts = 0
    if (entry.attempts === 0) return now
    const { refreshBackoffMs, refreshBackoffMaxMs, random, leaders, cannotBeCreated } = this.#options
    const isConfirming = !leaders.isKnown(entry.topic) && leaders.isMissing(entry.topic) && cannotBeCreated?.() === true
    const maxMs = isConfirming ? Math.min(refreshBackoffMaxMs, CONFIRMATION_PAUSE_MS) : refreshBackoffMaxMs
    return entry.startedAt + backoffMs(entry.attempts - 1, refreshBackoffMs, maxMs, random)
  }
}

/** Topics that brokers are asked to create, so few that invented names cannot fill a cluster with topics. */
export const CREATIONS_PER_SECOND = 20

/**
 * A heap of items, sorted by due time. Items with the same due time are in the order in which they were added. Adding
 * and taking an item take logarithmic time. An item that is no longer wanted stays in the heap until its turn, and is
 * then skipped.
 */
export class DueHeap<Item> {
  readonly #isWanted: (item: Item, dueAt: number) => boolean
  readonly #heap: { readonly item: Item; readonly dueAt: number; readonly order: number }[] = []
  #added = 0

  /** @param isWanted false for an item that was taken out, or has another due time now */
  constructor(isWanted: (item: Item, dueAt: number) => boolean) {
    this.#isWanted = isWanted
  }

  /** Number of entries, including entries that are no longer wanted. */
  get size(): number {
    return this.#heap.length
  }

  add(item: Item, dueAt: number): void {
    const heap = this.#heap
    heap.push({ item, dueAt, order: ++this.#added })
    for (let at = heap.length - 1; at > 0; ) {
      const parent = (at - 1) >>> 1
      if (!this.#isBefore(at, parent)) break
      this.#swap(at, parent)
      at = parent
    }
  }

  /** When the first item is due; `undefined` when there is none. */
  nextAt(): number | undefined {
    this.#dropUnwanted()
    return this.#heap[0]?.dueAt
  }

  takeDue(now: number, most: number): Item[] {
    const items: Item[] = []
    while (items.length < most) {
      this.#dropUnwanted()
      const first = this.#heap[0]
      if (!first || first.dueAt > now) break
      items.push(first.item)
      this.#removeFirst()
    }
    return items
  }

  #dropUnwanted(): void {
    for (let first = this.#heap[0]; first && !this.#isWanted(first.item, first.dueAt); first = this.#heap[0]) {
      this.#removeFirst()
    }
  }

  #removeFirst(): void {
    const heap = this.#heap
    const last = heap.pop()!
    if (heap.length === 0) return
    heap[0] = last
    for (let at = 0; ; ) {
      const left = 2 * at + 1
      let least = at
      for (const child of [left, left + 1]) if (child < heap.length && this.#isBefore(child, least)) least = child
      if (least === at) return
      this.#swap(at, least)
      at = least
    }
  }

  #isBefore(at: number, other: number): boolean {
    const a = this.#heap[at]!
    const b = this.#heap[other]!
    return a.dueAt < b.dueAt || (a.dueAt === b.dueAt && a.order < b.order)
  }

  #swap(at: number, other: number): void {
    const heap = this.#heap
    const item = heap[at]!
    heap[at] = heap[other]!
    heap[other] = item
  }
}
