import { LONG_AGO, type PartitionIdentity } from '../../core/model.js'
import type { PartitionMetadata, TopicMetadata } from '../../kafka/broker-client.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { KnownPartition, type PartitionOfRequest, type TopicFreshness } from '../requests/partition.js'

export interface KnownTopicOptions {
  readonly unknownTopicTimeoutMs: number
  readonly unknownTopicRememberedMs: number
  /** Called when the cached records of a partition belong to an earlier incarnation of the partition. */
  readonly onRecreated: (key: string) => void
}

// A single answer may come from a broker that lags. The Router believes a change after this many answers in a row:
// - a lower leader epoch: the topic was created again, on a broker that does not report topic ids;
const LOWER_EPOCHS_BELIEVED = 3
// - a topic id that counts as the former one: it is the current one after all;
const FORMER_IDS_BELIEVED = 3
// - no such topic: its cached records are no longer served, but its leaders still get requests.
const MISSES_VOID_THE_CACHE = 2

const NO_PARTITIONS: readonly PartitionOfRequest[] = []
const NO_ERROR = { code: 0, until: 0 }
const NONE: ReadonlySet<number> = new Set()

/** A number is believed after this many equal answers in a row. */
const EQUAL_ANSWERS_BELIEVED = 3

/**
 * The number of partitions of a topic, among which keys are distributed. A single answer of a lagging broker must not
 * change it, so a new number is believed later than a new leader.
 *
 *   more, in the same incarnation            believed: partitions are added
 *   fewer, in the same incarnation by its id never: Kafka removes no partition from a topic that exists
 *   another number in another incarnation,   believed when it is named three times in a row: of two ids, nothing says
 *   or fewer where no id is named            which one came later
 */
export class PartitionCount {
  #count = 0
  #topicId: string | undefined
  #doubted: { readonly count: number; readonly topicId: string | undefined; times: number } | undefined

  /** The number of partitions; 0: unknown. */
  get partitionCount(): number {
    return this.#count
  }

  /** The id of the topic that has this number of partitions; `undefined`: unknown. */
  get countedId(): string | undefined {
    return this.#topicId
  }

  /** True when another number was reported, which is not believed yet. */
  get isOtherCountNamed(): boolean {
    return this.#doubted !== undefined
  }

  /** Notes the result of a look-up. */
  countNamed({ topicId, partitions }: TopicMetadata): void {
    const count = partitions.length
    const isSameIncarnation = topicId === undefined || this.#topicId === undefined || topicId === this.#topicId
    if (this.#count === 0 || count === this.#count || (isSameIncarnation && count > this.#count))
      this.#believe(count, topicId)
    else if (topicId !== undefined && topicId === this.#topicId) this.#doubted = undefined
    else this.#doubt(count, topicId)
  }

  #doubt(count: number, topicId: string | undefined): void {
    const { count: countBefore, topicId: idBefore, times } = this.#doubted ?? { times: 0 }
    const isRepeated = countBefore === count && idBefore === topicId
    this.#doubted = { count, topicId, times: isRepeated ? times + 1 : 1 }
    if (this.#doubted.times >= EQUAL_ANSWERS_BELIEVED) this.#believe(count, topicId)
  }

  /** An answer without an id and with the same number keeps the known id. */
  #believe(count: number, topicId: string | undefined): void {
    const isUnchanged = count === this.#count && topicId === undefined
    if (!isUnchanged) this.#topicId = topicId
    this.#count = count
    this.#doubted = undefined
  }
}

/** A topic that brokers have named, with the leaders of its partitions; see {@link LeaderTable}. */
export class KnownTopic extends PartitionCount implements TopicFreshness {
  readonly name: string
  readonly #options: KnownTopicOptions
  /** Sorted by id. It has no gaps: a damaged id would create a list with a billion empty elements. */
  #partitions: readonly PartitionOfRequest[] = NO_PARTITIONS
  /** When a broker first reported the topic. Times are whole milliseconds; see {@link LONG_AGO}. */
  readonly metAt: number
  newUntil = LONG_AGO
  place = 0
  /** Brokers whose replicas of it are offline, by the last look-up. */
  offlineBrokers: ReadonlySet<number> = NONE
  /** When a request last named the topic. */
  usedAt = LONG_AGO
  /** The start of the last look-up that asked for the topic. */
  checkedAt = LONG_AGO
  /** Look-ups in a row that did not find the topic. */
  misses = 0
  #missingSince = 0
  #missedAt = 0
  /** `undefined`: not known. */
  #topicId: string | undefined
  /** The former id, which lagging brokers still report, and how often in a row they did. */
  #formerId: string | undefined
  #formerIdNamed = 0
  #countConfirmedUntil = 0
  #error = NO_ERROR

  constructor(name: string, metAt: number, options: KnownTopicOptions) {
    super()
    this.name = name
    this.metAt = Math.ceil(metAt)
    this.#options = options
  }

  get partitions(): readonly PartitionOfRequest[] {
    return this.#partitions
  }

  partition(id: number): PartitionOfRequest | undefined {
    const partition = this.#partitions[this.#placeOf(id)]
    return partition?.partition === id ? partition : undefined
  }

  /** Index of the partition in the list, or where it would be. If brokers report all partitions, it is the id. */
  #placeOf(id: number): number {
    const partitions = this.#partitions
    if (partitions[id]?.partition === id) return id
    let [from, to] = [0, partitions.length]
    while (from < to) {
      const middle = (from + to) >> 1
      if (partitions[middle]!.partition < id) from = middle + 1
      else to = middle
    }
    return from
  }

  /**
   * True when a look-up has reported another number of partitions or another incarnation of the topic, which is not
   * believed yet.
   */
  get isCountDoubted(): boolean {
    return this.isOtherCountNamed || this.#isCountOfAnotherIncarnation
  }

  get #isCountOfAnotherIncarnation(): boolean {
    return this.countedId !== undefined && this.#topicId !== this.countedId
  }

  /** The last error of the topic itself, such as a missing permission; 0: no error, or an error too long ago. */
  errorAt(now: number): number {
    return this.#error !== NO_ERROR && this.#error.until > now ? this.#error.code : 0
  }

  /** True when the number of partitions was confirmed lately. */
  isCountSure(now: number): boolean {
    return this.#partitions.length > 0 && this.#countConfirmedUntil > now
  }

  /** Notes a final error of the topic itself. */
  refused(code: number, now: number): void {
    this.#error = { code, until: now + this.#options.unknownTopicRememberedMs }
  }

  /** A look-up did not find the topic. Returns true when it has been missing long enough to count as deleted. */
  missed(now: number): boolean {
    const { unknownTopicTimeoutMs } = this.#options
    // Misses from long ago do not count.
    if (this.misses === 0 || now - this.#missedAt > 2 * unknownTopicTimeoutMs) {
      this.misses = 0
      this.#missingSince = now
    }
    this.#missedAt = now
    if (++this.misses === MISSES_VOID_THE_CACHE) this.#void()
    return now - this.#missingSince >= unknownTopicTimeoutMs
  }

  /**
   * Applies the metadata of a look-up that began at `askedAt`. A doubt about a leader remains if it is newer than the
   * look-up.
   */
  found(metadata: TopicMetadata, askedAt: number, now: number): void {
    if (metadata.errorCode === errorCodes.NONE && metadata.partitions.length > 0) this.countNamed(metadata)
    if (!this.#isOfThisIncarnation(metadata.topicId)) return
    this.misses = 0
    this.#error = NO_ERROR
    if (metadata.errorCode !== errorCodes.NONE) return
    this.#applyAll(metadata.partitions, askedAt)
    const isAnyOffline = metadata.partitions.some(({ offlineReplicas }) => offlineReplicas.length > 0)
    const offlineIn = ({ offlineReplicas }: PartitionMetadata): readonly number[] => offlineReplicas
    this.offlineBrokers = isAnyOffline ? new Set(metadata.partitions.flatMap(offlineIn)) : NONE
    if (metadata.partitions.length < this.partitionCount && !this.#isCountOfAnotherIncarnation) return
    this.#countConfirmedUntil = Math.ceil(now + this.#options.unknownTopicRememberedMs)
    const count = countOf(metadata.partitions)
    if (count > 0) this.forgetFrom(count)
  }

  /** Forgets partitions with this id and higher ones; their cached records are void. */
  forgetFrom(count: number): void {
    const stays = this.#placeOf(count)
    if (stays === this.#partitions.length) return
    const gone = this.#partitions.slice(stays)
    this.#partitions = this.#partitions.slice(0, stays)
    for (const partition of gone) {
      partition.isForgotten = true
      this.#options.onRecreated(partition.key)
    }
  }

  #void(): void {
    for (const { key } of this.#partitions) this.#options.onRecreated(key)
  }

  /**
   * False if the answer is about a former incarnation of the topic. A new topic id voids everything known about the
   * former incarnation.
   */
  #isOfThisIncarnation(topicId: string | undefined): boolean {
    if (topicId === undefined) return true
    if (topicId === this.#topicId) {
      this.#formerIdNamed = 0
      return true
    }
    if (topicId === this.#formerId && ++this.#formerIdNamed < FORMER_IDS_BELIEVED) return false
    this.#formerId = this.#topicId
    this.#formerIdNamed = 0
    // The first id may belong to the incarnation that is known without an id.
    if (this.#topicId !== undefined) this.forgetFrom(0)
    this.#topicId = topicId
    return true
  }

  /** New ones are sorted in at once: one after the other, many in a bad order would take minutes. */
  #applyAll(all: readonly PartitionMetadata[], askedAt: number): void {
    let added: Map<number, PartitionOfRequest> | undefined
    for (const news of all) {
      const { partition: id, leaderEpoch } = news
      const known = this.partition(id) ?? added?.get(id)
      if (known) this.#apply(known, news, askedAt)
      else {
        const identity = { topicId: this.#topicId, leaderEpoch }
        added ??= new Map()
        added.set(id, new KnownPartition(this, this.name, id, leaderIn(news), identity))
      }
    }
    // A new array has no spare capacity; one that grows by `push` has.
    if (added !== undefined) this.#partitions = [...this.#partitions, ...added.values()].sort(byId)
  }

  #apply(known: PartitionOfRequest, news: PartitionMetadata, askedAt: number): void {
    const { leaderEpoch } = known.identity
    if (news.leaderEpoch >= 0 && news.leaderEpoch < leaderEpoch) {
      if (++known.lowerEpochs < LOWER_EPOCHS_BELIEVED) return
      this.#options.onRecreated(known.key)
    } else if (news.leaderEpoch < 0 && news.leaderId >= 0 && known.leaderId >= 0 && news.leaderId !== known.leaderId) {
      // Without epochs it is unknown whether the new leader has the records of the old leader.
      this.#options.onRecreated(known.key)
    }
    const isNewer = news.leaderEpoch > leaderEpoch
    known.lowerEpochs = 0
    known.leaderId = leaderIn(news)
    known.identity = renew(known.identity, this.#topicId, news.leaderEpoch)
    if (!isNewer && askedAt < known.suspectSince) return
    known.suspectSince = 0
    known.isDenied = false
  }
}

const byId = (one: PartitionOfRequest, other: PartitionOfRequest): number => one.partition - other.partition

/** -1: the partition has no leader. */
const leaderIn = ({ errorCode, leaderId }: PartitionMetadata): number =>
  errorCode === errorCodes.NONE || errorCode === errorCodes.REPLICA_NOT_AVAILABLE ? leaderId : -1

/** The number of partitions: the highest id plus one. */
function countOf(partitions: Iterable<{ readonly partition: number }>): number {
  let count = 0
  for (const { partition } of partitions) count = Math.max(count, partition + 1)
  return count
}

/** Returns the same object if nothing has changed. An answer without an epoch keeps the known epoch. */
function renew(known: PartitionIdentity, topicId: string | undefined, epochNamed: number): PartitionIdentity {
  const leaderEpoch = epochNamed >= 0 ? epochNamed : known.leaderEpoch
  return known.topicId === topicId && known.leaderEpoch === leaderEpoch ? known : { topicId, leaderEpoch }
}
