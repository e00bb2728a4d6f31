import type { TopicMetadata } from '../wire/broker-client.js'
import { errorCodes } from '../wire/error-codes.js'
import { KnownTopic, type KnownTopicOptions, type Partition } from './known-topic.js'
import { MissingTopics, type MissingTopicsOptions } from './missing-topics.js'

export type { Partition } from './known-topic.js'

export type LeaderTableOptions = KnownTopicOptions & MissingTopicsOptions

/** What the table knows about where to send a request. */
export type Lookup =
  /** `checkedAt`: when the look-up began that this is known from. `isNew`: the topic was created a moment ago. */
  | { readonly type: 'leader'; readonly partition: Partition; readonly checkedAt: number; readonly isNew: boolean }
  /** The topic is known; nobody leads the partition at the moment, or who does is in doubt. */
  | { readonly type: 'noLeader'; readonly partition: Partition }
  | { readonly type: 'unknownTopic' }
  | { readonly type: 'unknownPartition' }
  | { readonly type: 'topicError'; readonly errorCode: number }
  /** Nothing is known, or not enough to say no. */
  | { readonly type: 'ask' }

const ASK: Lookup = { type: 'ask' }
const UNKNOWN_PARTITION: Lookup = { type: 'unknownPartition' }
// Of topics that are looked up in one call, those join whose turn would come soon, so that there is one call for all.
const JOINS_AT_SHARE_OF_AGE = 0.5
// A topic counts as new for so long after it was found. Replicas of new partitions start within seconds on busy brokers.
const NEW_FOR_MS = 30_000

/**
 * Who leads which partition, per topic, with the identity of that partition's life. An entry is replaced by news with the
 * same or a higher epoch only. Names that are no topics are kept apart, since strangers may invent any number of them.
 */
export class LeaderTable {
  readonly #options: LeaderTableOptions
  readonly #topics = new Map<string, KnownTopic>()
  readonly #missing: MissingTopics

  constructor(options: LeaderTableOptions) {
    this.#options = options
    this.#missing = new MissingTopics(options)
  }

  /** @param mayBeCreated whoever asks may have the topic created: that readers have missed it does not count */
  lookUp(topicName: string, partitionId: number, now: number, mayBeCreated = false): Lookup {
    const topic = this.#topics.get(topicName)
    if (!topic) return this.#missing.lookUp(topicName, mayBeCreated, now)
    topic.usedAt = now
    const errorCode = topic.errorAt(now)
    if (errorCode !== errorCodes.NONE) return { type: 'topicError', errorCode }
    const partition = topic.partitions.get(partitionId)
    if (!partition) return topic.isCountSure(now) ? UNKNOWN_PARTITION : ASK
    return partition.leaderId >= 0 && partition.suspectSince === 0
      ? { type: 'leader', partition, checkedAt: topic.checkedAt, isNew: topic.newUntil > now }
      : { type: 'noLeader', partition }
  }

  /** True when the topic has been found and not lost since. */
  isKnown(topic: string): boolean {
    return (this.#topics.get(topic)?.partitions.size ?? 0) > 0
  }

  /** Looked up lately, and not found by the last look-up. */
  isMissing(topicName: string): boolean {
    const topic = this.#topics.get(topicName)
    return topic ? topic.misses > 0 : this.#missing.isMissed(topicName)
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

  isRememberedMissing(topic: string, mayBeCreated: boolean, now: number): boolean {
    return !this.#topics.has(topic) && this.#missing.lookUp(topic, mayBeCreated, now).type === 'unknownTopic'
  }

  /** Those of these missing names that brokers may be asked to create now, at most so many; they count as asked. */
  admitCreations(names: readonly string[], most: number, now: number): string[] {
    const admitted: string[] = []
    for (const name of names) {
      if (admitted.length >= most) break
      if (this.#missing.admitCreation(name, now)) admitted.push(name)
    }
    return admitted
  }

  leaderOf(topic: string, partition: number): Partition | undefined {
    return this.#topics.get(topic)?.partitions.get(partition)
  }

  /**
   * The broker that was asked says it does not lead: believed until a refresh that begins from now on.
   *
   * @param isDenied it says that it does not know the partition at all
   */
  suspect(topic: string, partition: number, nodeId: number, now: number, isDenied = false): void {
    const entry = this.leaderOf(topic, partition)
    // News of an earlier leader says nothing about the one we know now.
    if (entry?.leaderId !== nodeId) return
    entry.suspectSince = now
    entry.isDenied ||= isDenied
  }

  /** A broker did not answer in time: whether it still leads what it led of the topic is to be asked before it is tried again. */
  suspectAll(topicName: string, nodeId: number, now: number): void {
    for (const entry of this.#topics.get(topicName)?.partitions.values() ?? []) {
      if (entry.leaderId === nodeId) entry.suspectSince = now
    }
  }

  /** Applies one topic of a reply. `mayBeCreated`: brokers were asked to create it. */
  apply(metadata: TopicMetadata, askedAt: number, now: number, mayBeCreated: boolean): void {
    const { topic: name, errorCode } = metadata
    const known = this.#topics.get(name)
    const isMissing = errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION
    // A first miss decides nothing: the next look-up follows soon.
    if (known && !(isMissing && known.misses === 0)) known.checkedAt = Math.max(known.checkedAt, askedAt)
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

  /** Topics asked for within `maxAgeMs`, once what is known of one of them is as old as `refreshAgeMs`. */
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

  /** Forgets topics nobody has asked for in a long time, and names that were missed long ago. */
  forgetUnused(unusedMs: number, now: number): void {
    this.#missing.tidy(now)
    for (const topic of this.#topics.values()) {
      if (now - Math.max(topic.usedAt, topic.metAt) > unusedMs) this.#forget(topic)
    }
  }

  /** Another cluster has other topics, whatever their names. */
  clear(): void {
    for (const topic of this.#topics.values()) this.#forget(topic)
    this.#missing.clear()
  }

  get topicCount(): number {
    return this.#topics.size
  }

  /** Names that are remembered as missing. */
  get missingCount(): number {
    return this.#missing.size
  }

  #require({ topic: name, errorCode }: TopicMetadata, askedAt: number, now: number): KnownTopic {
    let topic = this.#topics.get(name)
    if (!topic) {
      topic = new KnownTopic(name, now, this.#options)
      topic.checkedAt = askedAt
      // Missed before it was found, or found before it has leaders: somebody has just created it.
      const isNew = this.#missing.isMissed(name) || errorCode === errorCodes.LEADER_NOT_AVAILABLE
      if (isNew) topic.newUntil = now + NEW_FOR_MS
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

/** The topic itself is refused: its name is not allowed, or we may not see it. */
const isFinal = (errorCode: number): boolean =>
  errorCode === errorCodes.INVALID_TOPIC_EXCEPTION || errorCode === errorCodes.TOPIC_AUTHORIZATION_FAILED
