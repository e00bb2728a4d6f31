import { type PartitionIdentity, topicPartitionKey } from '../model.js'
import type { PartitionMetadata, TopicMetadata } from '../wire/broker-client.js'
import { errorCodes } from '../wire/error-codes.js'

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
  /** Suspected because its leader says that it does not know the partition. */
  isDenied: boolean
  /** Replies in a row with a lower epoch than ours. */
  lowerEpochs: number
}

export interface KnownTopicOptions {
  readonly unknownTopicTimeoutMs: number
  readonly unknownTopicRememberedMs: number
  /** Told when what was cached of a partition belongs to an earlier life of it. */
  readonly onRecreated: (key: string) => void
}

// One reply may come from a broker that lags. What is told so often in a row is believed:
// - a lower leader epoch: the topic was created anew, on a broker that does not tell topic ids;
const LOWER_EPOCHS_BELIEVED = 3
// - a topic id that another one has replaced: the order was the other way round;
const FORMER_IDS_BELIEVED = 3
// - fewer partitions than before, which Kafka never does to a topic that lives;
const FEWER_PARTITIONS_BELIEVED = 3
// - that there is no such topic: enough not to serve from the cache, while who leads it is still asked.
const MISSES_VOID_THE_CACHE = 2

/** A topic that brokers have named, with who leads its partitions; see {@link LeaderTable}. */
export class KnownTopic {
  readonly name: string
  readonly #options: KnownTopicOptions
  /** By id. Not an array: an id is whatever a broker sent, and an array of a billion holes is walked one by one. */
  readonly partitions = new Map<number, Partition>()
  /** First named by a broker. */
  readonly metAt: number
  /** Until then it counts as just created: its partitions may still be waiting for their replicas. */
  newUntil = Number.NEGATIVE_INFINITY
  /** Last asked for by a request. */
  usedAt = Number.NEGATIVE_INFINITY
  /** When the last look-up began that said anything about it. */
  checkedAt = Number.NEGATIVE_INFINITY
  /** Look-ups in a row that did not find it. */
  misses = 0
  #missingSince = 0
  #missedAt = 0
  /** `undefined`: no broker has told. */
  #topicId: string | undefined
  /** The id it had before, which lagging brokers still tell, and how often they told it in a row. */
  #formerId: string | undefined
  #formerIdTold = 0
  #fewerTold = 0
  #countConfirmedUntil = 0
  #error = { code: 0, until: 0 }

  constructor(name: string, metAt: number, options: KnownTopicOptions) {
    this.name = name
    this.metAt = metAt
    this.#options = options
  }

  /** The last error of the topic itself: we may not see it; 0: none, or too long ago. */
  errorAt(now: number): number {
    return this.#error.until > now ? this.#error.code : 0
  }

  /** The number of partitions was confirmed lately. */
  isCountSure(now: number): boolean {
    return this.partitions.size > 0 && this.#countConfirmedUntil > now
  }

  /** A final error of the topic itself. */
  refused(code: number, now: number): void {
    this.#error = { code, until: now + this.#options.unknownTopicRememberedMs }
  }

  /** A look-up did not find it. True when it has been missing for so long that it is believed to be gone. */
  missed(now: number): boolean {
    const { unknownTopicTimeoutMs } = this.#options
    // What was missed long ago and not asked for since says nothing about now.
    if (this.misses === 0 || now - this.#missedAt > 2 * unknownTopicTimeoutMs) {
      this.misses = 0
      this.#missingSince = now
    }
    this.#missedAt = now
    if (++this.misses === MISSES_VOID_THE_CACHE) this.#void()
    return now - this.#missingSince >= unknownTopicTimeoutMs
  }

  /** @param askedAt when the look-up began; suspicions since then stay */
  found(metadata: TopicMetadata, askedAt: number, now: number): void {
    if (!this.#isOfThisLife(metadata.topicId)) return
    this.misses = 0
    this.#error = { code: 0, until: 0 }
    if (metadata.errorCode !== errorCodes.NONE) return
    const count = countOf(metadata.partitions)
    const isFewer = count < countOf(this.partitions.values())
    this.#fewerTold = isFewer ? this.#fewerTold + 1 : 0
    for (const partition of metadata.partitions) this.#apply(partition, askedAt)
    if (isFewer && this.#fewerTold < FEWER_PARTITIONS_BELIEVED) return
    this.#countConfirmedUntil = now + this.#options.unknownTopicRememberedMs
    if (count > 0) this.forgetFrom(count)
  }

  /** Forgets partitions with this id and higher ones; what is cached of them is void. */
  forgetFrom(count: number): void {
    for (const [id, { key }] of this.partitions) {
      if (id < count) continue
      this.partitions.delete(id)
      this.#options.onRecreated(key)
    }
  }

  #void(): void {
    for (const { key } of this.partitions.values()) this.#options.onRecreated(key)
  }

  /** False for news of a life that is over. Another id than ours: all that we know is of a life that is over. */
  #isOfThisLife(topicId: string | undefined): boolean {
    if (topicId === undefined) return true
    if (topicId === this.#topicId) {
      this.#formerIdTold = 0
      return true
    }
    if (topicId === this.#formerId && ++this.#formerIdTold < FORMER_IDS_BELIEVED) return false
    this.#formerId = this.#topicId
    this.#formerIdTold = 0
    // The first id that is told may belong to what is known without one.
    if (this.#topicId !== undefined) this.forgetFrom(0)
    this.#topicId = topicId
    return true
  }

  #apply(news: PartitionMetadata, askedAt: number): void {
    const known = this.partitions.get(news.partition)
    if (!known) {
      this.partitions.set(news.partition, toPartition(this.name, this.#topicId, news))
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
    known.identity = renew(known.identity, this.#topicId, news.leaderEpoch)
    if (!isNewer && askedAt < known.suspectSince) return
    known.suspectSince = 0
    known.isDenied = false
  }
}

const hasLeader = ({ errorCode }: PartitionMetadata): boolean =>
  errorCode === errorCodes.NONE || errorCode === errorCodes.REPLICA_NOT_AVAILABLE

/** How many partitions there are, ids counted from 0. */
function countOf(partitions: Iterable<{ readonly partition: number }>): number {
  let count = 0
  for (const { partition } of partitions) count = Math.max(count, partition + 1)
  return count
}

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
  isDenied: false,
  lowerEpochs: 0
})
