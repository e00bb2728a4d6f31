import type { ActorRef } from '../../core/actor/actor.js'
import type { RecordFailure } from '../../core/model.js'
import { ownText } from '../../core/own-text.js'
import type { RouterMessage, TopicFollower, TopicNews } from '../../router/messages/operations.js'
import type { MemoryPendingProduce } from './pending-produce.js'
import { type MemoryDeps, Topic, type TopicDeps, type TopicLookUps } from './topic.js'
import { UnknownTopics } from './unknown-topics.js'

/** An unused topic is forgotten after this multiple of the greatest age of metadata, or a little later. */
const UNUSED_TOPICS_KEPT_FOR = 10
const UNUSED_CHECKS = 20

/** All topics that requests have produced to. The Router sends news of them. */
export class TopicTable implements TopicFollower, TopicLookUps {
  readonly #router: ActorRef<RouterMessage>
  readonly #deps: TopicDeps
  readonly #topics = new Map<string, Topic>()
  readonly #onForgotten: (topic: Topic) => void
  readonly #unknown: UnknownTopics<Topic>
  /** Topics to subscribe to at the end of this tick, and whether the Router has to look them up anew. */
  #toFollow = new Map<Topic, boolean>()
  #toUnfollow = new Set<Topic>()
  #unusedCheckedAt = Number.NEGATIVE_INFINITY
  #isClosed = false

  /** @param onForgotten called for a topic that was removed: its object must not be used any more */
  constructor(router: ActorRef<RouterMessage>, deps: MemoryDeps, onForgotten: (topic: Topic) => void) {
    this.#router = router
    this.#onForgotten = onForgotten
    this.#unknown = new UnknownTopics(deps.settings, deps.waitingMaxBytes, topic => this.#forget(topic))
    this.#deps = { ...deps, unknown: this.#unknown, lookUps: this }
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

  /** Opens a topic that no request has named yet. @returns a failure when there is no place for it */
  open(sent: string, pendingProduce: MemoryPendingProduce): Topic | RecordFailure {
    const refusal = this.#unknown.refusal(pendingProduce)
    if (refusal !== undefined) return refusal
    const name = ownText(sent)
    const topic = new Topic(name, this.#deps)
    this.#topics.set(name, topic)
    return topic
  }

  /** Called by the Router. An exception in one topic does not affect others. */
  topicNews(news: readonly TopicNews[]): void {
    if (this.#isClosed) return
    const nowMs = this.#deps.clock()
    for (const one of news) {
      try {
        this.#topics.get(one.topic)?.told(one, nowMs)
      } catch (error) {
        this.#deps.log.error({ err: error, topic: one.topic }, 'the handling of topic metadata met a bug')
      }
    }
  }

  /** Ends waits that are over, and forgets topics that are not used. */
  tick(nowMs: number): void {
    this.#unknown.tick(nowMs)
    const unusedMs = UNUSED_TOPICS_KEPT_FOR * this.#deps.settings.metadataMaxAgeMs
    if (nowMs - this.#unusedCheckedAt < unusedMs / UNUSED_CHECKS) return
    this.#unusedCheckedAt = nowMs
    for (const topic of this.#topics.values()) if (topic.isUnused(unusedMs, nowMs)) this.#forget(topic)
  }

  close(): void {
    this.#isClosed = true
  }

  #forget(topic: Topic): void {
    this.#topics.delete(topic.name)
    this.#unknown.forget(topic)
    this.unfollow(topic)
    this.#onForgotten(topic)
  }

  /** Subscribes at the end of the tick, so that all topics of a tick share a message. */
  follow(topic: Topic, anew: boolean): void {
    this.#tellSoon()
    this.#toUnfollow.delete(topic)
    this.#toFollow.set(topic, anew)
  }

  unfollow(topic: Topic): void {
    this.#tellSoon()
    this.#toFollow.delete(topic)
    this.#toUnfollow.add(topic)
  }

  #tellSoon(): void {
    if (this.#toFollow.size + this.#toUnfollow.size === 0) setImmediate(() => this.#tell())
  }

  #tell(): void {
    const [toFollow, toUnfollow] = [[...this.#toFollow], this.#toUnfollow]
    this.#toFollow = new Map()
    this.#toUnfollow = new Set()
    // A topic that was found meanwhile stays subscribed.
    this.#tellOf([...toUnfollow].filter(topic => !this.#topics.get(topic.name)?.isKnown))
    for (const anew of [false, true]) {
      const topics = toFollow.flatMap(([topic, isAnew]) => (isAnew === anew ? [topic] : []))
      this.#tellOf(topics, anew)
    }
  }

  /** @param anew `undefined`: ends the subscription */
  #tellOf(topics: readonly Topic[], anew?: boolean): void {
    if (topics.length === 0 || this.#isClosed) return
    const message = { topics: topics.map(({ name }) => name), follower: this }
    this.#router.tell(
      anew === undefined ? { type: 'unfollowTopics', ...message } : { type: 'followTopics', ...message, anew }
    )
  }
}
