import { type PartitionIdentity, topicPartitionKey } from '../../core/model.js'
import type { PartitionMetadata, TopicMetadata } from '../../kafka/broker-client.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { PartitionCount } from './partition-count.js'

/** A partition as the Router knows it. */
export interface Partition {
  readonly topic: string
  readonly partition: number
  /** `orders/3` */
  readonly key: string
  /** -1: none. */
  leaderId: number
  /** Never changed but replaced, so another object means another life of the partition. */
  identity: PartitionIdentity
  /** In doubt until a refresh that begins after this moment; 0: not in doubt. */
  suspectSince: number
  /** In doubt because its leader says that it does not know the partition. */
  isDenied: boolean
  /** Answers in a row with a lower epoch than the known one. */
  lowerEpochs: number
}

export interface KnownTopicOptions {
  readonly unknownTopicTimeoutMs: number
  readonly unknownTopicRememberedMs: number
  /** Called when the cached records of a partition belong to an earlier life of it. */
  readonly onRecreated: (key: string) => void
}

// A single answer may come from a broker that lags. After this many answers in a row it is believed:
// - a lower leader epoch: the topic was created anew, on a broker that does not tell topic ids;
const LOWER_EPOCHS_BELIEVED = 3
// - a topic id that another one has replaced: the order was the other way round;
const FORMER_IDS_BELIEVED = 3
// - that there is no such topic: its cached records are not served any more, while its leaders are still asked.
const MISSES_VOID_THE_CACHE = 2

/** A topic that brokers have named, with the leaders of its partitions; see {@link LeaderTable}. */
export class KnownTopic {
  readonly name: string
  readonly #options: KnownTopicOptions
  /** By partition id. A map, because a damaged id would make an array with a billion empty elements. */
  readonly partitions = new Map<number, Partition>()
  /** How many partitions keys are spread over. Believed later than leaders are. */
  readonly partitionCount = new PartitionCount()
  /** When a broker first named it. */
  readonly metAt: number
  /** Until when it counts as just created: its partitions may still be waiting for their replicas. */
  newUntil = Number.NEGATIVE_INFINITY
  /** When a request last asked for it. */
  usedAt = Number.NEGATIVE_INFINITY
  /** When the last look-up began that named it. */
  checkedAt = Number.NEGATIVE_INFINITY
  /** Look-ups in a row that did not find it. */
  misses = 0
  #missingSince = 0
  #missedAt = 0
  /** `undefined`: not known. */
  #topicId: string | undefined
  /** The former id, which lagging brokers still name, and how often in a row they did. */
  #formerId: string | undefined
  #formerIdTold = 0
  #countConfirmedUntil = 0
  #error = { code: 0, until: 0 }

  constructor(name: string, metAt: number, options: KnownTopicOptions) {
    this.name = name
    this.metAt = metAt
    this.#options = options
  }

  /** True when a look-up has named another number of partitions, or another life of the topic, that is not believed yet. */
  get isCountDoubted(): boolean {
    return this.partitionCount.isDoubted || this.#isCountOfAnotherIncarnation
  }

  get #isCountOfAnotherIncarnation(): boolean {
    const { topicId } = this.partitionCount
    return topicId !== undefined && this.#topicId !== topicId
  }

  /** The last error of the topic itself, such as missing permission; 0: none, or too long ago. */
  errorAt(now: number): number {
    return this.#error.until > now ? this.#error.code : 0
  }

  /** True when the number of partitions was confirmed lately. */
  isCountSure(now: number): boolean {
    return this.partitions.size > 0 && this.#countConfirmedUntil > now
  }

  /** Notes a final error of the topic itself. */
  refused(code: number, now: number): void {
    this.#error = { code, until: now + this.#options.unknownTopicRememberedMs }
  }

  /** A look-up did not find it. Returns true when it has been missing for so long that it counts as deleted. */
  missed(now: number): boolean {
    const { unknownTopicTimeoutMs } = this.#options
    // Misses that lie long back do not count any more.
    if (this.misses === 0 || now - this.#missedAt > 2 * unknownTopicTimeoutMs) {
      this.misses = 0
      this.#missingSince = now
    }
    this.#missedAt = now
    if (++this.misses === MISSES_VOID_THE_CACHE) this.#void()
    return now - this.#missingSince >= unknownTopicTimeoutMs
  }

  /** @param askedAt when the look-up began; doubts that came later stay */
  found(metadata: TopicMetadata, askedAt: number, now: number): void {
    if (metadata.errorCode === errorCodes.NONE && metadata.partitions.length > 0) this.partitionCount.told(metadata)
    if (!this.#isOfThisIncarnation(metadata.topicId)) return
    this.misses = 0
    this.#error = { code: 0, until: 0 }
    if (metadata.errorCode !== errorCodes.NONE) return
    for (const partition of metadata.partitions) this.#apply(partition, askedAt)
    if (metadata.partitions.length < this.partitionCount.value && !this.#isCountOfAnotherIncarnation) return
    this.#countConfirmedUntil = now + this.#options.unknownTopicRememberedMs
    const count = countOf(metadata.partitions)
    if (count > 0) this.forgetFrom(count)
  }

  /** Forgets partitions with this id and higher ones; their cached records are void. */
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

  /** False when the answer is about a former life of the topic. A new id makes everything void that is known of the former. */
  #isOfThisIncarnation(topicId: string | undefined): boolean {
    if (topicId === undefined) return true
    if (topicId === this.#topicId) {
      this.#formerIdTold = 0
      return true
    }
    if (topicId === this.#formerId && ++this.#formerIdTold < FORMER_IDS_BELIEVED) return false
    this.#formerId = this.#topicId
    this.#formerIdTold = 0
    // The first id may belong to the life that is known without an id.
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
      // Without epochs it is not known whether the new leader has the records of the old one.
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

/** The same object, unless something has changed. An answer without an epoch keeps a known epoch. */
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
