import type { ActorRef } from '../actor/actor.js'
import { ask } from '../actor/requester.js'
import type { FetchTopicMetadataResult, RouterMessage } from '../operations.js'
import type { LaneHost } from './lane-host.js'
import { Topic } from './topic.js'

/** A broker that is silent for so long is left to itself: the next look-up goes to another one. */
const TIMEOUT_MS = 1_500
/** The Router answers within the time-out; this is for a Router that does not. */
const BELT_MS = 1_000
const MOST_TOPICS_OF_A_LOOK_UP = 500

/** All topics somebody has produced to, and the look-ups of those whose partitions are not known or not lately. */
export class TopicTable {
  readonly #router: ActorRef<RouterMessage>
  readonly #host: LaneHost
  readonly #topics = new Map<string, Topic>()
  #isAsking = false
  #isPlanned = false
  #askedAt = Number.NEGATIVE_INFINITY
  #fullUntil = Number.NEGATIVE_INFINITY
  #requests = 0
  #isClosed = false

  constructor(router: ActorRef<RouterMessage>, host: LaneHost) {
    this.#router = router
    this.#host = host
  }

  get(name: string): Topic | undefined {
    return this.#topics.get(name)
  }

  values(): IterableIterator<Topic> {
    return this.#topics.values()
  }

  /** A topic nobody has asked for yet; `undefined` when too many unknown ones are being waited for. */
  open(name: string): Topic | undefined {
    if (this.#topics.size >= this.#host.settings.maxUnknownTopics && !this.#hasRoom()) return undefined
    const topic = new Topic(name, this.#host)
    this.#topics.set(name, topic)
    return topic
  }

  #hasRoom(): boolean {
    const nowMs = this.#host.clock()
    if (nowMs < this.#fullUntil) return false
    let unknown = 0
    for (const topic of this.#topics.values()) {
      if (topic.isKnown) continue
      if (topic.isForgettable(nowMs)) this.#topics.delete(topic.name)
      else if (topic.isUnknown) unknown++
    }
    const { maxUnknownTopics, lookUpIntervalMs } = this.#host.settings
    if (unknown < maxUnknownTopics) return true
    // Not looked at again for every record of a flood.
    this.#fullUntil = nowMs + lookUpIntervalMs
    return false
  }

  /** Looks up what is due, at the end of this turn at the earliest, so that all topics of a turn share a look-up. */
  lookUpSoon(): void {
    if (this.#isPlanned || this.#isAsking) return
    this.#isPlanned = true
    setImmediate(() => {
      this.#isPlanned = false
      this.tick(this.#host.clock())
    })
  }

  /** Ends waits that are over, and looks up what is due. */
  tick(nowMs: number): void {
    for (const topic of this.#topics.values()) topic.tick(nowMs)
    if (this.#isAsking || this.#isClosed || nowMs - this.#askedAt < this.#host.settings.lookUpIntervalMs) return
    // A refresh must not bring a topic back that was deleted; a record that waits for it may.
    const wanted: Topic[] = []
    const others: Topic[] = []
    for (const topic of this.#topics.values()) {
      if (!topic.isLookUpDue(nowMs)) continue
      const due = topic.needsCreation ? wanted : others
      if (due.length < MOST_TOPICS_OF_A_LOOK_UP) due.push(topic)
    }
    if (wanted.length > 0) this.#ask(wanted, this.#host.settings.createTopics)
    else if (others.length > 0) this.#ask(others, false)
  }

  #ask(topics: readonly Topic[], allowAutoTopicCreation: boolean): void {
    this.#isAsking = true
    this.#askedAt = this.#host.clock()
    for (const topic of topics) topic.lookUp.asked()
    ask<FetchTopicMetadataResult>('the partitions of topics', TIMEOUT_MS + BELT_MS, requester =>
      this.#router.tell({
        type: 'fetchTopicMetadata',
        requestId: ++this.#requests,
        topics: topics.map(topic => topic.name),
        allowAutoTopicCreation,
        timeoutMs: TIMEOUT_MS,
        requester
      })
    ).then(
      result => this.#answered(topics, result),
      () => this.#answered(topics, undefined)
    )
  }

  #answered(topics: readonly Topic[], result: FetchTopicMetadataResult | undefined): void {
    this.#isAsking = false
    if (this.#isClosed) return
    const nowMs = this.#host.clock()
    for (const topic of topics) {
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
