import type { ActorRef } from '../../core/actor/actor.js'
import type { Logger, MonotonicClock } from '../../core/model.js'
import type { TopicFollower as Follower, RouterMessage, TopicNews } from '../../router/messages/operations.js'

export interface TopicFollowerOptions {
  readonly router: ActorRef<RouterMessage>
  readonly clock: MonotonicClock
  readonly log: Logger
  readonly told: (news: TopicNews, nowMs: number) => void
}

/** A topic by its name in Kafka. */
interface NamedTopic {
  readonly name: string
}

/** Subscribes to the Router's news of topics: at once, or after a pause for missing ones. */
export class TopicFollower implements Follower {
  readonly #options: TopicFollowerOptions
  /** When to subscribe, by topic. */
  readonly #due = new Map<NamedTopic, number>()
  #isPlanned = false
  #isClosed = false

  constructor(options: TopicFollowerOptions) {
    this.#options = options
  }

  follow(topic: NamedTopic, pauseMs: number): void {
    this.#due.set(topic, this.#options.clock() + pauseMs)
    if (pauseMs > 0 || this.#isPlanned) return
    this.#isPlanned = true
    setImmediate(() => {
      this.#isPlanned = false
      this.tick(this.#options.clock())
    })
  }

  unfollow(topic: NamedTopic): void {
    this.#due.delete(topic)
    this.#options.router.tell({ type: 'unfollowTopics', topics: [topic.name], follower: this })
  }

  tick(nowMs: number): void {
    if (this.#due.size === 0 || this.#isClosed) return
    const due = [...this.#due].filter(([, at]) => at <= nowMs).map(([topic]) => topic)
    for (const topic of due) this.#due.delete(topic)
    if (due.length === 0) return
    this.#options.router.tell({ type: 'followTopics', topics: due.map(({ name }) => name), follower: this })
  }

  /** Called by the Router. An exception in one topic does not affect others. */
  topicNews(news: readonly TopicNews[]): void {
    if (this.#isClosed) return
    const { clock, log, told } = this.#options
    const nowMs = clock()
    for (const one of news) {
      try {
        told(one, nowMs)
      } catch (error) {
        log.error({ err: error, topic: one.topic }, 'the handling of topic metadata met a bug')
      }
    }
  }

  close(): void {
    this.#isClosed = true
  }
}
