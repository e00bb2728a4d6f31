import { type PartitionIdentity, topicPartitionKey } from '../model.js'
import type { PartitionMetadata, TopicMetadata } from '../wire/broker-client.js'

/** A partition as the Router knows it. */
export interface Partition {
  readonly topic: string
  readonly partition: number
  /** `orders/3` */
  readonly key: string
  /** -1: none. */
  leaderId: number
  /** Replaced, never changed: who keeps it sees a later life as another object. */
  identity: PartitionIdentity
  /** Not to be trusted until a refresh that began after this moment; 0: trusted. */
  suspectSince: number
  /** Replies in a row with a lower epoch than ours. */
  lowerEpochs: number
}

interface Topic {
  /** By id. Not an array: an id is whatever a broker sent, and an array of a billion holes is walked one by one. */
  readonly partitions: Map<number, Partition>
  /** `undefined`: no broker has told. */
  topicId: string | undefined
  /** The id it had before, which lagging brokers still tell, and how often they told it in a row. */
  formerId: string | undefined
  formerIdTold: number
  usedAt: number
  /** When the reply was asked for that brought what we know. */
  askedAt: number
  /** Refreshes in a row that did not find it, and since when. */
  misses: number
  missingSince: number
  missedAt: number
  /** Until then it counts as unknown without asking. */
  missingUntil: number
  /** The number of partitions was confirmed until then. */
  countConfirmedUntil: number
  /** A final error of the topic itself (17, 29), remembered as long. */
  errorCode: number
}

export interface LeaderTableOptions {
  readonly unknownTopicRefreshes: number
  readonly unknownTopicTimeoutMs: number
  readonly unknownTopicRememberedMs: number
  /** Told when what was cached of a partition belongs to an earlier life of it. */
  readonly onRecreated: (key: string) => void
}

/** What the table knows about where to send a request. */
export type Lookup =
  | { readonly type: 'leader'; readonly partition: Partition }
  /** The topic is known; nobody leads the partition at the moment, or who does is in doubt. */
  | { readonly type: 'noLeader'; readonly partition: Partition }
  | { readonly type: 'unknownTopic' }
  | { readonly type: 'unknownPartition' }
  | { readonly type: 'topicError'; readonly errorCode: number }
  /** Nothing is known, or not enough to say no. */
  | { readonly type: 'ask' }

// A reply with a lower epoch comes from a broker that lags; the same thrice means the topic was created anew.
const LOWER_EPOCHS_BELIEVED = 3
// The same for an id that another one has replaced: if it keeps being told, the order was the other way round.
const FORMER_IDS_BELIEVED = 3
const ASK: Lookup = { type: 'ask' }
const UNKNOWN_TOPIC: Lookup = { type: 'unknownTopic' }
const UNKNOWN_PARTITION: Lookup = { type: 'unknownPartition' }

/**
 * Who leads which partition, per topic, with the leader's epoch. An entry is replaced by news with the same or a higher
 * epoch only. That a topic is missing is believed after several refreshes, since each broker's view lags separately.
 */
export class LeaderTable {
  readonly #options: LeaderTableOptions
  readonly #topics = new Map<string, Topic>()

  constructor(options: LeaderTableOptions) {
    this.#options = options
  }

  lookUp(topicName: string, partitionId: number, now: number): Lookup {
    const topic = this.#topics.get(topicName)
    if (!topic) return ASK
    topic.usedAt = now
    if (topic.missingUntil > now) return UNKNOWN_TOPIC
    if (topic.errorCode !== 0) {
      return topic.countConfirmedUntil > now ? { type: 'topicError', errorCode: topic.errorCode } : ASK
    }
    const partition = topic.partitions.get(partitionId)
    if (!partition) {
      return topic.partitions.size > 0 && topic.countConfirmedUntil > now ? UNKNOWN_PARTITION : ASK
    }
    return partition.leaderId >= 0 && partition.suspectSince === 0
      ? { type: 'leader', partition }
      : { type: 'noLeader', partition }
  }

  /** True when the topic has been found and not lost since. */
  isKnown(topic: string): boolean {
    return (this.#topics.get(topic)?.partitions.size ?? 0) > 0
  }

  /**
   * A broker said that it does not know the partition; true when the last refresh has not found the topic either. Two
   * witnesses are enough for a reader, and for dropping what is cached; writers wait until it is believed.
   */
  isMissed(topicName: string, key: string): boolean {
    const isMissed = (this.#topics.get(topicName)?.misses ?? 0) > 0
    if (isMissed) this.#options.onRecreated(key)
    return isMissed
  }

  isRememberedMissing(topic: string, now: number): boolean {
    return (this.#topics.get(topic)?.missingUntil ?? 0) > now
  }

  leaderOf(topic: string, partition: number): Partition | undefined {
    return this.#topics.get(topic)?.partitions.get(partition)
  }

  /** The broker that was asked says it does not lead: believed until a refresh that begins from now on. */
  suspect(topic: string, partition: number, nodeId: number, now: number): void {
    const entry = this.leaderOf(topic, partition)
    // News of an earlier leader says nothing about the one we know now.
    if (entry?.leaderId === nodeId) entry.suspectSince = now
  }

  /** A broker did not answer in time: whether it still leads what it led of the topic is to be asked before it is tried again. */
  suspectAll(topicName: string, nodeId: number, now: number): void {
    for (const entry of this.#topics.get(topicName)?.partitions.values() ?? []) {
      if (entry.leaderId === nodeId) entry.suspectSince = now
    }
  }

  /** Applies one topic of a reply. `mayBeCreated`: asking for it creates it, so being missing takes longer to believe. */
  apply(metadata: TopicMetadata, askedAt: number, now: number, mayBeCreated: boolean): void {
    const topic = this.#require(metadata.topic)
    if (metadata.errorCode === 3) this.#missed(topic, now, mayBeCreated)
    else if (metadata.errorCode === 0 || metadata.errorCode === 5) this.#found(topic, metadata, askedAt, now)
    else if (isFinal(metadata.errorCode)) {
      topic.errorCode = metadata.errorCode
      topic.countConfirmedUntil = now + this.#options.unknownTopicRememberedMs
    }
  }

  /** Topics asked for within `maxAgeMs` of which our knowledge is as old. */
  stale(maxAgeMs: number, now: number): string[] {
    const names: string[] = []
    for (const [name, topic] of this.#topics) {
      if (now - topic.usedAt <= maxAgeMs && now - topic.askedAt >= maxAgeMs) names.push(name)
    }
    return names
  }

  /** Forgets topics nobody has asked for in a long time. */
  forgetUnused(unusedMs: number, now: number): void {
    for (const [name, topic] of this.#topics) {
      if (now - topic.usedAt > unusedMs) this.#topics.delete(name)
    }
  }

  /** Another cluster has other topics, whatever their names. */
  clear(): void {
    for (const topic of this.#topics.values()) this.#forgetFrom(topic, 0)
    this.#topics.clear()
  }

  get topicCount(): number {
    return this.#topics.size
  }

  #require(name: string): Topic {
    let topic = this.#topics.get(name)
    if (!topic) {
      topic = {
        partitions: new Map(),
        topicId: undefined,
        formerId: undefined,
        formerIdTold: 0,
        usedAt: Number.NEGATIVE_INFINITY,
        askedAt: 0,
        misses: 0,
        missingSince: 0,
        missedAt: 0,
        missingUntil: 0,
        countConfirmedUntil: 0,
        errorCode: 0
      }
      this.#topics.set(name, topic)
    }
    return topic
  }

  #missed(topic: Topic, now: number, mayBeCreated: boolean): void {
    const { unknownTopicRefreshes, unknownTopicTimeoutMs, unknownTopicRememberedMs } = this.#options
    // What was missed long ago and not asked for since says nothing about now.
    if (topic.misses === 0 || now - topic.missedAt > 2 * unknownTopicTimeoutMs) {
      topic.misses = 0
      topic.missingSince = now
    }
    topic.misses++
    topic.missedAt = now
    const longEnough = now - topic.missingSince >= unknownTopicTimeoutMs
    // One that was there may only be missing from the view of a broker that has just come up.
    const takesLong = mayBeCreated || topic.partitions.size > 0
    if (!longEnough && (takesLong || topic.misses < unknownTopicRefreshes)) return
    this.#forgetFrom(topic, 0)
    topic.misses = 0
    topic.missingUntil = now + unknownTopicRememberedMs
  }

  #found(topic: Topic, metadata: TopicMetadata, askedAt: number, now: number): void {
    if (!this.#isOfThisLife(topic, metadata.topicId)) return
    topic.misses = 0
    topic.missingUntil = 0
    topic.errorCode = 0
    topic.askedAt = Math.max(topic.askedAt, askedAt)
    if (metadata.errorCode !== 0) return
    topic.countConfirmedUntil = now + this.#options.unknownTopicRememberedMs
    for (const partition of metadata.partitions) this.#applyPartition(topic, metadata.topic, partition, askedAt)
    // Fewer partitions than we knew: the topic was created anew.
    const count = metadata.partitions.reduce((most, { partition }) => Math.max(most, partition + 1), 0)
    if (count > 0) this.#forgetFrom(topic, count)
  }

  /** False for news of a life that is over. Another id than ours: all that we know is of a life that is over. */
  #isOfThisLife(topic: Topic, topicId: string | undefined): boolean {
    if (topicId === undefined) return true
    if (topicId === topic.topicId) {
      topic.formerIdTold = 0
      return true
    }
    if (topicId === topic.formerId && ++topic.formerIdTold < FORMER_IDS_BELIEVED) return false
    topic.formerId = topic.topicId
    topic.formerIdTold = 0
    // The first id that is told may belong to what is known without one.
    if (topic.topicId !== undefined) this.#forgetFrom(topic, 0)
    topic.topicId = topicId
    return true
  }

  /** Partitions with this id and higher ones. */
  #forgetFrom(topic: Topic, count: number): void {
    for (const [id, { key }] of topic.partitions) {
      if (id < count) continue
      topic.partitions.delete(id)
      this.#options.onRecreated(key)
    }
  }

  #applyPartition(topic: Topic, name: string, news: PartitionMetadata, askedAt: number): void {
    const known = topic.partitions.get(news.partition)
    if (!known) {
      topic.partitions.set(news.partition, toPartition(name, topic.topicId, news))
      return
    }
    const { leaderEpoch } = known.identity
    if (news.leaderEpoch >= 0 && news.leaderEpoch < leaderEpoch) {
      if (++known.lowerEpochs < LOWER_EPOCHS_BELIEVED) return
      this.#options.onRecreated(known.key)
    } else if (news.leaderEpoch < 0 && news.leaderId >= 0 && known.leaderId >= 0 && news.leaderId !== known.leaderId) {
      // Without epochs nobody knows whether the new leader has what the old one had.
      this.#options.onRecreated(known.key)
    }
    const isNewer = news.leaderEpoch > leaderEpoch
    known.lowerEpochs = 0
    known.leaderId = hasLeader(news) ? news.leaderId : -1
    known.identity = renew(known.identity, topic.topicId, news.leaderEpoch)
    if (isNewer || askedAt >= known.suspectSince) known.suspectSince = 0
  }
}

const hasLeader = ({ errorCode }: PartitionMetadata): boolean => errorCode === 0 || errorCode === 9

/** The same object unless something has changed. An epoch that is not told does not undo one that is known. */
function renew(known: PartitionIdentity, topicId: string | undefined, epochTold: number): PartitionIdentity {
  const leaderEpoch = epochTold >= 0 ? epochTold : known.leaderEpoch
  return known.topicId === topicId && known.leaderEpoch === leaderEpoch ? known : { topicId, leaderEpoch }
}

const toPartition = (topic: string, topicId: string | undefined, news: PartitionMetadata): Partition => ({
  topic,
  partition: news.partition,
  key: topicPartitionKey(topic, news.partition),
  leaderId: hasLeader(news) ? news.leaderId : -1,
  identity: { topicId, leaderEpoch: news.leaderEpoch },
  suspectSince: 0,
  lowerEpochs: 0
})

/** The topic itself is refused: its name is not allowed, or we may not see it. */
const isFinal = (errorCode: number): boolean => errorCode === 17 || errorCode === 29
