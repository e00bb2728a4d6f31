import type { TopicMetadata } from '../../kafka/broker-client.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { TopicNews } from '../messages/operations.js'
import type { PartitionOfRequest } from '../requests/partition.js'
import { KnownTopic, type KnownTopicOptions } from './known-topic.js'
import { MissingTopics, type MissingTopicsOptions } from './missing-topics.js'

export type LeaderTableOptions = KnownTopicOptions & MissingTopicsOptions

export type Lookup =
  /** `checkedAt`: the start of the last look-up that confirmed the leader. */
  | { readonly type: 'leader'; readonly partition: PartitionOfRequest; readonly checkedAt: number }
  /** The topic is known, but the partition has no leader at the moment, or its leader is in doubt. */
  | { readonly type: 'noLeader'; readonly partition: PartitionOfRequest }
  /** `mayCome`: brokers were asked to create the topic, and may still do so. */
  | { readonly type: 'unknownTopic'; readonly mayCome?: true }
  | { readonly type: 'unknownPartition' }
  | { readonly type: 'topicError'; readonly errorCode: number }
  /** The topic is not known yet and has to be looked up. */
  | { readonly type: 'ask' }

const ASK: Lookup = { type: 'ask' }
const UNKNOWN_PARTITION: Lookup = { type: 'unknownPartition' }
// Topics that are due soon are looked up together with topics that are due.
const JOINS_AT_SHARE_OF_AGE = 0.5
// How long a topic counts as new after it was found. On busy brokers the replicas of new partitions need seconds to
// start.
const NEW_FOR_MS = 30_000

/**
 * The leader and the identity of each partition, by topic. An entry is only replaced by an entry with the same or a
 * higher leader epoch. Names of missing topics are in a table of their own, because clients may invent any number of
 * names.
 */
export class LeaderTable {
  readonly #options: LeaderTableOptions
  readonly #topics = new Map<string, KnownTopic>()
  readonly #missing: MissingTopics

  constructor(options: LeaderTableOptions) {
    this.#options = options
    this.#missing = new MissingTopics(options)
  }

  /**
   * @param mayBeCreated the request may create the topic, so look-ups of readers that did not find it do not count
   * @param last the partition as an earlier look-up has found it, which need not be found by its name
   */
  lookUp(topicName: string, partitionId: number, now: number, mayBeCreated = false, last?: PartitionOfRequest): Lookup {
    const found = last?.isForgotten === false ? last : undefined
    const topic = (found?.of as KnownTopic | undefined) ?? this.#topics.get(topicName)
    if (!topic) return this.#missing.lookUp(topicName, mayBeCreated, now)
    topic.usedAt = Math.floor(now)
    const errorCode = topic.errorAt(now)
    if (errorCode !== errorCodes.NONE) return { type: 'topicError', errorCode }
    const partition = found ?? topic.partition(partitionId)
    if (!partition) return topic.isCountSure(now) ? UNKNOWN_PARTITION : ASK
    return partition.leaderId >= 0 && partition.suspectSince === 0
      ? { type: 'leader', partition, checkedAt: topic.checkedAt }
      : { type: 'noLeader', partition }
  }

  /** True if the leader of a partition that was found before is known and not in doubt, so that no look-up is needed. */
  isLed(found: PartitionOfRequest, now: number): boolean {
    const topic = found.of as KnownTopic
    topic.usedAt = Math.floor(now)
    return (
      !found.isForgotten && found.leaderId >= 0 && found.suspectSince === 0 && topic.errorAt(now) === errorCodes.NONE
    )
  }

  /** The news of a topic for its followers; `undefined`: nothing is known yet. */
  newsOf(topic: string, mayBeCreated: boolean, now: number): TopicNews | undefined {
    const known = this.#topics.get(topic)
    if (known === undefined) return this.#missing.newsOf(topic, mayBeCreated, now)
    const { partitionCount, countedId: topicId, isCountDoubted: isDoubted } = known
    return partitionCount > 0 ? { type: 'known', topic, partitionCount, topicId, isDoubted } : undefined
  }

  /** True when a look-up has contradicted the number of partitions among which keys are distributed. */
  isCountDoubted(topic: string): boolean {
    return this.#topics.get(topic)?.isCountDoubted ?? false
  }

  /** True when the topic has been found and not lost since. */
  isKnown(topic: string): boolean {
    return (this.#topics.get(topic)?.partitions.length ?? 0) > 0
  }

  /** True when the last look-up, a short time ago, did not find the topic. */
  isMissing(topicName: string): boolean {
    const topic = this.#topics.get(topicName)
    return topic ? topic.misses > 0 : this.#missing.isMissed(topicName)
  }

  /**
   * Called when a broker has answered that it does not know the partition. True when the last refresh did not find the
   * topic either. Then readers are answered and cached records are dropped. Writers wait until the topic counts as
   * deleted.
   */
  isMissed(topicName: string, key: string): boolean {
    const isMissed = (this.#topics.get(topicName)?.misses ?? 0) > 0
    if (isMissed) this.#options.onRecreated(key)
    return isMissed
  }

  isRememberedMissing(topic: string, mayBeCreated: boolean, now: number): boolean {
    return !this.#topics.has(topic) && this.#missing.lookUp(topic, mayBeCreated, now).type === 'unknownTopic'
  }

  /**
   * Chooses at most `most` of the missing names, which brokers may be asked to create now. The chosen names count as
   * asked.
   */
  admitCreations(names: readonly string[], most: number, now: number): string[] {
    const admitted: string[] = []
    for (const name of names) {
      if (admitted.length >= most) break
      if (this.#missing.admitCreation(name, now)) admitted.push(name)
    }
    return admitted
  }

  /** Whether a missing topic still waits for its turn to be created, or for the broker that was asked to. */
  waitsForCreation(topic: string, now: number): boolean {
    return this.#missing.waitsForCreation(topic, now)
  }

  leaderOf(topic: string, partition: number): PartitionOfRequest | undefined {
    return this.#topics.get(topic)?.partition(partition)
  }

  /**
   * Notes that the broker has answered that it does not lead the partition. This holds until a later refresh.
   *
   * @param isDenied the broker does not know the partition at all
   */
  suspect(topic: string, partition: number, nodeId: number, now: number, isDenied = false): void {
    const entry = this.leaderOf(topic, partition)
    // An answer of a former leader says nothing about the current leader.
    if (entry?.leaderId !== nodeId) return
    entry.suspectSince = now
    entry.isDenied ||= isDenied
  }

  /**
   * Notes that a broker did not answer in time. Its partitions of the topic are looked up before it gets further
   * requests.
   */
  suspectAll(topicName: string, nodeId: number, now: number): void {
    for (const entry of this.#topics.get(topicName)?.partitions ?? []) {
      if (entry.leaderId === nodeId) entry.suspectSince = now
    }
  }

  /** Applies one topic of a metadata response. `mayBeCreated`: brokers were asked to create the topic. */
  apply(metadata: TopicMetadata, askedAt: number, now: number, mayBeCreated: boolean): void {
    const { topic: name, errorCode } = metadata
    const known = this.#topics.get(name)
    const isMissing = errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION
    // A single look-up that does not find the topic changes nothing, because the next look-up follows soon.
    if (known && !(isMissing && known.misses === 0)) known.checkedAt = Math.max(known.checkedAt, Math.floor(askedAt))
    if (isMissing) {
      if (!known) this.#missing.missed(name, mayBeCreated, now)
      else if (known.missed(now)) this.#lose(known, now)
    } else if (errorCode === errorCodes.NONE || errorCode === errorCodes.LEADER_NOT_AVAILABLE) {
      this.#require(metadata, askedAt, now).found(metadata, askedAt, now)
    } else if (isFinal(errorCode)) {
      if (known) known.refused(errorCode, now)
      else this.#missing.refused(name, errorCode, now)
    }
  }

  /** The controller has deleted the topic. Unlike a look-up, this needs no confirmation. */
  deleted(topicName: string, now: number): void {
    const topic = this.#topics.get(topicName)
    if (topic) this.#lose(topic, now)
  }

  /** Forgets that the name was missing, because the topic has been created. */
  forgetMissing(topicName: string): void {
    this.#missing.found(topicName)
  }

  /** Brokers with offline replicas of known topics, each with the name of such a topic. */
  offlineBrokers(): Map<number, string> {
    const found = new Map<number, string>()
    for (const { name, offlineBrokers } of this.#topics.values())
      for (const nodeId of offlineBrokers) if (!found.has(nodeId)) found.set(nodeId, name)
    return found
  }

  used(topics: Iterable<string>, now: number): void {
    for (const name of topics) {
      const topic = this.#topics.get(name)
      if (topic) topic.usedAt = Math.floor(now)
    }
  }

  /**
   * Returns all topics in use if the metadata of one of them is at least `refreshAgeMs` old. A topic is in use if it
   * was requested within `maxAgeMs`.
   */
  stale(maxAgeMs: number, refreshAgeMs: number, now: number): string[] {
    const joining: string[] = []
    let isAnyDue = false
    for (const { name, usedAt, checkedAt } of this.#topics.values()) {
      if (now - usedAt > maxAgeMs || now - checkedAt < refreshAgeMs * JOINS_AT_SHARE_OF_AGE) continue
      joining.push(name)
      isAnyDue ||= now - checkedAt >= refreshAgeMs
    }
    return isAnyDue ? joining : []
  }

  /** Forgets topics that have not been used for a long time, and missing names that were looked up long ago. */
  forgetUnused(unusedMs: number, now: number): void {
    this.#missing.tidy(now)
    for (const topic of this.#topics.values()) {
      if (now - Math.max(topic.usedAt, topic.metAt) > unusedMs) this.#forget(topic)
    }
  }

  /** Forgets all topics, because another cluster is connected. */
  clear(): void {
    for (const topic of this.#topics.values()) this.#forget(topic)
    this.#missing.clear()
  }

  get topicCount(): number {
    return this.#topics.size
  }

  get missingCount(): number {
    return this.#missing.size
  }

  #require({ topic: name, errorCode }: TopicMetadata, askedAt: number, now: number): KnownTopic {
    let topic = this.#topics.get(name)
    if (!topic) {
      topic = new KnownTopic(name, now, this.#options)
      topic.checkedAt = Math.floor(askedAt)
      // A topic that an earlier look-up did not find, or that has no leaders yet, has just been created.
      const isNew = this.#missing.isMissed(name) || errorCode === errorCodes.LEADER_NOT_AVAILABLE
      if (isNew) topic.newUntil = Math.ceil(now + NEW_FOR_MS)
      this.#topics.set(name, topic)
      this.#missing.found(name)
    }
    return topic
  }

  #lose(topic: KnownTopic, now: number): void {
    this.#forget(topic)
    this.#missing.gone(topic.name, now)
  }

  #forget(topic: KnownTopic): void {
    this.#topics.delete(topic.name)
    topic.forgetFrom(0)
  }
}

/** True when the topic itself is refused: its name, the access to it or its creation is not allowed. */
const isFinal = (errorCode: number): boolean =>
  errorCode === errorCodes.INVALID_TOPIC_EXCEPTION ||
  errorCode === errorCodes.TOPIC_AUTHORIZATION_FAILED ||
  errorCode === errorCodes.POLICY_VIOLATION
