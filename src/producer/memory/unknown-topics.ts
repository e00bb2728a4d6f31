import { HeldAmount } from '../../core/held-amount.js'
import type { RecordFailure } from '../../core/model.js'
import { failures } from './failures.js'
import { creationsIn, NewTopics } from './new-topics.js'
import type { MemoryPendingProduce } from './pending-produce.js'
import type { DeliverySettings } from './settings.js'

/**
 * Share of `maxBytes` for records of topics that are being looked up. Records of missing topics have another share of this size,
 * and half of it where brokers may create the topics, because they wait for longer then. Overflowing records of unknown topics may
 * take this share of the memory for waiting records, too.
 */
const SHARE_OF_WAITING = 1 / 4
/** Share of the places for unknown topics that one request may take, so that others get some. */
const SHARE_OF_A_REQUEST = 1 / 4

/** `pending`: no broker has answered yet, so the topic may exist. `missing`: the brokers said that it does not exist. */
export type WaitingAs = 'pending' | 'missing'

/** A topic in the table of unknown topics. */
export interface UnknownTopic {
  readonly name: string
  /** The client that named it first; `undefined`: it is not known. */
  readonly client: string | undefined
  readonly isKnown: boolean
  readonly hasProducers: boolean
  /** Bytes of the records that wait for a look-up. */
  readonly waitingBytes: number
  /** Whether the topic may be forgotten: no remembered failure or denial is still valid. */
  isOver(nowMs: number): boolean
  tick(nowMs: number): void
  /** Fails the waiting records, because topics that were denied later need the place. */
  forgetUnsent(): void
}

/** Topics that wait in the same way, and the memory of their records. */
class Pool<Topic> {
  readonly topics = new Set<Topic>()
  readonly bytes = new HeldAmount('bytes of records for unknown topics')
}

/**
 * Topics with records that wait until the partitions are known. Pending and missing topics have separate limits, so that an
 * invented name never takes a place from an existing topic. Where brokers are asked for none, and there are too many missing ones, the
 * records of the topic that was denied first fail. Where brokers create them, none fails while it waits for its turn: records of no
 * more topics are accepted than can be created in time.
 *
 *   first record ─▶ pending ─ denied ─▶ missing ─ denied for too long ─▶ remembered ─ a while ─▶ forgotten
 *                     └── found ──────────┴── found ─▶ known
 */
export class UnknownTopics<Topic extends UnknownTopic> {
  readonly #settings: DeliverySettings
  readonly #waitingMaxBytes: number
  readonly #onForgotten: (topic: Topic) => void
  readonly #pools: Record<WaitingAs, Pool<Topic>> = { pending: new Pool(), missing: new Pool() }
  /** Denied topics without waiting records, oldest first. They are remembered for a while. */
  readonly #remembered = new Set<Topic>()
  /** The places of topics with accepted records; `undefined`: brokers are asked for none. */
  readonly #newTopics: NewTopics | undefined
  /** Bytes of overflowing records. */
  readonly #queuedBytes = new HeldAmount('bytes of records that overflow')

  /**
   * @param waitingMaxBytes memory of all records that wait for capacity
   * @param onForgotten called when no record waits for an unknown topic and nothing is remembered of it
   */
  constructor(settings: DeliverySettings, waitingMaxBytes: number, onForgotten: (topic: Topic) => void) {
    this.#settings = settings
    this.#waitingMaxBytes = waitingMaxBytes
    this.#onForgotten = onForgotten
    if (settings.createTopics) this.#newTopics = new NewTopics(creationsIn(settings.timeoutMs))
  }

  get size(): number {
    return this.#pools.pending.topics.size + this.#pools.missing.topics.size + this.#remembered.size
  }

  topics(as: WaitingAs): ReadonlySet<Topic> {
    return this.#pools[as].topics
  }

  /** Why the request may not add another topic; `undefined`: it may. */
  refusal(pendingProduce: MemoryPendingProduce): RecordFailure | undefined {
    const { maxPendingTopics } = this.#settings
    const maxOfRequest = Math.ceil(maxPendingTopics * SHARE_OF_A_REQUEST)
    if (this.#pools.pending.topics.size >= maxPendingTopics)
      return failures.overloaded('the list of topics to look up is', maxPendingTopics)
    if (pendingProduce.newTopics >= maxOfRequest)
      return failures.overloaded('the part of one request in the list of topics to look up is', maxOfRequest)
    return undefined
  }

  /** Why no record of the topic may be accepted before it is found; `undefined`: some may. */
  placeRefusal({ name, client }: Topic, { placesTaken }: MemoryPendingProduce): RecordFailure | undefined {
    return this.#newTopics?.refusalOf(name, client, placesTaken)
  }

  /** A record of the topic is accepted. */
  takePlace({ name, client }: Topic, pendingProduce: MemoryPendingProduce): void {
    if (this.#newTopics?.take(name, client)) pendingProduce.placesTaken++
  }

  /** The topics of the same kind have capacity for this many bytes more. */
  hasCapacity(topic: Topic, bytes: number): boolean {
    const { pending, missing } = this.#pools
    // Topics that turn out to be missing keep their memory until they are created.
    const max = this.#maxBytes
    if (this.#newTopics === undefined) return this.#poolOf(topic).bytes.value + bytes <= max
    const areFull = pending.bytes.value + missing.bytes.value + bytes > max + max / 2
    return !areFull && this.#poolOf(topic).bytes.value + bytes <= (this.#poolOf(topic) === missing ? max / 2 : max)
  }

  /** Overflowing records may take this many bytes more. */
  mayQueue(bytes: number): boolean {
    return this.#queuedBytes.value + bytes <= this.#waitingMaxBytes * SHARE_OF_WAITING
  }

  /** @param bytes by which overflowing records have grown or, negative, shrunk */
  queued(bytes: number): void {
    this.#queuedBytes.change(bytes)
  }

  /** True when no record waits for any other pending topic. */
  isAlone(topic: Topic): boolean {
    return this.#poolOf(topic) === this.#pools.pending && this.#pools.pending.bytes.value === topic.waitingBytes
  }

  enter(topic: Topic, as: WaitingAs): void {
    this.#remembered.delete(topic)
    if (this.#pools[as].topics.has(topic)) return
    this.#take(topic)
    this.#pools[as].topics.add(topic)
    this.#pools[as].bytes.add(topic.waitingBytes)
    if (as === 'missing' && this.#newTopics === undefined) this.#evictOldest()
  }

  /** @param bytes by which its waiting records have grown or, negative, shrunk */
  grew(topic: Topic, bytes: number): void {
    this.#poolOf(topic).bytes.change(bytes)
  }

  /** No record waits for the topic any more. */
  leave(topic: Topic, nowMs: number): void {
    this.#take(topic)
    this.#newTopics?.release(topic.name)
    if (topic.isOver(nowMs)) this.#settle(topic)
    else {
      this.#remembered.add(topic)
      if (this.#remembered.size > this.#settings.maxUnknownTopics) this.#forgetOldest()
    }
  }

  /** Removes the topic, whatever its state. */
  forget(topic: Topic): void {
    this.#take(topic)
    this.#newTopics?.release(topic.name)
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
      if (pool.topics.delete(topic)) pool.bytes.release(topic.waitingBytes)
    }
  }

  #evictOldest(): void {
    const { topics } = this.#pools.missing
    while (
      topics.size > this.#settings.maxUnknownTopics ||
      (this.#pools.missing.bytes.value > this.#maxBytes && topics.size > 1)
    ) {
      const [oldest] = topics
      oldest!.forgetUnsent()
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
