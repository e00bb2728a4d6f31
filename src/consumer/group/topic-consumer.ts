import { addTo } from '../../core/group-by.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import { type KafkaRecord, type Offset, sizeOfRecord } from '../../core/model.js'
import type { Failure, GroupMembership } from '../../router/messages/operations.js'
import type { Deadlines } from '../../router/requests/deadlines.js'
import { ownFailure } from '../../router/requests/failures.js'
import type {
  AcquiredMessage,
  ConsumedMessages,
  MessageLimits,
  TakenByPartition,
  TopicOffers,
  WaitingRequest
} from './consume-result.js'
import type { ReadPartition } from './held-messages.js'
import type { AckOutcome, PartitionConsumer } from './partition-consumer.js'
import type { TopicStart } from './topic-start.js'
import { type Demand, TurnOrder } from './turn-order.js'

/**
 * The first requests of a group are held until the start of reading is fixed, at most for this time beyond their time
 * limit. They are held because an answer promises that the group gets every later record. A leader needs at most 3 s to
 * decide where reading begins.
 */
export const LONGEST_HOLD_MS = 5_000

export interface TopicConsumerOptions {
  readonly topic: string
  readonly groupId: string
  readonly deadlines: Deadlines
  readonly metrics: MetricsLogger
  readonly maxWaitingRequests: number
  readonly start: TopicStart
  readonly createPartition: (partition: number, demand: Demand) => PartitionConsumer
  readonly offers: TopicOffers
  /** The member that offers messages now. */
  readonly membership: () => GroupMembership | undefined
}

/**
 * What a request is answered. A literal with a getter would take five times the memory, since V8 makes a hidden class for each
 * one; such a class is old at once, and keeps all of the request until the whole heap is collected.
 */
class OfferedMessages implements ConsumedMessages {
  readonly messages: readonly AcquiredMessage[]
  readonly offers: TopicOffers
  readonly ack: () => void
  readonly release: () => void

  constructor(messages: readonly AcquiredMessage[], offers: TopicOffers, taken: TakenByPartition) {
    this.messages = messages
    this.offers = offers
    this.ack = () => offers.ackAll(taken)
    this.release = () => offers.releaseAll(taken)
  }

  get topicIds(): ReadonlyMap<number, string | undefined> {
    return new Map(this.messages.map(({ partition, topicId }) => [partition, topicId]))
  }
}

/**
 * The requests of one group for one topic, in order of arrival, and the partitions of this topic that the member reads. Only
 * {@link TopicConsumer.#serve} answers a waiting request with messages. What may let it do so calls it:
 *
 *   a request comes       enqueue ─▶ #serve, which tells idle partitions that a message is wanted ─▶ want
 *   a read has ended      GroupLogReader: onReady ─▶ PartitionConsumer#prefetch: a message is at hand ─▶ demand.prefetched ─▶ #serve
 *   one is acknowledged   PartitionConsumer.ack ─▶ #prefetch, which may have waited for that (maxPendingMessages)
 *   one comes back        releaseAll ─▶ PartitionConsumer.release ─▶ demand.prefetched ─▶ #serve
 *   a deadline is over    the timer of PartitionConsumer ─▶ #prefetch, which has the message fetched again
 *   the start is fixed    PartitionConsumer: onSettled ─▶ GroupConsumer ─▶ beginIfFixed ─▶ begin ─▶ #serve
 *   partitions change     GroupConsumer: assign, readAnew, resume ─▶ #serve
 *
 * Skipped records answer no request: onSkipped commits the position behind them, and onReady follows.
 * Partitions take turns in ascending order, with one message each. Partitions without a prefetched message are skipped
 * at no cost, so the cost of a message does not depend on the number of partitions.
 */
export class TopicConsumer {
  readonly #options: TopicConsumerOptions
  readonly #partitions = new Map<number, PartitionConsumer>()
  /** Partitions with a prefetched message. Some of them may have lost the message since. */
  readonly #prefetched = new TurnOrder()
  /** Idle partitions, which must be notified when a message is wanted. */
  readonly #idle = new Set<number>()
  /** Assigned partitions that are not read while their offsets are changed. */
  readonly #setAside = new Set<number>()
  #queue: WaitingRequest[] = []
  #lastServed = -1
  #isPaused = true
  #isServing = false

  constructor(options: TopicConsumerOptions) {
    this.#options = options
  }

  get waiting(): number {
    return this.#queue.reduce((open, { settled }) => (settled ? open : open + 1), 0)
  }
  /** True when requests wait and the member has no partition that could answer them. */
  get waitsInVain(): boolean {
    return this.#partitions.size === 0 && this.waiting > 0
  }
  get partitions(): readonly number[] {
    return [...this.#partitions.keys()].sort((one, other) => one - other)
  }
  /** The positions of the partitions that have found their start in the topic with this id. */
  positionsIn(topicId: string | undefined): ReadonlyMap<number, Offset> {
    const positions = new Map<number, Offset>()
    for (const [number, partition] of this.#partitions) {
      const position = partition.positionIn(topicId)
      if (position !== undefined) positions.set(number, position)
    }
    return positions
  }
  /** Number of messages that belong to transactions. */
  get held(): number {
    let held = 0
    for (const partition of this.#partitions.values()) held += partition.held
    return held
  }
  get pending(): number {
    let pending = 0
    for (const partition of this.#partitions.values()) pending += partition.pending
    return pending
  }
  waitMs(): number {
    let longest = 0
    for (const partition of this.#partitions.values()) longest = Math.max(longest, partition.waitMs())
    return longest
  }

  enqueue(request: WaitingRequest): void {
    const { maxWaitingRequests, deadlines } = this.#options
    if (this.#queue.length > maxWaitingRequests) this.#queue = this.#queue.filter(({ settled }) => !settled)
    if (this.#queue.length > maxWaitingRequests) {
      const setting = 'advanced.consumer.maxWaitingRequests'
      const text = `too many requests wait (limit ${maxWaitingRequests + 1}; ${setting})`
      request.answer(ownFailure('overloaded', text, true, setting))
      return
    }
    if (!this.#options.start.isFixed) request.hold(this, LONGEST_HOLD_MS, () => deadlines.add(request))
    this.#queue.push(request)
    this.#serve()
    if (!request.settled) deadlines.add(request)
  }

  /** Reads these partitions from now on. Partitions that are already read keep their positions. */
  assign(partitions: readonly number[]): void {
    const assigned = new Set(partitions)
    for (const partition of this.#partitions.keys()) if (!assigned.has(partition)) this.#drop(partition)
    for (const partition of this.#setAside) if (!assigned.has(partition)) this.#setAside.delete(partition)
    for (const partition of assigned) {
      if (!this.#partitions.has(partition) && !this.#setAside.has(partition)) this.#add(partition)
    }
    this.#serve()
  }

  readsAll(partitions: Iterable<number>): boolean {
    for (const partition of partitions) if (!this.#partitions.has(partition)) return false
    return true
  }

  /** Stops reading partitions that stay assigned. Messages offered from them are forgotten. */
  setAside(partitions: readonly number[]): void {
    for (const partition of partitions) {
      this.#drop(partition)
      this.#setAside.add(partition)
    }
  }

  /** Reads these partitions again from their committed offsets, if they are still assigned. */
  readAnew(partitions: readonly number[]): void {
    for (const partition of partitions) if (this.#setAside.delete(partition)) this.#add(partition)
    this.#serve()
  }

  #drop(partition: number): void {
    this.#partitions.get(partition)?.stop()
    this.#partitions.delete(partition)
    this.#prefetched.delete(partition)
    this.#idle.delete(partition)
  }

  #add(partition: number): void {
    this.#idle.add(partition)
    const consumer = this.#options.createPartition(partition, {
      isOpen: () => this.#first() !== undefined,
      prefetched: () => {
        this.#prefetched.add(partition)
        this.#serve()
      },
      idle: () => void this.#idle.add(partition)
    })
    this.#partitions.set(partition, consumer)
  }

  /** Answers requests from now on, if the start of reading is fixed in all partitions. */
  beginIfFixed(): void {
    if (this.#isPaused || this.#options.start.isBegun) return
    for (const partition of this.#partitions.values()) if (!partition.isStartFixed) return
    this.begin()
  }

  begin(): void {
    this.#options.start.begin()
    this.releaseRequests()
    this.#serve()
  }

  /** From now on, requests are answered at their time limit that there is no message. */
  releaseRequests(): void {
    const { deadlines } = this.#options
    for (const request of this.#queue) {
      deadlines.remove(request)
      request.releaseRequests(this)
      if (!request.settled) deadlines.add(request)
    }
  }

  /** Stops offering messages. Requests continue to wait, and acknowledgements are accepted. */
  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    this.#serve()
  }

  ack(partition: number, offset: Offset): AckOutcome {
    return this.#partitions.get(partition)?.ack(offset) ?? 'notRead'
  }

  /** The id of the topic that is read; `undefined`: the partition is not read, or brokers have not told it. */
  topicIdOf(partition: number): string | undefined {
    return this.#partitions.get(partition)?.topicId
  }

  ackAll(taken: TakenByPartition): void {
    for (const [partition, processed] of taken) this.#partitions.get(partition)?.ackAll(processed)
  }

  releaseAll(taken: TakenByPartition): void {
    for (const [partition, undelivered] of taken) this.#partitions.get(partition)?.release(undelivered)
    this.#serve()
  }

  isOpen({ partition, offset, serial }: AcquiredMessage): boolean {
    return this.#partitions.get(partition)?.offerOf(offset)?.serial === serial
  }

  stands(message: AcquiredMessage): boolean {
    return this.#partitions.get(message.partition)?.stands(message) === true
  }

  /** What is read of the partition now, for transactions. */
  read(partition: number): ReadPartition | undefined {
    return this.#partitions.get(partition)?.read
  }

  refuseWaiting(failure: Failure): void {
    const queue = this.#queue
    this.#queue = []
    for (const request of queue) {
      this.#options.deadlines.remove(request)
      request.answer(failure)
    }
  }

  /** The topic may not be read. Requests for a pattern go on waiting for other topics. */
  forbid(failure: Failure): void {
    const ofPattern = this.#queue.filter(({ isOfPattern }) => isOfPattern)
    this.#queue = this.#queue.filter(({ isOfPattern }) => !isOfPattern)
    this.refuseWaiting(failure)
    this.#queue = ofPattern
    this.releaseRequests()
  }

  stop(failure: Failure): void {
    this.assign([])
    this.refuseWaiting(failure)
  }

  #serve(): void {
    if (this.#isServing || this.#isPaused || !this.#options.start.isBegun) return
    this.#isServing = true
    for (let request = this.#first(); request; request = this.#first()) {
      // All idle partitions are notified, so that a partition with many messages does not keep others from fetching.
      this.#wakeIdle()
      const partition = this.#nextPrefetched()
      if (!partition) break
      this.#queue.shift()
      this.#options.deadlines.remove(request)
      request.answer({ type: 'messages', messages: this.#offer(partition, request.limits) })
    }
    this.#isServing = false
  }

  #wakeIdle(): void {
    for (const partition of this.#idle) {
      this.#idle.delete(partition)
      this.#partitions.get(partition)?.want()
    }
  }

  /** The open request that has waited longest. */
  #first(): WaitingRequest | undefined {
    while (this.#queue[0]?.settled) this.#queue.shift()
    return this.#queue[0]
  }

  #nextPrefetched(): PartitionConsumer | undefined {
    for (;;) {
      const next = this.#prefetched.after(this.#lastServed)
      if (next === undefined) return undefined
      const partition = this.#partitions.get(next)
      if (partition?.isPrefetched) return partition
      this.#prefetched.delete(next)
    }
  }

  /** Takes messages within the limits, one of each prefetched partition in turn. */
  #offer(first: PartitionConsumer, { maxMessages, maxBytes }: MessageLimits): ConsumedMessages {
    const { offers } = this.#options
    const messages: AcquiredMessage[] = []
    const taken = new Map<number, AcquiredMessage[]>()
    let bytes = 0
    let partition: PartitionConsumer | undefined = first
    while (partition && messages.length < maxMessages && (bytes < maxBytes || messages.length === 0)) {
      const message = this.#offered(partition, this.#take(partition))
      addTo(taken, partition.partition, message)
      bytes += sizeOfRecord(message)
      messages.push(message)
      partition = this.#nextPrefetched()
    }
    return new OfferedMessages(messages, offers, taken)
  }

  #take(partition: PartitionConsumer): KafkaRecord {
    const record = partition.take()
    this.#lastServed = partition.partition
    if (!partition.isPrefetched) this.#prefetched.delete(partition.partition)
    return record
  }

  #offered(partition: PartitionConsumer, record: KafkaRecord): AcquiredMessage {
    const { groupId, topic, metrics, membership } = this.#options
    const member = membership()
    const { serial = 0, firstSerial = 0, retries = 0 } = partition.offerOf(record.offset) ?? {}
    metrics.count('groups', 'offered_messages')
    if (retries > 0) metrics.count('groups', 'retried_messages')
    const { offset, timestampMs, key, value, headers } = record
    const { partition: number, topicId } = partition
    // The fields are named one by one, because spread syntax takes ten times as long.
    return {
      offset,
      timestampMs,
      key,
      value,
      headers,
      groupId,
      topic,
      topicId,
      partition: number,
      serial,
      firstSerial,
      member,
      retries
    }
  }
}
