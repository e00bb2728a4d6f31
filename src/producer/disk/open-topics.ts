import type { Logger, MonotonicClock } from '../../core/model.js'
import type { TopicNews } from '../../router/messages/operations.js'
import type { DestinationSearch, FoundDestinations } from '../log/destination-search.js'
import { bodyAt } from '../log/entry.js'
import type { DurableTopic } from './durable-topic.js'
import type { TopicStanding } from './log-share.js'

export interface OpenTopicsOptions {
  /** Destinations in the log begin with it. */
  readonly cluster: string
  readonly clock: MonotonicClock
  readonly log: Logger
  /** Looks for destinations in the log. */
  readonly search: (request: DestinationSearch) => Promise<FoundDestinations>
  /** @param from where its first entry in the log may be; `undefined`: nothing is there before what is appended next */
  readonly make: (destination: string, from: number | undefined) => DurableTopic
  /** Kafka knows the topic: its records are read from now on. */
  readonly onNamed: (topic: DurableTopic) => void
  /** The topic gives its place to others: nothing was read or sent for it. */
  readonly onShelved: (topic: DurableTopic) => void
}

/** Topics that Kafka has not named yet and that are asked for at the same time. Names come from clients, so they are many. */
export const MAX_UNKNOWN_TOPICS = 1_000
/** Names that are not looked for a second time before the whole log was looked through. */
const MAX_DENIED_NAMES = 10_000
/** Pause before the log is looked through again for names that Kafka did not know. */
const PASS_PAUSE_MS = 5_000
/** Names that Kafka did not know make room for others no more often than this: each costs brokers a look-up. */
const SHELVING_PAUSE_MS = 250

/**
 * The topics of one cluster that have an object: all that Kafka knows, and some that it has not been asked about. All
 * others are nothing but entries in the log. They get a place in the order in which they stand there; a name that Kafka
 * does not know gives its place to the next one, and gets another one when the log has been looked through:
 *
 *   log      a1 b1 x1 a2 x2 x3 x4 c1       places: 2      Kafka knows a, b and c
 *
 *   open     a b                            both are known: two places are free
 *            a b x1 x2  ->  x3 x4  ->  c    those that Kafka denies make room for who comes behind them
 */
export class OpenTopics {
  readonly #options: OpenTopicsOptions
  readonly #topics = new Map<string, DurableTopic>()
  /** Open topics that Kafka has not named. */
  readonly #unknown = new Set<DurableTopic>()
  /** Of those: Kafka has said that they are not there. */
  readonly #denied = new Set<DurableTopic>()
  /** Open topics whose records Kafka does not take: it does not have them, or the right to write to them is missing. */
  readonly #stopped = new Set<DurableTopic>()
  /** Names that were asked for on this way through the log, in vain. */
  readonly #deniedNames = new Set<string>()
  /** From here on there may be destinations without a topic that were not looked at; infinite: there are none. */
  #next = Number.POSITIVE_INFINITY
  /** The same for those that were asked for in vain: where the next way through the log begins. */
  #again = Number.POSITIVE_INFINITY
  #againAt = 0
  #shelvedAt = Number.NEGATIVE_INFINITY
  #isSearching = false
  #isPlanned = false
  /** What an earlier process has left waits until {@link drain}. */
  #isHeld = true
  #isClosed = false

  constructor(options: OpenTopicsOptions) {
    this.#options = options
  }

  get all(): Iterable<DurableTopic> {
    return this.#topics.values()
  }

  get size(): number {
    return this.#topics.size
  }

  /** By the name of the topic in Kafka. */
  byName(name: string): DurableTopic | undefined {
    return this.#topics.get(`${this.#options.cluster}/${name}`)
  }

  /** Of the topic of a record that is to be appended. While no topic is denied, all others may well be there. */
  standingOf(name: string): TopicStanding {
    const topic = this.byName(name)
    if (topic === undefined ? this.#deniedNames.has(`${this.#options.cluster}/${name}`) : this.#stopped.has(topic))
      return 'denied'
    return (topic?.partitionCount ?? 0) > 0 || this.#stopped.size === 0 ? 'known' : 'unknown'
  }

  /** From now on topics are looked for in the log. */
  drain(): void {
    this.#isHeld = false
    this.#searchSoon()
  }

  /** There are entries in the log, from `first` on, whose topics are not known here. */
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
    if (topic === undefined) this.found(sequence)
    else if (topic.isCaughtUp) topic.take(sequence, bodyAt(bytes, offset))
    else topic.appended(sequence)
  }

  /** What the Router knows of a topic. */
  told(news: TopicNews, nowMs: number): void {
    const topic = this.byName(news.topic)
    if (topic === undefined) return
    if (news.type === 'known') {
      this.#denied.delete(topic)
      this.#stopped.delete(topic)
      if (this.#unknown.delete(topic)) this.#options.onNamed(topic)
    } else {
      this.#stopped.add(topic)
      if (this.#unknown.has(topic)) this.#denied.add(topic)
    }
    topic.told(news, nowMs)
    this.#searchSoon()
  }

  /** Nothing of it is in the log or on its way. */
  forget(topic: DurableTopic): void {
    this.#topics.delete(topic.destination)
    this.#unknown.delete(topic)
    this.#denied.delete(topic)
    this.#stopped.delete(topic)
    this.#searchSoon()
  }

  /** Another cluster is connected, which may know other topics. */
  clusterChanged(): void {
    this.#denied.clear()
    this.#stopped.clear()
    this.#startOver()
  }

  tick(nowMs: number): void {
    if (this.#next === Number.POSITIVE_INFINITY && nowMs >= this.#againAt) this.#startOver()
    this.#searchSoon()
  }

  close(): void {
    this.#isClosed = true
  }

  #startOver(): void {
    this.#deniedNames.clear()
    this.#next = Math.min(this.#next, this.#again)
    this.#again = Number.POSITIVE_INFINITY
  }

  /** The usual case: no topic waits for a place. */
  #openAtOnce(destination: string): DurableTopic | undefined {
    if (this.#isSearching || this.#next < Number.POSITIVE_INFINITY || this.#freePlaces <= 0) return undefined
    return this.#open(destination, this.#again)
  }

  #open(destination: string, from: number): DurableTopic {
    const topic = this.#options.make(destination, from === Number.POSITIVE_INFINITY ? undefined : from)
    this.#topics.set(destination, topic)
    this.#unknown.add(topic)
    return topic
  }

  get #freePlaces(): number {
    return MAX_UNKNOWN_TOPICS - this.#unknown.size
  }

  /** At the end of the turn, so that all that is told in it counts. */
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
    return this.#denied.size > 0 && this.#options.clock() - this.#shelvedAt >= SHELVING_PAUSE_MS
  }

  async #search(): Promise<void> {
    if (this.#freePlaces <= 0) this.#shelveDenied()
    const from = this.#next
    this.#next = Number.POSITIVE_INFINITY
    this.#isSearching = true
    try {
      this.#take(await this.#options.search(this.#requestFrom(from)))
    } catch (error) {
      this.#comeBackTo(from)
      this.#options.log.error({ err: error }, 'the durable log could not be looked through for topics; trying again')
    }
    this.#isSearching = false
    this.#searchSoon()
  }

  #requestFrom(fromSequence: number): DestinationSearch {
    const except = new Set([...this.#topics.keys(), ...this.#deniedNames])
    return { fromSequence, cluster: this.#options.cluster, except, maxDestinations: this.#freePlaces }
  }

  #take({ destinations, nextSequence, isAtEnd }: FoundDestinations): void {
    if (this.#isClosed) return
    for (const [destination, first] of destinations) {
      if (!this.#topics.has(destination)) this.#open(destination, Math.min(first, this.#again))
    }
    if (!isAtEnd) this.#next = Math.min(this.#next, nextSequence)
  }

  #shelveDenied(): void {
    this.#shelvedAt = this.#options.clock()
    for (const topic of this.#denied) this.#shelve(topic)
  }

  /** What it has in the log stays there. */
  #shelve(topic: DurableTopic): void {
    this.forget(topic)
    this.#comeBackTo(topic.lowest)
    if (this.#deniedNames.size < MAX_DENIED_NAMES) this.#deniedNames.add(topic.destination)
    this.#options.onShelved(topic)
  }

  #comeBackTo(sequence: number): void {
    this.#again = Math.min(this.#again, sequence)
    this.#againAt = this.#options.clock() + PASS_PAUSE_MS
  }
}
