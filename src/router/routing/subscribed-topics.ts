import { addTo } from '../../core/maps.js'
import type { FollowTopics, TopicFollower, TopicNews, UnfollowTopics } from '../messages/operations.js'
import type { LeaderTable } from './leader-table.js'
import type { RefreshSchedule } from './refresh-schedule.js'

export interface SubscribedTopicsOptions {
  readonly leaders: Pick<LeaderTable, 'newsOf'>
  readonly schedule: Pick<RefreshSchedule, 'want'>
  /** Brokers may be asked to create a missing topic that has followers. */
  readonly mayCreate: boolean
}

/**
 * Notifies followers of the metadata of their topics. An unknown topic is looked up until it is found or counts as
 * missing. A subscription to a missing topic ends; a follower may subscribe again.
 *
 *   followed ─ found ─▶ known ─ lost ─▶ denied ─▶ known again, or missing: not followed any more
 *        └──── not found ───────────────▲
 *
 * Readers of a topic are notified, too, until they end their subscription. Unknown topics are not looked up for
 * readers, because the requests of readers do that.
 */
export class SubscribedTopics {
  readonly #options: SubscribedTopicsOptions
  readonly #followers: Followers = new Map()
  readonly #readers: Followers = new Map()

  constructor(options: SubscribedTopicsOptions) {
    this.#options = options
  }

  /** True while the topic has followers other than readers. */
  has(topic: string): boolean {
    return this.#followers.has(topic)
  }

  /** Subscriptions of all followers, those of readers included. */
  get count(): number {
    const all = [...this.#followers.values(), ...this.#readers.values()]
    return all.reduce((sum, followers) => sum + listOf(followers).length, 0)
  }

  get read(): Iterable<string> {
    return this.#readers.keys()
  }

  /** Notifies the follower of the known metadata, and requests look-ups of unknown topics. */
  follow({ topics, clients, follower, anew = false, isReader = false }: FollowTopics, now: number): void {
    const all: TopicNews[] = []
    for (const [at, topic] of topics.entries()) {
      const news = this.#newsOf(topic, now)
      if (isReader) {
        add(this.#readers, topic, follower)
        if (news !== undefined) all.push(news)
        continue
      }
      if (news !== undefined && !(anew && news.type === 'known')) all.push(news)
      if (news !== undefined && isLast(news)) continue
      add(this.#followers, topic, follower)
      if (anew || news?.type !== 'known') this.#want(topic, now, clients?.[at])
    }
    if (all.length > 0) follower.topicNews(all)
  }

  unfollow({ topics, follower }: UnfollowTopics): void {
    for (const topic of topics) {
      remove(this.#followers, topic, follower)
      remove(this.#readers, topic, follower)
    }
  }

  /** Notifies the followers of topics that were looked up. */
  lookedUp(topics: Iterable<string>, now: number): void {
    const byFollower = new Map<TopicFollower, TopicNews[]>()
    for (const topic of topics) {
      const followers = this.#followers.get(topic)
      const readers = this.#readers.get(topic)
      if (followers === undefined && readers === undefined) continue
      const news = this.#newsOf(topic, now)
      if (news !== undefined)
        for (const follower of [...listOf(followers), ...listOf(readers)]) addTo(byFollower, follower, news)
      if (followers === undefined) {
        if (news?.type === 'known' && news.isDoubted) this.#options.schedule.want(topic, false, now)
      } else if (news !== undefined && isLast(news)) this.#followers.delete(topic)
      else if (news?.type !== 'known' || news.isDoubted) this.#want(topic, now)
    }
    for (const [follower, news] of byFollower) follower.topicNews(news)
  }

  /**
   * Notifies the followers of a topic that the controller has deleted, and ends their subscriptions, except those of
   * readers. Without this, the look-ups for the followers would ask brokers to create the topic again.
   */
  deleted(topic: string, now: number): void {
    const followers = listOf(this.#followers.get(topic))
    this.#followers.delete(topic)
    const news = this.#newsOf(topic, now)
    const missing = news?.type === 'missing' ? news : ({ type: 'missing', topic, until: now } as const)
    for (const follower of [...followers, ...listOf(this.#readers.get(topic))]) follower.topicNews([missing])
  }

  /**
   * Ends all subscriptions except those of readers, because another cluster is connected. Followers may subscribe
   * again.
   */
  clear(): void {
    this.#followers.clear()
  }

  #newsOf(topic: string, now: number): TopicNews | undefined {
    return this.#options.leaders.newsOf(topic, this.#options.mayCreate, now)
  }

  /** @param client in whose turn it is created. Absent: as before */
  #want(topic: string, now: number, client?: string): void {
    this.#options.schedule.want(topic, this.#options.mayCreate, now, client)
  }
}

/** Most topics have one follower: a set for each of them would be a tenth of what is kept for it. */
type Followers = Map<string, TopicFollower | Set<TopicFollower>>

function add(all: Followers, topic: string, follower: TopicFollower): void {
  const followers = all.get(topic)
  if (followers === undefined) all.set(topic, follower)
  else if (followers instanceof Set) followers.add(follower)
  else if (followers !== follower) all.set(topic, new Set([followers, follower]))
}

function remove(all: Followers, topic: string, follower: TopicFollower): void {
  const followers = all.get(topic)
  if (followers instanceof Set) followers.delete(follower)
  if (followers === follower || (followers instanceof Set && followers.size === 0)) all.delete(topic)
}

function listOf(followers: TopicFollower | Set<TopicFollower> | undefined): readonly TopicFollower[] {
  if (followers instanceof Set) return [...followers]
  return followers === undefined ? [] : [followers]
}

const isLast = ({ type }: TopicNews): boolean => type === 'missing' || type === 'refused'
