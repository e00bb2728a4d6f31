import type { ActorRef } from '../../core/actor/actor.js'
import type { RecordFailure } from '../../core/model.js'
import { ownText } from '../../core/own-text.js'
import type { RouterMessage } from '../../router/messages/operations.js'
import type { MemoryPendingProduce } from './pending-produce.js'
import { type MemoryDeps, Topic, type TopicDeps } from './topic.js'
import { TopicSubscription } from './topic-subscription.js'
import { UnknownTopics } from './unknown-topics.js'

/** An unused topic is forgotten after this multiple of the greatest age of metadata, or a little later. */
const IDLE_TOPICS_KEPT_AGES = 10
const UNUSED_CHECKS = 20

/** All topics that requests have produced to. The Router sends news of them. */
export class ProducedTopics {
  readonly #deps: TopicDeps
  readonly #topics = new Map<string, Topic>()
  readonly #onForgotten: (topic: Topic) => void
  readonly #unknown: UnknownTopics<Topic>
  readonly #subscription: TopicSubscription<Topic>
  #unusedCheckedAt = Number.NEGATIVE_INFINITY

  /** @param onForgotten called for a topic that was removed: its object must not be used any more */
  constructor(router: ActorRef<RouterMessage>, deps: MemoryDeps, onForgotten: (topic: Topic) => void) {
    this.#onForgotten = onForgotten
    this.#unknown = new UnknownTopics(deps.settings, deps.waitingMaxBytes, topic => this.#forget(topic))
    this.#subscription = new TopicSubscription({
      router,
      clock: deps.clock,
      log: deps.log,
      clientOf: ({ client }) => client,
      told: (news, nowMs) => this.#topics.get(news.topic)?.told(news, nowMs),
      stays: ({ name }) => this.#topics.get(name)?.isKnown === true
    })
    this.#deps = { ...deps, unknown: this.#unknown, lookUps: this.#subscription }
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

  /**
   * Opens a topic that no request has named yet.
   *
   * @param client that names it; `undefined`: it is not known
   * @returns a failure when there is no place for it
   */
  open(sent: string, client: string | undefined, pendingProduce: MemoryPendingProduce): Topic | RecordFailure {
    const refusal = this.#unknown.refusal(pendingProduce)
    if (refusal !== undefined) return refusal
    const name = ownText(sent)
    const topic = new Topic(name, client, this.#deps)
    this.#topics.set(name, topic)
    return topic
  }

  /** Ends waits that are over, and forgets topics that are not used. */
  tick(nowMs: number): void {
    this.#unknown.tick(nowMs)
    this.#subscription.tick(nowMs)
    // Under the one epoch of a transactional id, a topic that is forgotten would begin its sequences again, as duplicates.
    if (this.#deps.numbers.isFixed) return
    const unusedMs = IDLE_TOPICS_KEPT_AGES * this.#deps.settings.metadataMaxAgeMs
    if (nowMs - this.#unusedCheckedAt < unusedMs / UNUSED_CHECKS) return
    this.#unusedCheckedAt = nowMs
    for (const topic of this.#topics.values()) if (topic.isUnused(unusedMs, nowMs)) this.#forget(topic)
  }

  close(): void {
    this.#subscription.close(this.#topics.values())
  }

  #forget(topic: Topic): void {
    this.#topics.delete(topic.name)
    this.#unknown.forget(topic)
    this.#subscription.unfollow(topic)
    this.#onForgotten(topic)
  }
}
