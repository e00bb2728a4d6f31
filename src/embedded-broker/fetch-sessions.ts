import { randomInt } from 'node:crypto'
import { topicPartitionKey } from '../core/model.js'
import { errorCodes } from '../kafka/error-codes.js'

/** Limit of sessions, the same as Kafka's `max.incremental.fetch.session.cache.slots`. */
const MOST_SESSIONS = 1_000
/** Limit of partitions in all sessions together. */
const MOST_PARTITIONS = 100_000
/** A session that was used in this time is not replaced, as with Kafka's `min.incremental.fetch.session.eviction.ms`. */
const IN_USE_MS = 120_000
const LARGEST_ID = 0x7fffffff
/** Kafka has no topic with a longer name. Each partition of a session holds the name. */
const LONGEST_NAME = 249

export interface SessionPartition {
  readonly partition: number
  readonly currentLeaderEpoch: number
  readonly fetchOffset: number
  readonly maxBytes: number
}

/** A topic in a fetch request. If it was requested by id, `topic` is the id until the broker has looked up the name. */
export interface FetchTopic {
  readonly topic: string
  /** Undefined: the topic was requested by name. */
  readonly topicId: string | undefined
  readonly partitions: readonly SessionPartition[]
}

export interface ReportedPartition {
  readonly errorCode: number
  readonly highWatermark: number
  readonly logStartOffset: number
  readonly hasRecords: boolean
}

interface Remembered {
  readonly topic: FetchTopic
  asked: SessionPartition
  /** The value in the last response; -1: there was no response yet, or it had an error. */
  highWatermark: number
  logStartOffset: number
}

export type ForgottenTopics = readonly { readonly topic: string; readonly partitions: readonly number[] }[]

/** The partitions that a client reads repeatedly. A request in a session only names changed partitions (KIP-227). */
export class KeptSession {
  readonly id: number
  readonly nodeId: number
  /** True: requests name topics by their ids. */
  readonly usesTopicIds: boolean
  /** The epoch that the next request must have. */
  epoch = 1
  usedAt = 0
  readonly #partitions = new Map<string, Remembered>()
  #topics: readonly FetchTopic[] | undefined

  constructor(id: number, nodeId: number, usesTopicIds: boolean) {
    this.id = id
    this.nodeId = nodeId
    this.usesTopicIds = usesTopicIds
  }

  get size(): number {
    return this.#partitions.size
  }

  /**
   * The partitions of the session in the order in which they are served. Adjacent partitions of one topic are grouped.
   */
  get topics(): readonly FetchTopic[] {
    this.#topics ??= inOrder(this.#partitions.values())
    return this.#topics
  }

  /** Adds the partitions of a request, or moves them to the requested offsets, and removes the forgotten partitions. */
  update(topics: readonly FetchTopic[], forgotten: ForgottenTopics): void {
    if (topics.length > 0 || forgotten.length > 0) this.#topics = undefined
    for (const topic of topics) {
      for (const asked of topic.partitions) {
        const key = topicPartitionKey(topic.topic, asked.partition)
        const known = this.#partitions.get(key)
        if (known) known.asked = asked
        else this.#partitions.set(key, { topic, asked, highWatermark: -1, logStartOffset: -1 })
      }
    }
    for (const { topic, partitions } of forgotten)
      for (const partition of partitions) this.#partitions.delete(topicPartitionKey(topic, partition))
  }

  /**
   * Returns true when a response must list this partition, because it has records, an error, or other watermarks than
   * in the last response. A partition with records moves to the end, so that all partitions take turns.
   */
  isNews(topic: FetchTopic, partition: number, reported: ReportedPartition): boolean {
    const key = topicPartitionKey(topic.topicId ?? topic.topic, partition)
    const known = this.#partitions.get(key)
    if (!known) return true
    const { errorCode, highWatermark, logStartOffset, hasRecords } = reported
    const isNews =
      errorCode !== errorCodes.NONE ||
      hasRecords ||
      known.highWatermark !== highWatermark ||
      known.logStartOffset !== logStartOffset
    known.highWatermark = errorCode === errorCodes.NONE ? highWatermark : -1
    known.logStartOffset = errorCode === errorCodes.NONE ? logStartOffset : -1
    if (hasRecords) {
      this.#partitions.delete(key)
      this.#partitions.set(key, known)
      this.#topics = undefined
    }
    return isNews
  }
}

/** The sessions of all nodes, the least recently used first. */
export class FetchSessions {
  readonly #sessions = new Map<number, KeptSession>()
  #partitionCount = 0

  /** Returns a session of the node and marks it as used. */
  use(id: number, nodeId: number, nowMs: number): KeptSession | undefined {
    const session = this.#sessions.get(id)
    if (session?.nodeId !== nodeId) return undefined
    this.#sessions.delete(id)
    session.usedAt = nowMs
    this.#sessions.set(id, session)
    return session
  }

  /** Returns a session of the node without marking it as used. */
  get(id: number, nodeId: number): KeptSession | undefined {
    const session = this.#sessions.get(id)
    return session?.nodeId === nodeId ? session : undefined
  }

  /**
   * Begins a session. When a limit is reached, it replaces those that were not used for longest.
   *
   * @returns `undefined`: it is too large, or the others are in use; the client gets its answer without a session
   */
  begin(nodeId: number, topics: readonly FetchTopic[], usesTopicIds: boolean, nowMs: number): KeptSession | undefined {
    if (topics.some(hasLongName)) return undefined
    let id = 0
    while (id === 0 || this.#sessions.has(id)) id = randomInt(1, LARGEST_ID)
    const session = new KeptSession(id, nodeId, usesTopicIds)
    session.update(topics, [])
    if (session.size > MOST_PARTITIONS) return undefined
    for (const oldest of this.#sessions.values()) {
      if (this.#sessions.size < MOST_SESSIONS && this.#partitionCount + session.size <= MOST_PARTITIONS) break
      if (nowMs - oldest.usedAt < IN_USE_MS) return undefined
      this.#remove(oldest)
    }
    session.usedAt = nowMs
    this.#sessions.set(id, session)
    this.#partitionCount += session.size
    return session
  }

  /** @returns false when the limit does not allow the added partitions; this ends the session */
  update(session: KeptSession, topics: readonly FetchTopic[], forgotten: ForgottenTopics): boolean {
    const before = session.size
    session.update(topics, forgotten)
    this.#partitionCount += session.size - before
    if (this.#partitionCount <= MOST_PARTITIONS && !topics.some(hasLongName)) return true
    this.#remove(session)
    return false
  }

  end(id: number, nodeId: number): void {
    const session = this.get(id, nodeId)
    if (session) this.#remove(session)
  }

  /** Ends the sessions of a stopped node, because it loses its memory. */
  nodeStopped(nodeId: number): void {
    for (const session of [...this.#sessions.values()]) if (session.nodeId === nodeId) this.#remove(session)
  }

  #remove(session: KeptSession): void {
    this.#sessions.delete(session.id)
    this.#partitionCount -= session.size
  }
}

const hasLongName = ({ topic }: FetchTopic): boolean => topic.length > LONGEST_NAME

function inOrder(partitions: Iterable<Remembered>): FetchTopic[] {
  const topics: { topic: string; topicId: string | undefined; partitions: SessionPartition[] }[] = []
  for (const { topic, asked } of partitions) {
    const last = topics.at(-1)
    if (last?.topic === topic.topic) last.partitions.push(asked)
    else topics.push({ topic: topic.topic, topicId: topic.topicId, partitions: [asked] })
  }
  return topics
}
