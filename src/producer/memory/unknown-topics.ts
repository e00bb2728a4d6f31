import type { RecordFailure } from '../../core/model.js'
import { failures } from './failures.js'
import type { MemoryPendingProduce } from './pending-produce.js'
import type { DeliverySettings } from './settings.js'

/**
 * Of `maxBytes`: what the records of all topics may take that are being looked up, and the same for missing topics. Of the
 * memory for records that wait for room: what those may take for which there is none beside them.
 */
const SHARE_OF_WAITING = 1 / 4
/** Of the places: what one request may take, so that a request with very many names leaves places to others. */
const SHARE_OF_A_REQUEST = 1 / 4

/** `pending`: no broker has answered yet, so the topic may exist. `missing`: the brokers said that it does not exist. */
export type WaitingAs = 'pending' | 'missing'

/** A topic that has its place here. */
export interface UnknownTopic {
  readonly isKnown: boolean
  readonly hasProducers: boolean
  /** Bytes of the records that wait for a look-up. */
  readonly waitingBytes: number
  /** Nothing that is remembered of it still applies: it may be forgotten. */
  isOver(nowMs: number): boolean
  /** Ends waits that are over. */
  tick(nowMs: number): void
  /** Fails the records that wait: others that were denied later need its place. */
  giveWay(): void
}

class Pool<Topic> {
  readonly topics = new Set<Topic>()
  bytes = 0
}

/**
 * Topics with records that wait until the partitions are known. Pending and missing topics have places and bytes of their
 * own, so that an invented name never takes a place from a topic that exists. When there are too many missing ones, the
 * records of the one that went missing first are told that it does not exist.
 *
 *   first record ─▶ pending ─ denied ─▶ missing ─ denied for too long ─▶ remembered ─ a while ─▶ forgotten
 *                     └── found ──────────┴── found ─▶ known
 */
export class UnknownTopics<Topic extends UnknownTopic> {
  readonly #settings: DeliverySettings
  readonly #waitingMaxBytes: number
  readonly #onForgotten: (topic: Topic) => void
  readonly #pools: Record<WaitingAs, Pool<Topic>> = { pending: new Pool(), missing: new Pool() }
  /** Nothing waits for them; that they were denied is remembered for a while. The first one is forgotten first. */
  readonly #remembered = new Set<Topic>()
  /** Of records for which there was no room beside those that wait. */
  #queuedBytes = 0

  /**
   * @param waitingMaxBytes memory of all records that wait for room
   * @param onForgotten called for an unknown topic that nothing waits for and of which nothing is remembered
   */
  constructor(settings: DeliverySettings, waitingMaxBytes: number, onForgotten: (topic: Topic) => void) {
    this.#settings = settings
    this.#waitingMaxBytes = waitingMaxBytes
    this.#onForgotten = onForgotten
  }

  get size(): number {
    return this.#pools.pending.topics.size + this.#pools.missing.topics.size + this.#remembered.size
  }

  topics(as: WaitingAs): ReadonlySet<Topic> {
    return this.#pools[as].topics
  }

  /** Why no further topic may wait; `undefined`: it may. */
  refusal(pendingProduce: MemoryPendingProduce): RecordFailure | undefined {
    const { maxPendingTopics } = this.#settings
    const isFull =
      this.#pools.pending.topics.size >= maxPendingTopics ||
      pendingProduce.newTopics >= maxPendingTopics * SHARE_OF_A_REQUEST
    if (!isFull) return undefined
    return failures.overloaded('the list of topics to look up is', maxPendingTopics, 'delivery.maxPendingTopics')
  }

  /** The records of all topics that wait like this one may take so many bytes more. */
  hasCapacity(topic: Topic, bytes: number): boolean {
    return this.#poolOf(topic).bytes + bytes <= this.#maxBytes
  }

  /** So many bytes more may wait for room among the records that wait. */
  mayQueue(bytes: number): boolean {
    return this.#queuedBytes + bytes <= this.#waitingMaxBytes * SHARE_OF_WAITING
  }

  /** So many bytes more wait for room or, negative, fewer. */
  queued(bytes: number): void {
    this.#queuedBytes += bytes
  }

  /** Nothing waits for any other topic that is pending. */
  isAlone(topic: Topic): boolean {
    return this.#poolOf(topic) === this.#pools.pending && this.#pools.pending.bytes === topic.waitingBytes
  }

  /** Records wait for it now, as one or the other. */
  enter(topic: Topic, as: WaitingAs): void {
    this.#remembered.delete(topic)
    if (this.#pools[as].topics.has(topic)) return
    this.#take(topic)
    this.#pools[as].topics.add(topic)
    this.#pools[as].bytes += topic.waitingBytes
    if (as === 'missing') this.#makeCapacity()
  }

  /** More bytes wait for it, or, negative, fewer. */
  grew(topic: Topic, bytes: number): void {
    this.#poolOf(topic).bytes += bytes
  }

  /** Nothing waits for it any more. */
  leave(topic: Topic, nowMs: number): void {
    this.#take(topic)
    if (topic.isOver(nowMs)) this.#settle(topic)
    else {
      this.#remembered.add(topic)
      if (this.#remembered.size > this.#settings.maxUnknownTopics) this.#forgetOldest()
    }
  }

  /** Whatever it was, it is nothing here any more. */
  forget(topic: Topic): void {
    this.#take(topic)
    this.#remembered.delete(topic)
  }

  tick(nowMs: number): void {
    for (const topic of this.#pools.pending.topics) topic.tick(nowMs)
    for (const topic of this.#pools.missing.topics) topic.tick(nowMs)
    for (const topic of this.#remembered) {
      if (!topic.isOver(nowMs)) return
      this.#forgetOldest()
    }
  }

  get #maxBytes(): number {
    return this.#settings.maxBytes * SHARE_OF_WAITING
  }

  #poolOf(topic: Topic): Pool<Topic> {
    return this.#pools.missing.topics.has(topic) ? this.#pools.missing : this.#pools.pending
  }

  #take(topic: Topic): void {
    for (const pool of [this.#pools.pending, this.#pools.missing]) {
      if (pool.topics.delete(topic)) pool.bytes -= topic.waitingBytes
    }
  }

  #makeCapacity(): void {
    const { topics } = this.#pools.missing
    while (
      topics.size > this.#settings.maxUnknownTopics ||
      (this.#pools.missing.bytes > this.#maxBytes && topics.size > 1)
    ) {
      const [oldest] = topics
      oldest!.giveWay()
    }
  }

  #forgetOldest(): void {
    const [oldest] = this.#remembered
    this.#remembered.delete(oldest!)
    this.#settle(oldest!)
  }

  #settle(topic: Topic): void {
    if (!topic.isKnown && !topic.hasProducers) this.#onForgotten(topic)
  }
}
