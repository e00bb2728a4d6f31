import { ownRecordOf } from '../../core/bytes.js'
import { incarnationOfTopic, type KafkaRecord, type Offset, type TopicPartition } from '../../core/model.js'
import type { Failure } from '../../router/messages/operations.js'
import { PartitionLog } from '../partition/partition-log.js'
import { withMark } from './ack-encoding.js'
import type { ReadAgain } from './consume-result.js'
import { GroupLogReader } from './group-log-reader.js'
import { type GroupRuntime, stoppable, type Timer } from './group-runtime.js'
import type { HeldBatches } from './held-batches.js'
import type { PositionSource } from './offset-committer.js'
import {
  type Offer,
  type OfferId,
  OffsetTracker,
  type OffsetTrackerOptions,
  type ParkedHolder,
  type TrackedPosition
} from './offset-tracker.js'
import { PositionFinder } from './position-finder.js'
import type { FindStart } from './topic-start.js'
import { type PartitionCommits, ReadPartition } from './transaction-messages.js'
import type { Demand } from './turn-order.js'

/**
 * Number of retry pauses before another attempt to read a message that could not be read again. Other due messages come
 * first.
 */
const RETRY_PAUSES = 10

export interface PartitionConsumerOptions {
  readonly topicPartition: TopicPartition
  readonly runtime: GroupRuntime
  readonly batches: HeldBatches
  /** Finds the start if there is no committed offset. */
  readonly start: FindStart
  readonly tracker: OffsetTrackerOptions
  readonly maxPendingMessages: number
  readonly retryBackoffMs: number
  readonly submit: (source: PositionSource) => void
  readonly commits: PartitionCommits
  readonly demand: Demand
  /** Called when Kafka's ACLs do not allow the group to read. The read is repeated while messages are wanted. */
  readonly onRefused: (failure: Failure) => void
  /** Called when a message no longer waits for an acknowledgement, or when the start is fixed. */
  readonly onSettled: () => void
}

/** A record that was offered, with the serial number of the offer. */
export type TakenRecord = KafkaRecord & OfferId

/**
 * Reads one partition for a member of a group: finds where to begin, fetches, offers one message after another, and
 * tracks acknowledgements.
 *
 *   fetched batch ─▶ prefetched message ─take()▶ offered ─ack()▶ acknowledged ─▶ submitted for commit
 *                          ▲                    │ no acknowledgement in time
 *                          └────────────────────┘
 *
 * The next message is prefetched when a message is wanted and the last message was taken. Without demand the partition
 * is idle. Messages that were not acknowledged in time come before new messages. They are fetched again, so a message
 * that waits for its acknowledgement only costs the memory of its offset.
 */
export class PartitionConsumer {
  readonly #options: PartitionConsumerOptions
  readonly #runtime: ReturnType<typeof stoppable>
  #tracker: OffsetTracker | undefined
  #source: PositionSource | undefined
  #read: ReadPartition | undefined
  readonly #log: PartitionLog
  readonly #reader: GroupLogReader
  #prefetched: KafkaRecord | undefined
  /** The prefetched message has bytes of its own: it was released, or read again. */
  #isCopy = false
  /** Messages that were released or not acknowledged in time. They are offered before all others. */
  #released: KafkaRecord[] = []
  #isWanted = false
  #timer: Timer | undefined
  #isStopped = false
  #isStartFixed = false

  constructor(options: PartitionConsumerOptions) {
    this.#options = options
    const runtime = (this.#runtime = stoppable(options.runtime))
    const log = (this.#log = new PartitionLog(runtime.ask, options.topicPartition))
    const finder = new PositionFinder({ ...options, log, runtime, onEarliest: () => this.#startIsFixed() })
    this.#reader = new GroupLogReader({
      ...options,
      runtime,
      log,
      isWanted: () => !this.#isStopped && options.demand.isOpen(),
      releasePrefetched: () => this.#releasePrefetched(),
      onReady: () => this.#prefetch(),
      onSkipped: () => this.#submit(),
      onLost: (from, to, records) => options.demand.lost(from, to, records),
      onStartOver: position => this.#beginAnew(position),
      onCut: offset => this.#cutAt(offset)
    })
    finder.findStart((position, isNew) => {
      if (isNew) this.#beginAnew(position)
      else {
        this.#begin(position)
        this.#startIsFixed()
      }
    })
  }

  /**
   * True when the start of the group is final, even if this process dies: an offset is committed, its commit was
   * refused, or the group begins at the earliest record.
   */
  get isStartFixed(): boolean {
    return this.#isStartFixed
  }

  /** The id of the topic that is read; `undefined`: reading has not begun, or brokers have not told it. */
  get topicId(): string | undefined {
    return this.#source?.topicId
  }
  get topicPartition(): TopicPartition {
    return this.#options.topicPartition
  }
  get partition(): number {
    return this.#options.topicPartition.partition
  }
  /** Milliseconds of the clock of its group. */
  get now(): number {
    return this.#options.runtime.clock()
  }
  get isPrefetched(): boolean {
    return this.#prefetched !== undefined
  }
  /** The message that is given next. */
  get prefetched(): KafkaRecord | undefined {
    return this.#prefetched
  }
  /**
   * The position of the group in the topic with this id: all records before it are acknowledged, or are older than the
   * group. `undefined`: unknown.
   */
  positionIn(topicId: string | undefined): Offset | undefined {
    return incarnationOfTopic(this.#log.topicId, topicId) === 'same' ? this.#tracker?.offset : undefined
  }
  get pending(): number {
    return this.#tracker?.pending ?? 0
  }
  /** Number of messages that belong to transactions. */
  get inTransactions(): number {
    return this.#tracker?.inTransactions ?? 0
  }
  /** How far the partition is read now, for transactions; `undefined`: reading has not begun. */
  get read(): ReadPartition | undefined {
    return this.#read
  }
  /** Time until the last deadline of an open acknowledgement. */
  waitMs(): number {
    return this.#tracker?.waitMs(this.#options.runtime.clock()) ?? 0
  }

  /** Called when a request waits for a message. */
  want(): void {
    if (this.#isStopped || this.#prefetched) return
    this.#isWanted = true
    this.#prefetch()
  }

  /**
   * Takes the prefetched message, which counts as offered.
   *
   * @param holder parks the message: it counts as offered from {@link begin} on
   * @param now that of its group's clock, which is not asked for each message
   */
  take(holder?: ParkedHolder, now = this.now): KafkaRecord {
    const record = this.#prefetched!
    const tracker = this.#tracker!
    if (holder === undefined) tracker.offered(record.offset, now)
    else tracker.park(record.offset, holder)
    this.#prefetched = this.#nextInHand(tracker, now)
    if (!this.#prefetched) this.#options.demand.idle()
    return record
  }

  /**
   * The client of a parked message begins it, so its time begins.
   *
   * @returns false: it is not parked any more
   */
  begin({ offset, serial }: OfferId): boolean {
    const tracker = this.#tracker
    if (tracker?.begin(offset, serial, this.#options.runtime.clock()) !== true) return false
    if (this.#isWanted) this.#wakeForRetry(tracker)
    return true
  }

  /** Takes all parked messages back. They are read again, and come next, in order. */
  endParked(): void {
    const first = this.#tracker?.endParked()
    if (first === undefined) return
    this.#goBackTo(first)
    this.#prefetch()
  }

  /** Reads the record of a message for the client that has it parked. See {@link TopicOffers.readAgain}. */
  readAgain(offset: Offset, onRead: (found: ReadAgain) => void): void {
    if (this.#tracker === undefined) return
    this.#reader.readOne(this.#tracker, offset, (found, { type }) => {
      // The log has lost its end: the read at the position finds out, and begins there.
      onRead(type === 'beyond' ? 'notNow' : found)
    })
  }

  /** The newest offer of the message; `undefined`: it is not offered, or settled. */
  offerOf(offset: Offset): Offer | undefined {
    return this.#tracker?.offerOf(offset)
  }

  ack(offset: Offset): 'acked' | 'notOffered' {
    const tracker = this.#tracker
    if (!tracker || tracker.isInTransaction(offset) || tracker.isParked(offset)) return 'notOffered'
    if (!(tracker.isAcquired(offset) || tracker.isAcked(offset))) return 'notOffered'
    if (tracker.acked(offset)) this.#settled()
    return 'acked'
  }

  /**
   * Acknowledges several messages, also released ones that were not offered again. Those that were offered again since, are
   * already acknowledged, or were offered before the partition was lost or its log was cut, are ignored.
   */
  ackAll(records: readonly OfferId[]): void {
    if (this.#tracker?.ackedAll(records) === true) this.#settled()
  }

  /**
   * Takes back messages that a client did not get, or did not process. They are offered next, in order. Parked ones are read
   * again. An offer that ended before is ignored: the message may be offered to another client.
   */
  release(records: readonly TakenRecord[]): void {
    const tracker = this.#tracker
    if (this.#isStopped || !tracker) return
    const parked = new Set(records.filter(({ offset }) => tracker.isParked(offset)))
    const all = records.filter(({ offset, serial }) => tracker.released(offset, serial))
    const again = all.filter(record => parked.has(record)).map(({ offset }) => offset)
    if (again.length > 0) this.#goBackTo(Math.min(...again))
    // Records behind the position are read again, together with those that were parked.
    const given = all.filter(record => !parked.has(record) && record.offset < this.#reader.position)
    if (given.length > 0) this.#keepReleased(given)
    if (all.length === 0) return
    this.#options.onSettled()
    if (this.#prefetched !== undefined) this.#options.demand.prefetched()
    else this.#prefetch()
  }

  /** The same for messages that are not in memory any more: they are read again. */
  releaseUnread(offers: readonly OfferId[]): void {
    const tracker = this.#tracker
    if (this.#isStopped || !tracker) return
    const again = offers.filter(({ offset, serial }) => tracker.released(offset, serial))
    if (again.length === 0) return
    this.#goBackTo(Math.min(...again.map(({ offset }) => offset)))
    this.#options.onSettled()
    if (this.#prefetched !== undefined) this.#options.demand.prefetched()
    else this.#prefetch()
  }

  /**
   * Takes a message back from the client of an offer, which has it parked from now on.
   *
   * @returns the new offer; `undefined`, and nothing is changed: the message was offered again since, or is settled
   */
  parkAgain({ offset, serial }: OfferId, holder: ParkedHolder): Offer | undefined {
    const tracker = this.#tracker
    if (this.#isStopped || tracker?.released(offset, serial) !== true) return undefined
    tracker.park(offset, holder)
    this.#goOn()
    return tracker.offerOf(offset)
  }

  #keepReleased(released: readonly TakenRecord[]): void {
    const next = this.#prefetched ? [this.#prefetched, ...released] : released
    // A message whose time is over may be in hand already.
    const inHand = new Map([...this.#released, ...next.map(ownRecordOf)].map(record => [record.offset, record]))
    // One that was read again may have been acknowledged meanwhile.
    const left = [...inHand.values()].filter(({ offset }) => this.#mayComeNext(offset))
    this.#released = left.sort((one, other) => one.offset - other.offset)
    this.#prefetched = this.#released.shift()
    this.#isCopy = true
  }

  /** Reads again from this offset on. What is in hand, behind it and with no client comes again from the log, in order. */
  #goBackTo(offset: Offset): void {
    const tracker = this.#tracker!
    const comesAgain = (record: KafkaRecord): boolean => record.offset > offset && !tracker.isAcquired(record.offset)
    this.#reader.goBackTo(offset)
    this.#released = this.#released.filter(record => !comesAgain(record))
    if (this.#prefetched === undefined || !comesAgain(this.#prefetched)) return
    this.#prefetched = undefined
    this.#options.demand.idle()
  }

  /**
   * Gives up the prefetched message, which is read again later. A message with bytes of its own is kept: it keeps no
   * batch in memory, and later messages would come before it.
   */
  #releasePrefetched(): Offset | undefined {
    const { offset } = this.#prefetched ?? {}
    if (offset === undefined || this.#isCopy) return undefined
    this.#prefetched = undefined
    this.#options.demand.idle()
    return offset
  }

  stop(): void {
    this.#isStopped = true
    this.#runtime.stop()
    this.#reader.stop()
    this.#prefetched = undefined
    this.#tracker?.endParked()
    this.#read?.lose()
  }

  /** Begins at a position that is not committed yet. */
  #beginAnew(position: TrackedPosition): void {
    this.#begin(position)
    this.#submit()
  }

  #begin(position: TrackedPosition): void {
    const tracker = new OffsetTracker(position, this.#options.tracker)
    this.#tracker?.endParked()
    this.#tracker = tracker
    this.#source = this.#sourceOf(tracker)
    this.#read?.lose()
    this.#read = this.#readOf(tracker)
    this.#prefetched = undefined
    this.#released = []
    this.#reader.begin(tracker)
    if (this.#isWanted) this.#prefetch()
    else this.#options.demand.idle()
  }

  /** Drops messages and acknowledgements from this offset on, because the log was cut there. */
  #cutAt(offset: Offset): void {
    this.#tracker!.cutAt(offset)
    this.#released = this.#released.filter(record => record.offset < offset)
    if ((this.#prefetched?.offset ?? -1) >= offset) {
      this.#prefetched = undefined
      this.#options.demand.idle()
    }
    this.#submit()
    this.#options.onSettled()
  }

  #becomeIdle(): void {
    this.#isWanted = false
    this.#options.demand.idle()
  }

  /** Prefetches the next message if a message is wanted. If there is none in memory, fetches records. */
  #prefetch(): void {
    const tracker = this.#tracker
    if (!tracker || !this.#isWanted || this.#prefetched || this.#isStopped) return
    if (!this.#options.demand.isOpen()) {
      this.#becomeIdle()
      return
    }
    const record = this.#nextInHand(tracker, this.#options.runtime.clock())
    if (record) this.#setPrefetched(record)
    else if (!this.#reader.isFetchingAgain) {
      const retry = this.#nextRetry(tracker)
      if (retry !== undefined) this.#fetchAgain(tracker, retry)
      else {
        this.#wakeForRetry(tracker)
        if (!this.#isFull(tracker) && !this.#reader.isBusy) this.#reader.fetch(tracker)
      }
    }
  }

  #setPrefetched(record: KafkaRecord): void {
    this.#prefetched = record
    this.#isWanted = false
    this.#timer?.cancel()
    this.#timer = undefined
    this.#options.demand.prefetched()
  }

  /**
   * The next message in memory. `undefined`: there is none, too many are open, or another message has to be offered
   * again first.
   */
  #nextInHand(tracker: OffsetTracker, now: number): KafkaRecord | undefined {
    for (let record = this.#released.shift(); record; record = this.#released.shift()) {
      if (!this.#mayComeNext(record.offset)) continue
      this.#isCopy = true
      return record
    }
    this.#isCopy = false
    return tracker.isRetryDue(now) || this.#isFull(tracker) ? undefined : this.#reader.next(tracker)
  }

  #mayComeNext(offset: Offset): boolean {
    const tracker = this.#tracker!
    return !(tracker.isAcked(offset) || tracker.isInTransaction(offset) || tracker.isParked(offset))
  }

  #isFull(tracker: OffsetTracker): boolean {
    // A transaction may hold as many messages as it likes.
    return tracker.pending - tracker.inTransactions > this.#options.maxPendingMessages
  }

  #nextRetry(tracker: OffsetTracker): Offer | undefined {
    const { runtime, onSettled } = this.#options
    let givenUp = 0
    const retry = tracker.nextRetry(runtime.clock(), offset => {
      givenUp++
      runtime.log.warn(
        { partition: this.#log.name, offset },
        'a message was offered as often as allowed without an acknowledgement; it counts as acknowledged'
      )
    })
    if (givenUp > 0) {
      runtime.metrics.count('groups', 'given_up_messages', {}, givenUp)
      this.#submit()
      onSettled()
    }
    return retry
  }

  #fetchAgain(tracker: OffsetTracker, { offset, serial }: Offer): void {
    const { runtime, retryBackoffMs, tracker: settings } = this.#options
    const pauseMs = Math.min(settings.ackTimeoutMs, RETRY_PAUSES * retryBackoffMs)
    this.#reader.fetchAgain(
      tracker,
      offset,
      record => {
        // Since it was asked for, the message was settled or released, or reading has started again with a new tracker.
        if (tracker === this.#tracker && tracker.offerOf(offset)?.serial === serial) this.#fetchedAgain(offset, record)
      },
      () => tracker.notAcquiredAgain(offset, serial, runtime.clock() + pauseMs)
    )
  }

  /**
   * Offers a message again that was not acknowledged in time. If it is no longer in the log, it counts as acknowledged.
   */
  #fetchedAgain(offset: Offset, record: KafkaRecord | undefined): void {
    if (record) this.#released.push(record)
    else this.ack(offset)
  }

  #wakeForRetry(tracker: OffsetTracker): void {
    const deadlineAt = tracker.nextDeadlineAt
    if (deadlineAt === undefined || this.#timer) return
    const runtime = this.#runtime
    this.#timer = runtime.after(Math.max(0, deadlineAt - runtime.clock()) + 1, () => {
      this.#timer = undefined
      this.#prefetch()
    })
  }

  #settled(): void {
    this.#submit()
    this.#goOn()
  }

  /** Goes on after acknowledgements. */
  #goOn(): void {
    this.#options.onSettled()
    this.#passSettled()
    this.#prefetch()
  }

  /** A message may be acknowledged, given to a transaction, or parked, while it waits to be offered again. */
  #passSettled(): void {
    const tracker = this.#tracker!
    const { offset } = this.#prefetched ?? {}
    if (offset === undefined || this.#mayComeNext(offset)) return
    this.#prefetched = this.#nextInHand(tracker, this.#options.runtime.clock())
    if (!this.#prefetched) this.#options.demand.idle()
  }

  #submit(): void {
    this.#options.submit(this.#source!)
    this.#read?.changed()
  }

  /** The position source of a tracker. Each incarnation of the topic has a tracker of its own. */
  #sourceOf(tracker: OffsetTracker): PositionSource {
    const { topicId } = this.#log
    return {
      topicId,
      get position() {
        return withMark(tracker.position, topicId)
      },
      get shortPosition() {
        return tracker.shortPosition
      },
      answered: () => this.#startIsFixed()
    }
  }

  #readOf(tracker: OffsetTracker): ReadPartition {
    const { topicPartition, runtime, commits } = this.#options
    return new ReadPartition({
      group: runtime.groupId,
      topicPartition,
      topicId: this.#log.topicId,
      tracker,
      clock: runtime.clock,
      commits,
      onHeld: () => {
        this.#passSettled()
        if (this.#isWanted) commits.tick(() => this.#prefetch())
      },
      settle: (messages, committed, parkAgain) => {
        tracker.takeFromTransaction(messages, committed)
        parkAgain?.()
        if (committed === undefined) this.release(messages)
        this.#goOn()
        this.#read?.changed()
      }
    })
  }

  #startIsFixed(): void {
    if (this.#isStartFixed) return
    this.#isStartFixed = true
    this.#options.onSettled()
  }
}
