import type { FollowTopics, TopicFollower, TopicNews, UnfollowTopics } from '../operations.js'
import type { LeaderTable } from './leader-table.js'
import type { RefreshSchedule } from './refresh-schedule.js'

export interface FollowedTopicsOptions {
  readonly leaders: Pick<LeaderTable, 'newsOf'>
  readonly schedule: Pick<RefreshSchedule, 'want'>
  /** Brokers may be asked to create a followed topic that is missing. */
  readonly mayCreate: boolean
}

/**
 * Topics whose followers are told what the tables know. A followed topic that is not known is looked up until it is found or
 * believed to be missing. Being missing ends the following; a follower may follow it again.
 *
 *   followed ─ found ─▶ known ─ lost ─▶ denied ─▶ known again, or missing: not followed any more
 *        └──── not found ───────────────▲
 */
export class FollowedTopics {
  readonly #options: FollowedTopicsOptions
  readonly #followers = new Map<string, Set<TopicFollower>>()

  constructor(options: FollowedTopicsOptions) {
    this.#options = options
  }

  has(topic: string): boolean {
    return this.#followers.has(topic)
  }

  /** Tells what is known, and has unknown topics looked up. */
  follow({ topics, follower, anew = false }: FollowTopics, now: number): void {
    const told: TopicNews[] = []
    for (const topic of topics) {
      const news = this.#newsOf(topic, now)
      if (news !== undefined && !(anew && news.type === 'known')) told.push(news)
      if (news !== undefined && isLast(news)) continue
      this.#add(topic, follower)
      if (anew || news?.type !== 'known') this.#want(topic, now)
    }
    if (told.length > 0) follower.topicsTold(told)
  }

  unfollow({ topics, follower }: UnfollowTopics): void {
    for (const topic of topics) this.#remove(topic, follower)
  }

  /** A look-up has named these topics. */
  lookedUp(topics: Iterable<string>, now: number): void {
    const told = new Map<TopicFollower, TopicNews[]>()
    for (const topic of topics) {
      const followers = this.#followers.get(topic)
      if (followers === undefined) continue
      const news = this.#newsOf(topic, now)
      if (news !== undefined) for (const follower of followers) addTo(told, follower, news)
      if (news !== undefined && isLast(news)) this.#followers.delete(topic)
      else if (news?.type !== 'known' || news.isDoubted) this.#want(topic, now)
    }
    for (const [follower, news] of told) follower.topicsTold(news)
  }

  /** Another cluster is connected. All followings end; followers may follow again. */
  clear(): void {
    this.#followers.clear()
  }

  #newsOf(topic: string, now: number): TopicNews | undefined {
    return this.#options.leaders.newsOf(topic, this.#options.mayCreate, now)
  }

  #want(topic: string, now: number): void {
    this.#options.schedule.want(topic, this.#options.mayCreate, now)
  }

  #add(topic: string, follower: TopicFollower): void {
    const followers = this.#followers.get(topic)
    if (followers) followers.add(follower)
    else this.#followers.set(topic, new Set([follower]))
  }

  #remove(topic: string, follower: TopicFollower): void {
    const followers = this.#followers.get(topic)
    followers?.delete(follower)
    if (followers?.size === 0) this.#followers.delete(topic)
  }
}

const isLast = ({ type }: TopicNews): boolean => type === 'missing' || type === 'refused'

function addTo(told: Map<TopicFollower, TopicNews[]>, follower: TopicFollower, news: TopicNews): void {
  const already = told.get(follower)
  if (already) already.push(news)
  else told.set(follower, [news])
}
