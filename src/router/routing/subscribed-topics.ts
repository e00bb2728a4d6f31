import type { FollowTopics, TopicFollower, TopicNews, UnfollowTopics } from '../messages/operations.js'
import type { LeaderTable } from './leader-table.js'
import type { RefreshSchedule } from './refresh-schedule.js'

export interface SubscribedTopicsOptions {
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
 *
 * Readers of a topic are told, too, until they do not want to know any more. They have nothing looked up that is not known:
 * their own requests do that.
 */
export class SubscribedTopics {
  readonly #options: SubscribedTopicsOptions
  readonly #followers = new Map<string, Set<TopicFollower>>()
  readonly #readers = new Map<string, Set<TopicFollower>>()

  constructor(options: SubscribedTopicsOptions) {
    this.#options = options
  }

  /** True when its followers wait for it, or want to know when it is lost. */
  has(topic: string): boolean {
    return this.#followers.has(topic)
  }

  /** Topics that are being read. */
  get read(): Iterable<string> {
    return this.#readers.keys()
  }

  /** Tells what is known, and has unknown topics looked up. */
  follow({ topics, follower, anew = false, isReader = false }: FollowTopics, now: number): void {
    const told: TopicNews[] = []
    for (const topic of topics) {
      const news = this.#newsOf(topic, now)
      if (isReader) {
        add(this.#readers, topic, follower)
        if (news !== undefined) told.push(news)
        continue
      }
      if (news !== undefined && !(anew && news.type === 'known')) told.push(news)
      if (news !== undefined && isLast(news)) continue
      add(this.#followers, topic, follower)
      if (anew || news?.type !== 'known') this.#want(topic, now)
    }
    if (told.length > 0) follower.topicsTold(told)
  }

  unfollow({ topics, follower }: UnfollowTopics): void {
    for (const topic of topics) {
      remove(this.#followers, topic, follower)
      remove(this.#readers, topic, follower)
    }
  }

  /** A look-up has named these topics. */
  lookedUp(topics: Iterable<string>, now: number): void {
    const told = new Map<TopicFollower, TopicNews[]>()
    for (const topic of topics) {
      const followers = this.#followers.get(topic)
      const readers = this.#readers.get(topic)
      if (followers === undefined && readers === undefined) continue
      const news = this.#newsOf(topic, now)
      if (news !== undefined)
        for (const follower of [...(followers ?? []), ...(readers ?? [])]) addTo(told, follower, news)
      if (followers === undefined) {
        if (news?.type === 'known' && news.isDoubted) this.#options.schedule.want(topic, false, now)
      } else if (news !== undefined && isLast(news)) this.#followers.delete(topic)
      else if (news?.type !== 'known' || news.isDoubted) this.#want(topic, now)
    }
    for (const [follower, news] of told) follower.topicsTold(news)
  }

  /** Another cluster is connected. All followings but those of readers end; followers may follow again. */
  clear(): void {
    this.#followers.clear()
  }

  #newsOf(topic: string, now: number): TopicNews | undefined {
    return this.#options.leaders.newsOf(topic, this.#options.mayCreate, now)
  }

  #want(topic: string, now: number): void {
    this.#options.schedule.want(topic, this.#options.mayCreate, now)
  }
}

type Followers = Map<string, Set<TopicFollower>>

function add(all: Followers, topic: string, follower: TopicFollower): void {
  const followers = all.get(topic)
  if (followers) followers.add(follower)
  else all.set(topic, new Set([follower]))
}

function remove(all: Followers, topic: string, follower: TopicFollower): void {
  const followers = all.get(topic)
  followers?.delete(follower)
  if (followers?.size === 0) all.delete(topic)
}

const isLast = ({ type }: TopicNews): boolean => type === 'missing' || type === 'refused'

function addTo(told: Map<TopicFollower, TopicNews[]>, follower: TopicFollower, news: TopicNews): void {
  const already = told.get(follower)
  if (already) already.push(news)
  else told.set(follower, [news])
}
