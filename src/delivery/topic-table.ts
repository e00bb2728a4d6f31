import type { ActorRef } from '../actor/actor.js'
import { ask } from '../actor/requester.js'
import type { FetchTopicMetadataResult, RecordFailure, RouterMessage } from '../operations.js'
import type { LaneHost } from './lane-host.js'
import type { Ticket } from './ticket.js'
import { Topic } from './topic.js'
import { UnknownTopics } from './unknown-topics.js'

/** Time limit for one look-up; the next one goes to another broker. */
const TIMEOUT_MS = 500
/** The same where brokers are slow: after a look-up that was not answered in time, or hardly. */
const LONG_TIMEOUT_MS = 1_500
/** Added to the time limit of the promise: the Router itself answers within its own. */
const BELT_MS = 1_000
/** How often the known topics are searched for some that are due for a refresh. */
const REFRESH_CHECK_MS = 500
/** In multiples of the greatest age of metadata: a topic nobody has produced to for so long is forgotten. */
const UNUSED_TOPICS_KEPT_FOR = 10

/** What is looked up, in the order of importance. Each kind has one look-up under way at most, and waits for no other. */
const kinds = ['pending', 'missing', 'refreshed'] as const
type Kind = (typeof kinds)[number]
/** Topics of one look-up. */
const mostTopicsOf: Record<Kind, number> = { pending: 2_000, missing: 1_000, refreshed: 1_000 }

/** All topics somebody has produced to, and the look-ups of those whose partitions are not known or not lately. */
export class TopicTable {
  readonly #router: ActorRef<RouterMessage>
  readonly #host: LaneHost
  readonly #topics = new Map<string, Topic>()
  readonly #onForgotten: (topic: Topic) => void
  readonly #unknown: UnknownTopics<Topic>
  /** Known topics that lanes were told do not exist. */
  readonly #wantedByLanes = new Set<Topic>()
  readonly #isAsking: Record<Kind, boolean> = { pending: false, missing: false, refreshed: false }
  readonly #askedAt: Record<Kind, number>
  /** The last look-up was not answered in half the time for one. */
  readonly #isSlow: Record<Kind, boolean> = { pending: false, missing: false, refreshed: false }
  #isPlanned = false
  #refreshCheckedAt = Number.NEGATIVE_INFINITY
  #requests = 0
  #isClosed = false

  /** @param onForgotten called for a topic that was removed: no record may go through its object any more */
  constructor(router: ActorRef<RouterMessage>, host: LaneHost, onForgotten: (topic: Topic) => void) {
    this.#router = router
    this.#host = host
    this.#onForgotten = onForgotten
    this.#unknown = new UnknownTopics(host.settings, topic => this.#forget(topic))
    const never = Number.NEGATIVE_INFINITY
    this.#askedAt = { pending: never, missing: never, refreshed: never }
  }

  get(name: string): Topic | undefined {
    return this.#topics.get(name)
  }

  values(): IterableIterator<Topic> {
    return this.#topics.values()
  }

  /** Topics that are being looked up, that are missing, or whose absence is remembered. */
  get unknownCount(): number {
    return this.#unknown.size
  }

  /** A topic nobody has asked for yet, or why there is no place for it. */
  open(name: string, ticket: Ticket): Topic | RecordFailure {
    const refusal = this.#unknown.refusal(ticket)
    if (refusal !== undefined) return refusal
    const topic = new Topic(name, this.#host, this.#unknown)
    this.#topics.set(name, topic)
    return topic
  }

  #forget(topic: Topic): void {
    this.#topics.delete(topic.name)
    this.#wantedByLanes.delete(topic)
    this.#unknown.forget(topic)
    this.#onForgotten(topic)
  }

  wantedByLane(name: string): void {
    const topic = this.#topics.get(name)
    if (topic === undefined) return
    topic.wantedByLane(this.#host.clock())
    this.#wantedByLanes.add(topic)
  }

  /** Looks up what is due, at the end of this turn at the earliest, so that all topics of a turn share a look-up. */
  lookUpSoon(): void {
    if (this.#isPlanned) return
    this.#isPlanned = true
    setImmediate(() => {
      this.#isPlanned = false
      this.#lookUp(this.#host.clock())
    })
  }

  /** Ends waits that are over, and looks up what is due. */
  tick(nowMs: number): void {
    this.#unknown.tick(nowMs)
    this.#lookUp(nowMs)
  }

  #lookUp(nowMs: number): void {
    if (this.#isClosed) return
    for (const kind of kinds) {
      if (this.#isAsking[kind] || nowMs - this.#askedAt[kind] < this.#host.settings.lookUpIntervalMs) continue
      const topics = this.#dueOf(kind, nowMs)
      if (topics.length > 0) this.#ask(kind, topics)
    }
  }

  #dueOf(kind: Kind, nowMs: number): Topic[] {
    const due: Topic[] = []
    for (const topic of this.#candidatesOf(kind, nowMs)) {
      if (!(kind === 'refreshed' ? topic.isRefreshDue(nowMs) : topic.lookUp.isDue(nowMs))) continue
      due.push(topic)
      if (due.length >= mostTopicsOf[kind]) break
    }
    return due
  }

  *#candidatesOf(kind: Kind, nowMs: number): Iterable<Topic> {
    switch (kind) {
      case 'pending':
        yield* this.#unknown.topics('pending')
        return
      case 'missing':
        // Those that existed a moment ago come first.
        for (const topic of this.#wantedByLanes) {
          if (topic.isWantedByLane) yield topic
          else this.#wantedByLanes.delete(topic)
        }
        yield* this.#unknown.topics('missing')
        return
      case 'refreshed':
        if (nowMs - this.#refreshCheckedAt < REFRESH_CHECK_MS) return
        this.#refreshCheckedAt = nowMs
        this.#forgetUnused(nowMs)
        yield* this.#topics.values()
    }
  }

  #forgetUnused(nowMs: number): void {
    const unusedMs = UNUSED_TOPICS_KEPT_FOR * this.#host.settings.metadataMaxAgeMs
    for (const topic of this.#topics.values()) if (topic.isUnused(unusedMs, nowMs)) this.#forget(topic)
  }

  /** Creates nothing that exists: the Router looks first, and has created what is missing as far as its budget goes. */
  #ask(kind: Kind, topics: readonly Topic[]): void {
    this.#isAsking[kind] = true
    this.#askedAt[kind] = this.#host.clock()
    const timeoutMs = this.#isSlow[kind] ? LONG_TIMEOUT_MS : TIMEOUT_MS
    for (const topic of topics) topic.lookUp.asked()
    ask<FetchTopicMetadataResult>('the partitions of topics', timeoutMs + BELT_MS, requester =>
      this.#router.tell({
        type: 'fetchTopicMetadata',
        requestId: ++this.#requests,
        topics: topics.map(topic => topic.name),
        allowAutoTopicCreation: kind !== 'refreshed' && this.#host.settings.createTopics,
        timeoutMs,
        requester
      })
    ).then(
      result => this.#answered(kind, topics, result),
      () => this.#answered(kind, topics, undefined)
    )
  }

  #answered(kind: Kind, topics: readonly Topic[], result: FetchTopicMetadataResult | undefined): void {
    this.#isAsking[kind] = false
    if (this.#isClosed) return
    const nowMs = this.#host.clock()
    this.#isSlow[kind] = nowMs - this.#askedAt[kind] > TIMEOUT_MS / 2
    for (const topic of topics) {
      // It may have been forgotten meanwhile.
      if (this.#topics.get(topic.name) !== topic) continue
      topic.lookedUp(result?.type === 'success' ? result.topics.get(topic.name) : undefined, nowMs)
    }
    if (result?.type === 'failed')
      this.#host.log.debug({ code: result.code }, `no look-up of topics: ${result.message}`)
    this.lookUpSoon()
  }

  close(): void {
    this.#isClosed = true
  }
}
