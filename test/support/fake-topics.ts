import { TokenBucket } from '../../src/core/token-bucket.js'
import type { FollowTopics, UnfollowTopics } from '../../src/router/messages/operations.js'
import { LeaderTable } from '../../src/router/routing/leader-table.js'
import { CREATIONS_PER_SECOND, RefreshSchedule } from '../../src/router/routing/refresh-schedule.js'
import { defaultRouterSettings, type RouterSettings } from '../../src/router/routing/settings.js'
import { SubscribedTopics } from '../../src/router/routing/subscribed-topics.js'

/** What a broker says of one topic. */
export interface FakeMetadata {
  readonly topic: string
  readonly errorCode: number
  readonly topicId: string | undefined
  readonly partitionCount: number
}

export type FakeTopicSettings = Partial<
  Pick<
    RouterSettings,
    'metadataMaxAgeMs' | 'allowAutoTopicCreation' | 'unknownTopicTimeoutMs' | 'unknownTopicRememberedMs'
  >
>

/** How brokers are asked. `undefined`: nobody answers. `createsNone`: whether they have reported that they create no topics. */
export interface FakeLookUps {
  readonly latencyMs: () => number
  readonly createsNone: () => boolean
  readonly ask: (topics: readonly string[], mayCreate: boolean) => readonly FakeMetadata[] | undefined
}

/** The Router's own tables, schedule and followers, without a Router: what delivery is told is what a Router would tell. */
export class FakeTopics {
  readonly lookUps: { readonly topics: readonly string[]; readonly mayCreate: boolean }[] = []
  readonly #settings: RouterSettings
  readonly #brokers: FakeLookUps
  readonly #leaders: LeaderTable
  readonly #schedule: RefreshSchedule
  readonly #followed: SubscribedTopics
  #timer: NodeJS.Timeout | undefined

  constructor(settings: FakeTopicSettings, brokers: FakeLookUps) {
    this.#settings = { ...defaultRouterSettings, ...settings }
    this.#brokers = brokers
    const { createsNone } = brokers
    const leaders = new LeaderTable({ ...this.#settings, createsNone, onRecreated: () => undefined })
    this.#leaders = leaders
    this.#schedule = new RefreshSchedule({
      ...this.#settings,
      random: () => 0.5,
      leaders,
      creations: new TokenBucket(CREATIONS_PER_SECOND, performance.now())
    })
    this.#followed = new SubscribedTopics({ leaders, schedule: this.#schedule, mayCreate: this.#mayCreate })
  }

  get #mayCreate(): boolean {
    return this.#settings.allowAutoTopicCreation
  }

  get followers(): number {
    return this.#followed.count
  }

  follow(message: FollowTopics): void {
    this.#followed.follow(message, performance.now())
    this.#pump()
  }

  unfollow(message: UnfollowTopics): void {
    this.#followed.unfollow(message)
    for (const topic of message.topics) this.#forgetWant(topic)
    this.#pump()
  }

  /** A broker does not know the topic. */
  want(topic: string): void {
    this.#schedule.want(topic, this.#mayCreate, performance.now())
    this.#pump()
  }

  /** What a Router answers for a batch without asking a broker. Marks the topic as used. */
  refusalOf(topic: string, partition: number): 'unknownTopic' | 'uncreatedTopic' | 'unknownPartition' | undefined {
    const found = this.#leaders.lookUp(topic, partition, performance.now(), this.#mayCreate)
    const { type } = found
    this.#refreshStale()
    if (type === 'unknownPartition' && this.#leaders.isCountDoubted(topic)) return undefined
    if (type === 'unknownTopic' && found.mayCome === true) return 'uncreatedTopic'
    return type === 'unknownTopic' || type === 'unknownPartition' ? type : undefined
  }

  clear(): void {
    this.#leaders.clear()
    this.#followed.clear()
  }

  /** A Router does so now and then; here whoever uses a topic causes it. */
  #refreshStale(): void {
    const now = performance.now()
    const { metadataMaxAgeMs } = this.#settings
    for (const topic of this.#leaders.stale(metadataMaxAgeMs, metadataMaxAgeMs * 0.75, now)) {
      this.#schedule.want(topic, false, now)
    }
    this.#pump()
  }

  #pump(): void {
    const now = performance.now()
    const plan = this.#schedule.start(now)
    if (plan !== undefined) {
      this.lookUps.push({ topics: plan.topics, mayCreate: plan.allowAutoTopicCreation })
      setTimeout(() => this.#answer(plan.topics, plan.allowAutoTopicCreation, now), this.#brokers.latencyMs())
    }
    clearTimeout(this.#timer)
    const nextAt = this.#schedule.nextAt(now)
    if (nextAt !== undefined) this.#timer = setTimeout(() => this.#pump(), Math.max(1, nextAt - now))
  }

  #answer(topics: readonly string[], mayCreate: boolean, askedAt: number): void {
    const now = performance.now()
    const answered = this.#brokers.ask(topics, mayCreate)
    if (answered === undefined) this.#schedule.failed({ topics, allowAutoTopicCreation: mayCreate }, now)
    else {
      this.#schedule.succeeded()
      for (const one of answered) this.#leaders.apply(toMetadata(one), askedAt, now, mayCreate)
      this.#followed.lookedUp(topics, now)
      for (const topic of topics) this.#wanted(topic, now)
    }
    this.#pump()
  }

  #wanted(topic: string, now: number): void {
    if (this.#leaders.isKnown(topic) && this.#leaders.isMissing(topic)) this.#schedule.want(topic, false, now)
    this.#forgetWant(topic)
  }

  #forgetWant(topic: string): void {
    if (!this.#leaders.isKnown(topic) && !this.#followed.has(topic)) this.#schedule.forget(topic)
  }
}

const toMetadata = ({ topic, errorCode, topicId, partitionCount }: FakeMetadata) => ({
  topic,
  errorCode,
  topicId,
  isInternal: false,
  partitions: Array.from({ length: partitionCount }, (_, partition) => ({
    errorCode: 0,
    partition,
    leaderId: 1,
    leaderEpoch: 0,
    replicas: [1],
    isr: [1],
    offlineReplicas: []
  }))
})
