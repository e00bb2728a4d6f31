import type { ActorRef } from '../../core/actor/actor.js'
import type { Logger, MonotonicClock } from '../../core/model.js'
import type { RouterMessage, TopicFollower, TopicNews } from '../../router/messages/operations.js'

/** A topic by its name in Kafka. */
interface NamedTopic {
  readonly name: string
}

export interface TopicSubscriptionOptions<Topic> {
  readonly router: ActorRef<RouterMessage>
  readonly clock: MonotonicClock
  readonly log: Logger
  readonly told: (news: TopicNews, nowMs: number) => void
  /** In whose turn a missing topic is created. Absent: no client is known. */
  readonly clientOf?: ((topic: Topic) => string | undefined) | undefined
  /** Asked at the end of the tick in which a topic was left, which may have been found meanwhile. Absent: false. */
  readonly stays?: ((topic: Topic) => boolean) | undefined
}

/** Subscribes to the Router's news of topics, with one message for all topics of a tick: at once, or after a pause for missing ones. */
export class TopicSubscription<Topic extends NamedTopic> implements TopicFollower {
  readonly #options: TopicSubscriptionOptions<Topic>
  /** When to subscribe, by topic. */
  readonly #due = new Map<Topic, { readonly at: number; readonly anew: boolean }>()
  readonly #left = new Set<Topic>()
  #isPlanned = false
  #hasFollowed = false
  #isClosed = false

  constructor(options: TopicSubscriptionOptions<Topic>) {
    this.#options = options
  }

  /** @param anew the Router has to look the topic up, also if it knows it */
  follow(topic: Topic, { anew = false, pauseMs = 0 } = {}): void {
    this.#left.delete(topic)
    this.#due.set(topic, { at: this.#options.clock() + pauseMs, anew })
    if (pauseMs === 0) this.#tickSoon()
  }

  unfollow(topic: Topic): void {
    this.#due.delete(topic)
    this.#left.add(topic)
    this.#tickSoon()
  }

  #tickSoon(): void {
    if (this.#isPlanned) return
    this.#isPlanned = true
    setImmediate(() => {
      this.#isPlanned = false
      this.tick(this.#options.clock())
    })
  }

  tick(nowMs: number): void {
    const { stays } = this.#options
    if (this.#isClosed || this.#due.size + this.#left.size === 0) return
    const left = [...this.#left].filter(topic => stays?.(topic) !== true)
    this.#left.clear()
    this.#tell({ type: 'unfollowTopics' }, left)
    for (const anew of [false, true]) {
      const due = [...this.#due].flatMap(([topic, one]) => (one.anew === anew && one.at <= nowMs ? [topic] : []))
      for (const topic of due) this.#due.delete(topic)
      this.#tell({ type: 'followTopics', anew }, due)
    }
  }

  #tell(
    what: { readonly type: 'unfollowTopics' } | { readonly type: 'followTopics'; readonly anew: boolean },
    topics: readonly Topic[]
  ): void {
    const { router, clientOf } = this.#options
    const names = topics.map(({ name }) => name)
    if (names.length === 0) return
    this.#hasFollowed ||= what.type === 'followTopics'
    if (what.type === 'followTopics')
      router.tell({ ...what, topics: names, clients: clientOf && topics.map(clientOf), follower: this })
    else router.tell({ ...what, topics: names, follower: this })
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

  /**
   * Ends its subscriptions: the Router lives longer, and would keep what follows.
   *
   * @param topics all that it may follow
   */
  close(topics: Iterable<Topic>): void {
    if (this.#isClosed) return
    this.#isClosed = true
    if (this.#hasFollowed) this.#tell({ type: 'unfollowTopics' }, [...new Set([...topics, ...this.#left])])
    this.#due.clear()
    this.#left.clear()
  }
}
