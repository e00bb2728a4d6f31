import type { ActorRef } from '../../core/actor/actor.js'
import type { RecordFailure } from '../../core/model.js'
import type { RouterMessage, TopicFollower, TopicNews } from '../../router/messages/operations.js'
import type { MemoryPendingProduce } from './pending-produce.js'
import { type MemoryDeps, Topic, type TopicDeps } from './topic.js'
import { UnknownTopics } from './unknown-topics.js'

/** How often the topics are searched for some that are not used. */
const UNUSED_CHECK_MS = 500
/** In multiples of the greatest age of metadata: a topic that no request has produced to for so long is forgotten. */
const UNUSED_TOPICS_KEPT_FOR = 10

/** All topics that requests have produced to. The Router tells what brokers say about them. */
export class TopicTable implements TopicFollower {
  readonly #router: ActorRef<RouterMessage>
  readonly #deps: TopicDeps
  readonly #topics = new Map<string, Topic>()
  readonly #onForgotten: (topic: Topic) => void
  readonly #unknown: UnknownTopics<Topic>
  /** Of this turn: what the Router will be asked to tell of, and for which of them it has to look again. */
  #toFollow = new Map<Topic, boolean>()
  #toUnfollow = new Set<Topic>()
  #unusedCheckedAt = Number.NEGATIVE_INFINITY
  #isClosed = false

  /** @param onForgotten called for a topic that was removed: no record may go through its object any more */
  constructor(router: ActorRef<RouterMessage>, deps: MemoryDeps, onForgotten: (topic: Topic) => void) {
    this.#router = router
    this.#onForgotten = onForgotten
    this.#unknown = new UnknownTopics(deps.settings, deps.waitingMaxBytes, topic => this.#forget(topic))
    this.#deps = {
      ...deps,
      unknown: this.#unknown,
      follow: (topic, anew) => this.#follow(topic, anew),
      unfollow: topic => this.#unfollow(topic)
    }
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

  /** A topic that no request has named yet, or why there is no place for it. */
  open(name: string, pendingProduce: MemoryPendingProduce): Topic | RecordFailure {
    const refusal = this.#unknown.refusal(pendingProduce)
    if (refusal !== undefined) return refusal
    const topic = new Topic(name, this.#deps)
    this.#topics.set(name, topic)
    return topic
  }

  /** Called by the Router. A bug met with one topic stays in it. */
  topicsTold(news: readonly TopicNews[]): void {
    if (this.#isClosed) return
    const nowMs = this.#deps.clock()
    for (const one of news) {
      try {
        this.#topics.get(one.topic)?.told(one, nowMs)
      } catch (error) {
        this.#deps.log.error({ err: error, topic: one.topic }, 'news of a topic met a bug')
      }
    }
  }

  /** Ends waits that are over, and forgets topics that are not used. */
  tick(nowMs: number): void {
    this.#unknown.tick(nowMs)
    if (nowMs - this.#unusedCheckedAt < UNUSED_CHECK_MS) return
    this.#unusedCheckedAt = nowMs
    const unusedMs = UNUSED_TOPICS_KEPT_FOR * this.#deps.settings.metadataMaxAgeMs
    for (const topic of this.#topics.values()) if (topic.isUnused(unusedMs, nowMs)) this.#forget(topic)
  }

  close(): void {
    this.#isClosed = true
  }

  #forget(topic: Topic): void {
    this.#topics.delete(topic.name)
    this.#unknown.forget(topic)
    this.#unfollow(topic)
    this.#onForgotten(topic)
  }

  /** At the end of this turn, so that all topics of a turn share a message. */
  #follow(topic: Topic, anew: boolean): void {
    this.#tellSoon()
    this.#toUnfollow.delete(topic)
    this.#toFollow.set(topic, anew)
  }

  #unfollow(topic: Topic): void {
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
    // One that was found meanwhile is followed on.
    this.#tellOf([...toUnfollow].filter(topic => !this.#topics.get(topic.name)?.isKnown))
    for (const anew of [false, true]) {
      const topics = toFollow.flatMap(([topic, isAnew]) => (isAnew === anew ? [topic] : []))
      this.#tellOf(topics, anew)
    }
  }

  /** @param anew absent: the topics are not to be followed any more */
  #tellOf(topics: readonly Topic[], anew?: boolean): void {
    if (topics.length === 0 || this.#isClosed) return
    const message = { topics: topics.map(({ name }) => name), follower: this }
    this.#router.tell(
      anew === undefined ? { type: 'unfollowTopics', ...message } : { type: 'followTopics', ...message, anew }
    )
  }
}
