import {
  incarnationOfTopic,
  type KafkaRecord,
  type Offset,
  type TopicPartition,
  topicPartitionKey
} from '../../core/model.js'
import type { Failure } from '../../router/messages/operations.js'
import { copyOf } from './copy-record.js'
import type { Demand } from './demand.js'
import { GroupLogReader } from './group-log-reader.js'
import type { GroupRuntime, Timer } from './group-runtime.js'
import type { HeldBatches } from './held-batches.js'
import { withMark } from './incarnation-mark.js'
import type { PositionSource } from './offset-committer.js'
import { OffsetTracker, type OffsetTrackerOptions, type TrackedPosition } from './offset-tracker.js'
import { PositionFinder } from './position-finder.js'
import type { FindStart } from './topic-start.js'

/** Pauses until a message is tried again that could not be read once more: others that are due go first. */
const RETRY_PAUSES = 10

export interface PartitionConsumerOptions {
  readonly topicPartition: TopicPartition
  readonly runtime: GroupRuntime
  readonly batches: HeldBatches
  /** Where to begin without a committed offset. */
  readonly start: FindStart
  readonly tracker: OffsetTrackerOptions
  readonly maxPendingMessages: number
  readonly retryBackoffMs: number
  /** Called with what has a new position to commit. */
  readonly submit: (source: PositionSource) => void
  readonly demand: Demand
  /** The group may not read; it is tried again while messages are wanted. */
  readonly onRefused: (failure: Failure) => void
  /** The number of messages that wait for an acknowledgement may be smaller than before, or the start is fixed now. */
  readonly onSettled: () => void
}

export type AckOutcome = 'acked' | 'notOffered' | 'notRead'

/**
 * One partition as a member of a group reads it: finds where to begin, fetches, offers one message after another, and keeps
 * track of what is acknowledged.
 *
 *   fetched batch ─▶ staged message ─take()▶ offered ─ack()▶ acknowledged ─▶ submitted for commit
 *                          ▲                    │ no acknowledgement in time
 *                          └────────────────────┘
 *
 * The next message is staged when one is wanted and the one before was taken. Without demand the partition rests. Messages whose time is over come before new
 * ones; they are fetched again, so that a message that waits for its acknowledgement costs an offset, and no bytes.
 */
export class PartitionConsumer {
  readonly #options: PartitionConsumerOptions
  readonly #name: string
  #tracker: OffsetTracker | undefined
  /** The position of the tracker, for commits. */
  #source: PositionSource | undefined
  readonly #finder: PositionFinder
  readonly #reader: GroupLogReader
  #prefetched: KafkaRecord | undefined
  /** Messages to be offered before all others: clients did not get them, or did not acknowledge them in time. */
  #givenBack: KafkaRecord[] = []
  #isWanted = false
  #timer: Timer | undefined
  #isStopped = false
  #isStartFixed = false
  /** Timers of the finder and the reader. */
  readonly #pauses = new Set<Timer>()

  constructor(options: PartitionConsumerOptions) {
    this.#options = options
    const { topic, partition } = options.topicPartition
    this.#name = topicPartitionKey(topic, partition)
    const runtime = { ...options.runtime, ask: this.#ask, after: this.#after }
    const finder = new PositionFinder({ ...options, runtime, onEarliest: () => this.#startIsFixed() })
    this.#finder = finder
    const beginAnew = (position: TrackedPosition): void => {
      this.#begin(position)
      this.#submit()
    }
    this.#reader = new GroupLogReader({
      ...options,
      runtime,
      finder,
      isWanted: () => !this.#isStopped && options.demand.isOpen(),
      unstage: () => this.#unstage(),
      onReady: () => this.#stage(),
      onSkipped: () => this.#submit(),
      onStartOver: beginAnew,
      onCut: offset => this.#cutAt(offset)
    })
    finder.findStart((position, isNew) => {
      if (isNew) beginAnew(position)
      else {
        this.#begin(position)
        this.#startIsFixed()
      }
    })
  }

  /**
   * Where the group begins does not change any more, whatever becomes of this process: an offset is committed, its commit was
   * refused, or the group begins at the earliest record.
   */
  get isStartFixed(): boolean {
    return this.#isStartFixed
  }

  get partition(): number {
    return this.#options.topicPartition.partition
  }
  get isPrefetched(): boolean {
    return this.#prefetched !== undefined
  }
  /** Everything before is acknowledged, or was there before the group; `undefined`: not known in the topic with this id. */
  positionIn(topicId: string | undefined): Offset | undefined {
    return incarnationOfTopic(this.#finder.topicId, topicId) === 'same' ? this.#tracker?.offset : undefined
  }
  /** Messages that are offered and not acknowledged. */
  get pending(): number {
    return this.#tracker?.pending ?? 0
  }
  /** How long acknowledgements may still come, at most. */
  waitMs(): number {
    return this.#tracker?.waitMs(this.#options.runtime.clock()) ?? 0
  }

  /** A request waits for a message. */
  want(): void {
    if (this.#isStopped || this.#prefetched) return
    this.#isWanted = true
    this.#stage()
  }

  /** Takes the staged message, which counts as offered. */
  take(): KafkaRecord {
    const record = this.#prefetched!
    const tracker = this.#tracker!
    const now = this.#options.runtime.clock()
    if (tracker.isAcquired(record.offset)) tracker.acquiredAgain(record.offset, now)
    else tracker.offered(record.offset, now)
    this.#prefetched = this.#nextInHand(tracker, now)
    if (!this.#prefetched) this.#options.demand.rests()
    return record
  }

  /** How often the message was offered before. */
  retriesOf(offset: Offset): number {
    return this.#tracker?.retriesOf(offset) ?? 0
  }

  ack(offset: Offset): AckOutcome {
    const tracker = this.#tracker
    if (!tracker || !(tracker.isAcquired(offset) || tracker.isAcked(offset))) return 'notOffered'
    if (tracker.acked(offset)) this.#settled()
    return 'acked'
  }

  /** The same of several. Those that were not offered, or are acknowledged already, change nothing. */
  ackAll(offsets: readonly Offset[]): void {
    const tracker = this.#tracker
    if (!tracker) return
    let isNew = false
    for (const offset of offsets) if (tracker.isAcquired(offset) && tracker.acked(offset)) isNew = true
    if (isNew) this.#settled()
  }

  /** A client did not get messages that were taken for it. They are the next ones to be offered. */
  release(records: readonly KafkaRecord[]): void {
    const tracker = this.#tracker
    const offered = this.#isStopped || !tracker ? [] : records.filter(({ offset }) => tracker.isAcquired(offset))
    if (offered.length === 0) return
    for (const { offset } of offered) tracker!.givenBack(offset)
    const next = this.#prefetched ? [...offered, this.#prefetched] : offered
    this.#givenBack = [...next.map(copyOf), ...this.#givenBack]
    this.#prefetched = this.#givenBack.shift()
    this.#options.onSettled()
    this.#options.demand.prefetched()
  }

  /** Gives the staged message up, which is read again. */
  #unstage(): Offset | undefined {
    const { offset } = this.#prefetched ?? {}
    if (offset === undefined || this.#tracker!.isAcquired(offset)) return undefined
    this.#prefetched = undefined
    this.#options.demand.rests()
    return offset
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
    for (const pause of this.#pauses) pause.cancel()
    this.#reader.stop()
    this.#prefetched = undefined
  }

  #begin(position: TrackedPosition): void {
    const tracker = new OffsetTracker(position, this.#options.tracker)
    this.#tracker = tracker
    this.#source = this.#sourceOf(tracker)
    this.#prefetched = undefined
    this.#givenBack = []
    this.#reader.begin(tracker)
    if (this.#isWanted) this.#stage()
    else this.#options.demand.rests()
  }

  /** The log was cut: messages from this offset on do not exist any more, and their acknowledgements mean nothing. */
  #cutAt(offset: Offset): void {
    this.#tracker!.cutAt(offset)
    this.#givenBack = this.#givenBack.filter(record => record.offset < offset)
    if ((this.#prefetched?.offset ?? -1) >= offset) {
      this.#prefetched = undefined
      this.#options.demand.rests()
    }
    this.#submit()
    this.#options.onSettled()
  }

  #rest(): void {
    this.#isWanted = false
    this.#options.demand.rests()
  }

  /** Stages the next message, if one is wanted and there is one; otherwise asks for it. */
  #stage(): void {
    const tracker = this.#tracker
    if (!tracker || !this.#isWanted || this.#prefetched || this.#isStopped) return
    if (!this.#options.demand.isOpen()) {
      this.#rest()
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

  /** The next message, where Kafka need not be asked for it and none has to be offered again first. */
  #nextInHand(tracker: OffsetTracker, now: number): KafkaRecord | undefined {
    for (let record = this.#givenBack.shift(); record; record = this.#givenBack.shift()) {
      if (!tracker.isAcked(record.offset)) return record
    }
    return tracker.isRetryDue(now) || this.#isFull(tracker) ? undefined : this.#reader.next(tracker)
  }

  #isFull(tracker: OffsetTracker): boolean {
    return tracker.pending > this.#options.maxPendingMessages
  }

  #nextRetry(tracker: OffsetTracker): Offset | undefined {
    const { runtime, onSettled } = this.#options
    let givenUp = 0
    const retry = tracker.nextRetry(runtime.clock(), offset => {
      givenUp++
      runtime.log.warn({ partition: this.#name, offset }, 'a message was given up without an ack')
    })
    if (givenUp > 0) {
      runtime.metrics.count('groups', 'given_up_messages', {}, givenUp)
      this.#submit()
      onSettled()
    }
    return retry
  }

  #fetchAgain(tracker: OffsetTracker, offset: Offset): void {
    const { runtime, retryBackoffMs, tracker: settings } = this.#options
    const pauseMs = Math.min(settings.ackTimeoutMs, RETRY_PAUSES * retryBackoffMs)
    this.#reader.fetchAgain(
      tracker,
      offset,
      record => this.#fetchedAgain(tracker, offset, record),
      () => tracker.notAcquiredAgain(offset, runtime.clock() + pauseMs)
    )
  }

  /** A message that was offered and is not acknowledged in time. One that is not in the log any more counts as acknowledged. */
  #fetchedAgain(tracker: OffsetTracker, offset: Offset, record: KafkaRecord | undefined): void {
    // Everything has begun anew meanwhile.
    if (tracker !== this.#tracker) return
    if (record) this.#givenBack.push(record)
    else this.ack(offset)
  }

  #wakeForRetry(tracker: OffsetTracker): void {
    const deadlineAt = tracker.nextDeadlineAt
    if (deadlineAt === undefined || this.#timer) return
    const { runtime } = this.#options
    this.#timer = runtime.after(Math.max(0, deadlineAt - runtime.clock()) + 1, () => {
      this.#timer = undefined
      this.#stage()
    })
  }

  #settled(): void {
    this.#submit()
    this.#options.onSettled()
    this.#stage()
  }

  #submit(): void {
    this.#options.submit(this.#source!)
  }

  /** A position that was found in another incarnation of the topic has another tracker. */
  #sourceOf(tracker: OffsetTracker): PositionSource {
    const { topicId } = this.#finder
    return {
      topicId,
      get position() {
        return withMark(tracker.position, topicId)
      },
      answered: () => this.#startIsFixed()
    }
  }

  #startIsFixed(): void {
    if (this.#isStartFixed) return
    this.#isStartFixed = true
    this.#options.onSettled()
  }

  /** Asks the Router; an answer that comes after the end is dropped. */
  readonly #ask: GroupRuntime['ask'] = (kind, request, onResult) => {
    if (this.#isStopped) return
    this.#options.runtime.ask(kind, request, result => {
      if (!this.#isStopped) onResult(result)
    })
  }

  /** A pause ends with the partition: one for a partition that does not exist may last half a minute, and keeps a process alive. */
  readonly #after: GroupRuntime['after'] = (delayMs, run) => {
    const pause = this.#options.runtime.after(delayMs, () => {
      this.#pauses.delete(pause)
      run()
    })
    this.#pauses.add(pause)
    return {
      cancel: () => {
        this.#pauses.delete(pause)
        pause.cancel()
      }
    }
  }
}
