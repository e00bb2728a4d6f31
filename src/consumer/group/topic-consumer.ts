import { memoryOfRecord } from '../../core/bytes.js'
import { groupBy } from '../../core/maps.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { KafkaRecord, Offset } from '../../core/model.js'
import type { Failure, GroupMembership } from '../../router/messages/operations.js'
import { ownFailure } from '../../router/requests/failures.js'
import type {
  AcquiredMessage,
  ConsumedMessages,
  MessageLimits,
  NewOffer,
  OfferOf,
  TakenByPartition,
  TopicOffers
} from './consume-result.js'
import { heldBytesOf } from './held-batches.js'
import { bytesOnTheWay, type LentLimits, MAX_LENT_BYTES, type TopicLending } from './lending.js'
import type { LoopDemand, LoopTopic, ParkingSink } from './loop-demand.js'
import type { ParkedHolder } from './offset-tracker.js'
import type { PartitionConsumer } from './partition-consumer.js'
import type { TopicStart } from './topic-start.js'
import { type Demand, TurnOrder } from './turn-order.js'
import type { WaitingRequest } from './waiting-request.js'

export interface TopicConsumerOptions {
  readonly topic: string
  readonly groupId: string
  readonly metrics: MetricsLogger
  readonly maxWaitingRequests: number
  readonly start: TopicStart
  readonly createPartition: (partition: number, demand: Demand) => PartitionConsumer
  readonly offers: TopicOffers
  /** Absent: other gateways lend and borrow no messages. */
  readonly lending?: TopicLending | undefined
  /** The member that offers messages now. */
  readonly membership: () => GroupMembership | undefined
}

/**
 * The answer to a request. It is a class, because a literal with a getter would take five times the memory: V8 makes a hidden
 * class for each literal and puts it among old objects at once, where it keeps the request until the whole heap is collected.
 * Functions as fields would keep most messages until then as well.
 */
class OfferedMessages implements ConsumedMessages {
  readonly messages: readonly AcquiredMessage[]
  readonly offers: TopicOffers

  constructor(messages: readonly AcquiredMessage[], offers: TopicOffers) {
    this.messages = messages
    this.offers = offers
  }

  ack(): void {
    this.offers.ackAll(byPartition(this.messages))
  }

  release(): void {
    this.offers.releaseAll(byPartition(this.messages))
  }

  get topicIds(): ReadonlyMap<number, string | undefined> {
    return new Map(this.messages.map(({ partition, topicId }) => [partition, topicId]))
  }
}

/** A single message, as most are, needs no Map. */
const byPartition = (messages: readonly AcquiredMessage[]): TakenByPartition =>
  messages.length === 1 ? [[messages[0]!.partition, messages]] : groupBy(messages, ({ partition }) => partition)

/** A taker of messages from the prefetched partitions. */
interface Taker {
  /** The prefetched partitions that it takes messages of. */
  readonly turns: TurnOrder
  readonly mayTake: (partition: PartitionConsumer) => boolean
  /** Parks messages at once. Absent: they count as offered. */
  readonly sink?: ParkingSink | undefined
}

/**
 * The requests of one group for one topic, in order of arrival, the loops that are registered with it, and the partitions of
 * this topic that the member reads. Only {@link TopicConsumer.#serve} answers requests with messages of these
 * partitions. Then it serves the loops, which take from several topics in turn. It is called when:
 *
 *   a request comes       addRequest ─▶ #serve, which tells idle partitions that a message is wanted ─▶ want
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
export class TopicConsumer implements LoopTopic {
  readonly #options: TopicConsumerOptions
  readonly #partitions = new Map<number, PartitionConsumer>()
  /** Partitions with a prefetched message. Some of them may have lost the message since. */
  readonly #prefetched = new TurnOrder()
  /** The requests. */
  readonly #own: Taker = { turns: this.#prefetched, mayTake: () => true }
  /** Idle partitions, which must be notified when a message is wanted. */
  readonly #idle = new Set<number>()
  /** Assigned partitions that are not read while their offsets are changed. */
  readonly #setAside = new Set<number>()
  /** Loop => the prefetched partitions that it has not refused. The loop that was served last comes last. */
  readonly #loops = new Map<LoopDemand, TurnOrder>()
  #requests: WaitingRequest[] = []
  #lastServed = -1
  #isPaused = true
  #isServing = false

  constructor(options: TopicConsumerOptions) {
    this.#options = options
  }

  get waiting(): number {
    let waiting = 0
    for (const { settled } of this.#requests) if (!settled) waiting++
    for (const { isAsking } of this.#loops.keys()) if (isAsking) waiting++
    return waiting
  }
  get loops(): Iterable<LoopDemand> {
    return this.#loops.keys()
  }
  /** True when requests wait and the member has no partition that could answer them. */
  get waitsInVain(): boolean {
    if (this.#partitions.size > 0 || this.waiting === 0) return false
    for (const { isAsking, isPatient } of this.#loops.keys()) if (isAsking && !isPatient) return true
    return this.#first() !== undefined
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
  get inTransactions(): number {
    let inTransactions = 0
    for (const partition of this.#partitions.values()) inTransactions += partition.inTransactions
    return inTransactions
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

  addRequest(request: WaitingRequest): void {
    const { maxWaitingRequests } = this.#options
    if (this.#requests.length > maxWaitingRequests) this.#requests = this.#requests.filter(({ settled }) => !settled)
    if (this.#requests.length > maxWaitingRequests) {
      const setting = 'advanced.consumer.maxWaitingRequests'
      const text = `too many requests wait (limit ${maxWaitingRequests + 1}; ${setting})`
      request.answer(ownFailure('overloaded', text, true, setting))
      return
    }
    if (!this.#options.start.isFixed) request.waitForStart(this)
    this.#requests.push(request)
    this.#serve()
    if (request.settled) return
    request.wait()
    this.#options.lending?.waits()
  }

  /** Requests that have no answer yet, oldest first. */
  get requests(): readonly WaitingRequest[] {
    return this.#requests.filter(({ settled }) => !settled)
  }

  /** Called by the loop when it begins. */
  addLoop(loop: LoopDemand): void {
    const turns = new TurnOrder()
    for (const [number, { isPrefetched }] of this.#partitions) if (isPrefetched) turns.add(number)
    this.#loops.set(loop, turns)
    loop.noteReady(this)
  }

  /** Called by the loop when it ends. */
  removeLoop(loop: LoopDemand): void {
    this.#loops.delete(loop)
  }

  /** The loop takes messages of the partition, of which it has refused one. */
  wants(number: number, loop: LoopDemand): void {
    const turns = this.#loops.get(loop)
    if (turns === undefined) return
    if (this.#partitions.get(number)?.isPrefetched === true) {
      turns.add(number)
      loop.noteReady(this)
    }
    loop.serve()
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

  get #isLoopAsking(): boolean {
    for (const { isAsking } of this.#loops.keys()) if (isAsking) return true
    return false
  }

  /** True while a request waits, or a loop. */
  get #isAsked(): boolean {
    return this.#first() !== undefined || this.#isLoopAsking
  }

  get #isWantedElsewhere(): boolean {
    return this.#mayServe && this.#options.lending?.isWanted === true
  }

  /** Bytes of the message that is lent next. `undefined`: none is at hand that may be lent, or a request waits, or a loop. */
  get bytesToLend(): number | undefined {
    if (!this.#mayServe || this.#isAsked) return undefined
    const next = this.#nextPrefetched(this.#lends(MAX_LENT_BYTES))
    return next === undefined ? undefined : bytesOnTheWay(next.prefetched!)
  }

  #lends(maxMessageBytes: number): Taker {
    const turns = new TurnOrder()
    for (const number of this.#prefetched.all) turns.add(number)
    return { turns, mayTake: ({ prefetched }) => bytesOnTheWay(prefetched!) <= maxMessageBytes }
  }

  #mayLend(number: number): boolean {
    const { prefetched } = this.#partitions.get(number) ?? {}
    return prefetched !== undefined && bytesOnTheWay(prefetched) <= MAX_LENT_BYTES
  }

  /**
   * Offers messages that may be lent.
   *
   * @returns `undefined`: there are none
   */
  lend(limits: LentLimits): ConsumedMessages | undefined {
    if (!this.#mayServe || this.#isAsked) return undefined
    const taker = this.#lends(limits.maxMessageBytes)
    const first = this.#nextPrefetched(taker)
    if (first === undefined) return undefined
    const messages = this.#offer(first, limits, taker)
    this.#serve()
    return messages
  }

  /** Answers requests and loops that wait, has more read where they want it, and tells other gateways what is at hand. */
  serve(): void {
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
      isOpen: () => this.#isAsked || this.#isWantedElsewhere,
      prefetched: () => {
        this.#prefetched.add(partition)
        for (const [loop, turns] of this.#loops) {
          turns.add(partition)
          loop.noteReady(this)
        }
        this.#serve()
      },
      idle: () => {
        this.#idle.add(partition)
        for (const loop of this.#loops.keys()) loop.noteIdle(this)
      },
      lost: (from, to, records) => {
        const { topic } = this.#options
        for (const { sink } of this.#loops.keys()) sink?.lost?.({ topic, partition }, from, to, records)
      }
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
    this.endWaitsForStart()
    this.#serve()
  }

  /** From now on, requests that reach their time limit are answered that there is no message. */
  endWaitsForStart(): void {
    for (const request of this.#requests) request.endWaitForStart(this)
  }

  /** Stops offering messages, and takes parked ones back. Requests continue to wait, and acknowledgements are accepted. */
  pause(): void {
    this.#isPaused = true
    for (const partition of this.#partitions.values()) partition.endParked()
  }

  resume(): void {
    this.#isPaused = false
    this.#serve()
  }

  /** `undefined`: the member does not read it, or not now. */
  partition(number: number): PartitionConsumer | undefined {
    return this.#partitions.get(number)
  }

  /** See {@link PartitionConsumer.begin}. */
  beginMessage(offer: OfferOf): boolean {
    const partition = this.#partitions.get(offer.partition)
    if (partition?.begin(offer) !== true) return false
    this.#countOffers(1, Number((partition.offerOf(offer.offset)?.retries ?? 0) > 0))
    return true
  }

  /** See {@link PartitionConsumer.parkAgain}. */
  parkAgain(offer: OfferOf, holder: ParkedHolder): NewOffer | undefined {
    const again = this.#mayServe ? this.partition(offer.partition)?.parkAgain(offer, holder) : undefined
    if (again === undefined) return undefined
    const { serial, firstSerial, retries } = again
    return { serial, firstSerial, retries, member: this.#options.membership() }
  }

  refuseWaiting(failure: Failure, mayRefuse: (loop: LoopDemand) => boolean = () => true): void {
    const requests = this.#requests
    this.#requests = []
    for (const request of requests) request.answer(failure)
    for (const loop of [...this.#loops.keys()]) if (mayRefuse(loop)) loop.answer(failure)
  }

  /** The topic may not be read. Requests for a pattern go on waiting for other topics. */
  forbid(failure: Failure): void {
    const ofPattern = this.#requests.filter(({ isOfPattern }) => isOfPattern)
    this.#requests = this.#requests.filter(({ isOfPattern }) => !isOfPattern)
    this.refuseWaiting(failure, loop => !loop.isOfPattern)
    this.#requests = ofPattern
    this.endWaitsForStart()
  }

  stop(failure: Failure): void {
    this.assign([])
    this.refuseWaiting(failure)
  }

  get #mayServe(): boolean {
    return !this.#isPaused && this.#options.start.isBegun
  }

  #serve(): void {
    if (this.#isServing || !this.#mayServe) return
    this.#isServing = true
    for (let request = this.#firstFree(); request; request = this.#firstFree()) {
      // All idle partitions are notified, so that a partition with many messages does not keep others from fetching.
      this.#wakeIdle()
      const partition = this.#nextPrefetched(this.#own)
      if (!partition) break
      if (this.#requests[0] === request) this.#requests.shift()
      else this.#requests.splice(this.#requests.indexOf(request), 1)
      request.answer({ type: 'messages', messages: this.#offer(partition, request.limits, this.#own) })
    }
    if (this.#isWantedElsewhere) this.#wakeIdle()
    this.#isServing = false
    if (this.#loops.size > 0) this.#serveLoops()
    if (this.#isWantedElsewhere && !this.#isAsked && this.#prefetched.all.some(one => this.#mayLend(one)))
      this.#options.lending!.atHand()
  }

  #serveLoops(): void {
    for (const loop of [...this.#loops.keys()]) {
      if (this.#idle.size > 0) loop.noteIdle(this)
      loop.noteReady(this)
      loop.serve()
    }
  }

  /** Answers the request of a loop. Returns false when there is no message for it. */
  answer(loop: LoopDemand): boolean {
    const turns = this.#loops.get(loop)
    if (turns === undefined || !this.#mayServe) return false
    const taker = { turns, mayTake: (one: PartitionConsumer) => this.#mayPark(one, loop), sink: loop.sink }
    const partition = this.#nextPrefetched(taker)
    if (partition === undefined) return false
    // Moves the loop behind the others, because it was served last.
    if (this.#loops.size > 1 && this.#loops.delete(loop)) this.#loops.set(loop, turns)
    const messages = this.#offer(partition, loop.limits, taker)
    loop.noteReady(this)
    loop.answer({ type: 'messages', messages })
    // The partition may be idle now, and others may wait for it.
    if (this.#loops.size > 1 || this.#requests.length > 0) this.#serve()
    return true
  }

  /** Tells idle partitions that a message is wanted. */
  wakeIdle(): void {
    if (this.#mayServe) this.#wakeIdle()
  }

  #wakeIdle(): void {
    for (const partition of this.#idle) {
      this.#idle.delete(partition)
      this.#partitions.get(partition)?.want()
    }
  }

  /** The open request that has waited longest. */
  #first(): WaitingRequest | undefined {
    while (this.#requests[0]?.settled) this.#requests.shift()
    return this.#requests[0]
  }

  /** The open request that has waited longest, and to which no message is on its way from another gateway. */
  #firstFree(): WaitingRequest | undefined {
    const first = this.#first()
    return first?.waitsForLentOnly
      ? this.#requests.find(({ settled, waitsForLentOnly }) => !settled && !waitsForLentOnly)
      : first
  }

  #nextPrefetched({ turns, mayTake }: Taker): PartitionConsumer | undefined {
    for (;;) {
      const next = turns.after(this.#lastServed)
      if (next === undefined) return undefined
      const partition = this.#partitions.get(next)
      if (partition?.isPrefetched && mayTake(partition)) return partition
      turns.delete(next)
    }
  }

  #mayPark({ topicPartition, prefetched }: PartitionConsumer, { sink }: LoopDemand): boolean {
    return sink === undefined || sink.mayPark(topicPartition, heldBytesOf(prefetched!))
  }

  /** Takes messages within the limits, one of each prefetched partition in turn. A loop may park them at once. */
  #offer(first: PartitionConsumer, { maxMessages, maxBytes }: MessageLimits, taker: Taker): ConsumedMessages {
    const { sink } = taker
    const { offers } = this.#options
    const member = this.#options.membership()
    const { now } = first
    const messages: AcquiredMessage[] = []
    let bytes = 0
    let retried = 0
    let partition: PartitionConsumer | undefined = first
    while (partition && messages.length < maxMessages && (bytes < maxBytes || messages.length === 0)) {
      const message = this.#offered(partition, this.#take(partition, sink, now), member)
      if (message.retries > 0) retried++
      bytes += memoryOfRecord(message)
      messages.push(message)
      sink?.park(message, offers)
      partition = this.#nextPrefetched(taker)
    }
    // A parked message counts when it is begun.
    if (sink === undefined) this.#countOffers(messages.length, retried)
    return new OfferedMessages(messages, offers)
  }

  #take(partition: PartitionConsumer, holder: ParkedHolder | undefined, now: number): KafkaRecord {
    const record = partition.take(holder, now)
    this.#lastServed = partition.partition
    if (!partition.isPrefetched) this.#prefetched.delete(partition.partition)
    return record
  }

  #countOffers(offers: number, retried: number): void {
    const { metrics } = this.#options
    metrics.count('groups', 'offered_messages', undefined, offers)
    if (retried > 0) metrics.count('groups', 'retried_messages', undefined, retried)
  }

  #offered(partition: PartitionConsumer, record: KafkaRecord, member: GroupMembership | undefined): AcquiredMessage {
    const { groupId, topic } = this.#options
    const { serial = 0, firstSerial = 0, retries = 0 } = partition.offerOf(record.offset) ?? {}
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
