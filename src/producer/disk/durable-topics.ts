import { ClientTurns } from '../../core/client-turns.js'
import type { Logger, MonotonicClock, RecordFailure } from '../../core/model.js'
import type { TopicNews } from '../../router/messages/operations.js'
import type { DestinationSearch, FoundDestinations } from '../log/backlog.js'
import type { DurableLog } from '../log/durable-log.js'
import { bodyAt } from '../log/entry.js'
import { creationsIn, NewTopics } from '../memory/new-topics.js'
import type { OpenedBacklog } from './durable-backlog.js'
import type { DurableTopic } from './durable-topic.js'
import type { TopicStanding } from './log-capacity.js'
import { MissingNames } from './missing-names.js'

export interface DurableTopicsOptions {
  /** Name of the cluster: destinations in the log begin with it. */
  readonly cluster: string
  readonly clock: MonotonicClock
  readonly log: Logger
  /** The log is open before any topic is. */
  readonly opened: () => { readonly wal: Pick<DurableLog, 'search'>; readonly notes: OpenedBacklog['notes'] }
  /** Brokers may be asked to create missing topics. */
  readonly createsTopics: boolean
  /**
   * @param from the lowest sequence that its first entry can have; `undefined`: the log has no entry for it yet
   * @param client the client whose turn it takes to create it; `undefined`: not known
   */
  readonly make: (destination: string, from: number | undefined, client: string | undefined) => DurableTopic
  /** Called when the topic is closed to free its place for others. None of its records was read or sent. */
  readonly onShelved: (topic: DurableTopic) => void
}

/**
 * Limit of unknown topics that Kafka is asked about at the same time. Clients choose the names, so there may be many.
 */
export const MAX_UNKNOWN_TOPICS = 1_000
/** Limit of denied names that are remembered: Kafka is not asked about them again until the whole log was searched. */
const MAX_DENIED_NAMES = 10_000
/** Number of unknown topics that keep their places while they wait to be created, so that the Router always has one to create. */
export const MAX_IN_TURN = 100
/** Topics are accepted that can be created in this time. Their records wait on disk meanwhile. */
const CREATED_WITHIN_MS = 10 * 60_000
/** Pause before the log is searched again for denied names. */
const PASS_PAUSE_MS = 5_000
/** Pause between replacements of denied names by others, because each name costs brokers a look-up. */
const SHELVING_PAUSE_MS = 250

/**
 * The topics of one cluster that have an object: all that Kafka knows, and a limited number of unknown ones. All others
 * are only entries in the log, and get a place in the order of these entries. A name that Kafka denies gives its place
 * to the next one, and gets a place again when the whole log has been searched:
 *
 *   log      a1 b1 x1 a2 x2 x3 x4 c1       places: 2      Kafka knows a, b and c
 *
 *   open     a b                            both are known: two places are free
 *            a b x1 x2  ->  x3 x4  ->  c    denied names give way to the names behind them
 *
 * Where brokers may create them, names wait in turns of the clients that named them first. They give way, too, and have a place
 * again as soon as it is their turn.
 */
export class DurableTopics {
  readonly #options: DurableTopicsOptions
  readonly #topics = new Map<string, DurableTopic>()
  /** When each topic was last in use, and the end of its entries at that time. */
  readonly #lastUse = new WeakMap<DurableTopic, { readonly atMs: number; readonly end: number }>()
  /** Open topics that Kafka has not confirmed. */
  readonly #unknown = new Set<DurableTopic>()
  /** Unknown topics that Kafka has denied. */
  readonly #denied = new Set<DurableTopic>()
  /** Open topics whose records Kafka refuses, because the topic or the permission to write is missing, by the last news. */
  readonly #stopped = new Map<DurableTopic, TopicNews['type']>()
  /** Open unknown topics that wait for their creation. */
  readonly #waiting = new Set<DurableTopic>()
  /** Open topics that have waited in `#inTurn`, and of which there is no news since. */
  readonly #reopened = new Set<DurableTopic>()
  /** Names that wait for their creation without a place: where their entries begin. */
  readonly #inTurn = new Map<string, { readonly from: number; readonly client: string | undefined }>()
  readonly #turns = new ClientTurns<string>()
  /** All destinations that wait for their creation, or may have to; `undefined`: brokers are asked for none. */
  readonly #newTopics: NewTopics | undefined
  readonly #missingNames: MissingNames
  /** Names that were denied during this pass through the log. */
  readonly #deniedNames = new Set<string>()
  /** Entries from this sequence on may belong to topics that are not open; infinite: there are none. */
  #next = Number.POSITIVE_INFINITY
  /** Sequence where the next pass through the log begins, for names that were denied. */
  #again = Number.POSITIVE_INFINITY
  #againAt = 0
  #shelvedAt = Number.NEGATIVE_INFINITY
  #sweptAt = Number.NEGATIVE_INFINITY
  #isSearching = false
  #isPlanned = false
  /** Entries of an earlier process wait until {@link drain}. */
  #isHeld = true
  #isClosed = false

  constructor(options: DurableTopicsOptions) {
    this.#options = options
    this.#missingNames = new MissingNames(options.cluster, options.log)
    if (options.createsTopics) this.#newTopics = new NewTopics(creationsIn(CREATED_WITHIN_MS))
  }

  get all(): Iterable<DurableTopic> {
    return this.#topics.values()
  }

  get size(): number {
    return this.#topics.size
  }

  /** Topics that Kafka does not have and for which records wait: some by their names, and how many others there are. */
  get missing(): { readonly named: ReadonlySet<string>; readonly others: number } {
    const missing = [...this.#stopped].filter(([topic, news]) => news === 'missing' && !topic.isIdle)
    const { named } = this.#missingNames
    return { named, others: Math.max(0, missing.length + this.#deniedNames.size - named.size) }
  }

  /** @param name of the topic in Kafka */
  byName(name: string): DurableTopic | undefined {
    return this.#topics.get(this.#destinationOf(name))
  }

  #destinationOf(name: string): string {
    return `${this.#options.cluster}/${name}`
  }

  /** Whether Kafka has denied the name, and it has no place any more. */
  #isShelved(destination: string): boolean {
    return this.#deniedNames.has(destination) || this.#inTurn.has(destination)
  }

  /**
   * Admits a record for a topic. A topic that is not known gets a place among those that may have to be created.
   *
   * @param request that has named it: its client, and the places that it has taken
   * @returns why it gets none: others would have to be created before it for too long
   */
  admit(
    name: string,
    request: { readonly holder: { readonly client?: string | undefined } | undefined; placesTaken: number }
  ): RecordFailure | undefined {
    const destination = this.#destinationOf(name)
    if (this.#newTopics === undefined || this.#topics.has(destination) || this.#isShelved(destination)) return undefined
    const client = request.holder?.client
    const refusal = this.#newTopics.refusalOf(destination, client, request.placesTaken)
    if (refusal === undefined && this.#newTopics.take(destination, client)) request.placesTaken++
    return refusal
  }

  /** Whether Kafka has the topic of a new record. While no topic is denied, all are taken to be known. */
  standingOf(name: string): TopicStanding {
    const topic = this.byName(name)
    if (topic === undefined ? this.#isShelved(this.#destinationOf(name)) : this.#stopped.has(topic)) return 'denied'
    return (topic?.partitionCount ?? 0) > 0 || this.#stopped.size === 0 ? 'known' : 'unknown'
  }

  /** Begins to search the log for topics. */
  drain(): void {
    this.#isHeld = false
    this.#searchSoon()
  }

  /** The log has entries without an open topic, from `first` on. */
  found(first: number): void {
    this.#next = Math.min(this.#next, first)
    this.#searchSoon()
  }

  /**
   * An entry for this destination was appended.
   *
   * @param offset where it stands in `bytes`, which are used again when this returns
   */
  appended(destination: string, sequence: number, bytes: Buffer, offset: number): void {
    const topic = this.#topics.get(destination) ?? this.#openAtOnce(destination)
    if (topic === undefined) {
      if (!this.#inTurn.has(destination)) this.found(sequence)
    } else if (topic.isCaughtUp) topic.take(sequence, bodyAt(bytes, offset))
    else topic.appended(sequence)
  }

  /** News of a topic from the Router. */
  told(news: TopicNews, nowMs: number): void {
    const topic = this.byName(news.topic)
    if (topic === undefined) return
    this.#reopened.delete(topic)
    this.#waiting.delete(topic)
    this.#denied.delete(topic)
    if (news.type === 'known') {
      this.#stopped.delete(topic)
      this.#newTopics?.release(topic.destination)
      this.#missingNames.forget(news.topic)
      // The batches of the topic are read again now. A later object for the same topic must not read them once more.
      if (this.#unknown.delete(topic)) this.#options.opened().notes.delete(topic.destination)
    } else {
      this.#stopped.set(topic, news.type)
      this.#denies(topic, news)
      if (news.type === 'refused') this.#missingNames.forget(news.topic)
      if (news.type === 'missing' && !topic.isIdle) this.#missingNames.missing(news.topic)
    }
    topic.told(news, nowMs)
    this.#reopen()
    this.#searchSoon()
  }

  #denies(topic: DurableTopic, news: TopicNews): void {
    const creation = news.type === 'denied' ? news.creation : undefined
    // No broker is going to create it.
    if (creation === undefined) this.#newTopics?.release(topic.destination)
    if (!this.#unknown.has(topic)) return
    if (creation === undefined) this.#denied.add(topic)
    // One that brokers were asked for keeps its place until they have answered.
    else if (creation === 'waits') this.#waiting.add(topic)
  }

  /** Drops a topic that has no open entries and no batch in flight. */
  forget(topic: DurableTopic): void {
    this.#missingNames.forget(topic.name)
    this.#newTopics?.release(topic.destination)
    this.#remove(topic)
  }

  #remove(topic: DurableTopic): void {
    this.#topics.delete(topic.destination)
    this.#unknown.delete(topic)
    this.#denied.delete(topic)
    this.#waiting.delete(topic)
    this.#reopened.delete(topic)
    this.#stopped.delete(topic)
    this.#searchSoon()
  }

  /** Topics that had no entry and no batch for `forMs`, as far as earlier calls have seen. */
  unused(forMs: number, nowMs: number): DurableTopic[] {
    return [...this.#topics.values()].filter(topic => {
      const lastUse = this.#lastUse.get(topic)
      // A record that was appended and delivered since the last check is a use, too.
      const isUnused = topic.isIdle && lastUse !== undefined && lastUse.end >= topic.end
      if (isUnused) return nowMs - lastUse.atMs >= forMs
      this.#lastUse.set(topic, { atMs: nowMs, end: topic.end })
      return false
    })
  }

  /** Another cluster is connected, which may know other topics. */
  clusterChanged(): void {
    this.#denied.clear()
    this.#waiting.clear()
    this.#reopened.clear()
    for (const [destination, { from, client = '' }] of this.#inTurn) {
      this.#turns.delete(client, destination)
      this.#next = Math.min(this.#next, from)
    }
    this.#inTurn.clear()
    this.#stopped.clear()
    this.#missingNames.clear()
    this.#startOver()
    for (const topic of this.#topics.values()) topic.clusterChanged()
  }

  tick(nowMs: number): void {
    for (const name of this.#missingNames.named) if (this.byName(name)?.isIdle) this.#missingNames.forget(name)
    const isAtEnd = this.#next === Number.POSITIVE_INFINITY && !this.#isSearching
    if (isAtEnd) this.#sweep(nowMs)
    if (isAtEnd && nowMs >= this.#againAt) this.#startOver()
    this.#reopen()
    this.#searchSoon()
  }

  /** All names with entries are known now: others have lost theirs, or never had one, because the log refused it. */
  #sweep(nowMs: number): void {
    if (this.#newTopics === undefined || nowMs - this.#sweptAt < PASS_PAUSE_MS) return
    this.#sweptAt = nowMs
    for (const destination of this.#newTopics.topics)
      if (!this.#topics.has(destination) && !this.#inTurn.has(destination)) this.#newTopics.release(destination)
  }

  close(): void {
    this.#isClosed = true
  }

  #startOver(): void {
    if (this.#deniedNames.size < MAX_DENIED_NAMES) this.#forgetNamesWithoutEntries()
    this.#deniedNames.clear()
    this.#next = Math.min(this.#next, this.#again)
    this.#again = Number.POSITIVE_INFINITY
  }

  /** The pass that ends has met every name that has an entry. */
  #forgetNamesWithoutEntries(): void {
    for (const name of this.#missingNames.named)
      if (this.byName(name) === undefined && !this.#deniedNames.has(this.#destinationOf(name)))
        this.#missingNames.forget(name)
  }

  /** Opens the topic, unless others wait for a place. */
  #openAtOnce(destination: string): DurableTopic | undefined {
    if (this.#isSearching || this.#next < Number.POSITIVE_INFINITY || this.#freePlaces <= 0) return undefined
    if (this.#inTurn.has(destination)) return undefined
    return this.#open(destination, this.#again, this.#newTopics?.clientOf(destination))
  }

  #open(destination: string, from: number, client: string | undefined): DurableTopic {
    const topic = this.#options.make(destination, from === Number.POSITIVE_INFINITY ? undefined : from, client)
    this.#topics.set(destination, topic)
    this.#unknown.add(topic)
    this.#newTopics?.take(destination, client)
    return topic
  }

  /** Gives names their places again as soon as fewer wait for their creation than may have one. */
  #reopen(): void {
    while (this.#turns.size > 0 && this.#waiting.size + this.#reopened.size < MAX_IN_TURN && this.#freePlaces > 0) {
      const destination = this.#turns.next()!
      const { from, client } = this.#inTurn.get(destination)!
      this.#inTurn.delete(destination)
      this.#reopened.add(this.#open(destination, from, client))
    }
  }

  get #freePlaces(): number {
    return MAX_UNKNOWN_TOPICS - this.#unknown.size
  }

  /** Searches at the end of the tick, so that all news of the tick counts. */
  #searchSoon(): void {
    if (this.#isPlanned || !this.#canSearch) return
    this.#isPlanned = true
    setImmediate(() => {
      this.#isPlanned = false
      if (this.#canSearch) void this.#search()
    })
  }

  get #canSearch(): boolean {
    const isWanted = !this.#isHeld && !this.#isClosed && !this.#isSearching && this.#next < Number.POSITIVE_INFINITY
    return isWanted && (this.#freePlaces > 0 || this.#canShelve)
  }

  get #canShelve(): boolean {
    const isAny = this.#denied.size > 0 || this.#waiting.size > MAX_IN_TURN
    return isAny && this.#options.clock() - this.#shelvedAt >= SHELVING_PAUSE_MS
  }

  async #search(): Promise<void> {
    if (this.#freePlaces <= 0) this.#shelveDenied()
    const from = this.#next
    this.#next = Number.POSITIVE_INFINITY
    this.#isSearching = true
    try {
      this.#take(await this.#options.opened().wal.search(this.#requestFrom(from)))
    } catch (error) {
      this.#comeBackTo(from)
      this.#options.log.error({ err: error }, 'the durable log could not be looked through for topics; trying again')
    }
    this.#isSearching = false
    this.#searchSoon()
  }

  #requestFrom(fromSequence: number): DestinationSearch {
    const except = new Set([...this.#topics.keys(), ...this.#deniedNames, ...this.#inTurn.keys()])
    return { fromSequence, cluster: this.#options.cluster, except, maxDestinations: this.#freePlaces }
  }

  #take({ destinations, nextSequence, isAtEnd }: FoundDestinations): void {
    if (this.#isClosed) return
    for (const [destination, first] of destinations) {
      if (this.#topics.has(destination) || this.#inTurn.has(destination)) continue
      this.#open(destination, Math.min(first, this.#again), this.#newTopics?.clientOf(destination))
    }
    if (!isAtEnd) this.#next = Math.min(this.#next, nextSequence)
  }

  #shelveDenied(): void {
    this.#shelvedAt = this.#options.clock()
    for (const topic of this.#denied) this.#shelve(topic)
    for (const topic of [...this.#waiting].slice(MAX_IN_TURN)) this.#putInTurn(topic)
  }

  /** Closes the topic until it is its turn to be created. */
  #putInTurn(topic: DurableTopic): void {
    const { destination, client, lowest } = topic
    this.#remove(topic)
    this.#inTurn.set(destination, { from: lowest, client })
    this.#turns.add(client ?? '', destination)
    this.#options.onShelved(topic)
  }

  /** Closes the topic; its entries stay in the log. */
  #shelve(topic: DurableTopic): void {
    this.#remove(topic)
    this.#comeBackTo(topic.lowest)
    if (this.#deniedNames.size < MAX_DENIED_NAMES) this.#deniedNames.add(topic.destination)
    this.#options.onShelved(topic)
  }

  #comeBackTo(sequence: number): void {
    this.#again = Math.min(this.#again, sequence)
    this.#againAt = this.#options.clock() + PASS_PAUSE_MS
  }
}
