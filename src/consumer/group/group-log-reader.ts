import { type KafkaRecord, type Offset, positionIn, type TopicPartition, topicPartitionKey } from '../../core/model.js'
import type { Failure, FetchDataResult } from '../../router/messages/operations.js'
import { BatchCursor } from './batch-cursor.js'
import { copyOf } from './copy-record.js'
import type { GroupRuntime } from './group-runtime.js'
import type { BatchHolder, HeldBatches } from './held-batches.js'
import type { OffsetTracker, TrackedPosition } from './offset-tracker.js'
import type { PositionFinder } from './position-finder.js'
import { isForbidden } from './refusals.js'
import { TruncationCheck } from './truncation-check.js'
import { UnknownPartition } from './unknown-partition.js'

/** Where the Router does not wait for records, an empty answer comes at once; asking again at once would be a busy loop. */
const SHORTEST_POLL_MS = 20

/**
 * How long a read waits at the end of the log, in the long polls of its broker. So a partition without new messages costs a
 * request in this time, and not one for each long poll.
 */
const MAX_WAIT_MS = 30_000
/** The first read waits less: its answer, also without records, tells the leader epoch of the group's position. */
const FIRST_MAX_WAIT_MS = 10_000
/** A broker that is away is waited for. */
const TIMEOUT_MS = 40_000

/** Answers to a read of one offset that say that its record cannot be had any more. */
const goneTypes: ReadonlySet<FetchDataResult['type']> = new Set(['success', 'offsetOutOfRange', 'corruptMessage'])

export interface GroupLogReaderOptions {
  readonly topicPartition: TopicPartition
  readonly runtime: GroupRuntime
  readonly batches: HeldBatches
  readonly finder: PositionFinder
  readonly retryBackoffMs: number
  /** Whether a client waits for a record: without one the read ends with the long poll it is in. */
  readonly isWanted: () => boolean
  /** Gives up the record that waits to be offered, which keeps its batch in memory; it is read again. */
  readonly unstage: () => Offset | undefined
  /** Kafka's ACLs do not allow the read. */
  readonly onRefused: (failure: Failure) => void
  /** A read is over: there may be records, or it may be tried again. */
  readonly onReady: () => void
  /** There is a new position to commit: records were skipped, or its leader epoch became known. */
  readonly onSkipped: () => void
  /** The log is another one than before, or has lost its end: everything begins anew there. */
  readonly onStartOver: (position: TrackedPosition) => void
  /** The log was cut at this offset, and others may have been written from there on. What is before it stays as it is. */
  readonly onCut: (offset: Offset) => void
}

/** Reads the log of one partition for a group, one fetch at a time, and only when it is told to. */
export class GroupLogReader implements BatchHolder {
  readonly #options: GroupLogReaderOptions
  readonly #name: string
  readonly #cursor = new BatchCursor(0)
  readonly #unknown: UnknownPartition
  #isBusy = false
  #isFetchingAgain = false
  /** A position above the end of the log is believed to be where the group stopped; once it has read, it is not. */
  #hasRead = false
  readonly #check: TruncationCheck

  constructor(options: GroupLogReaderOptions) {
    this.#options = options
    this.#unknown = new UnknownPartition(options.retryBackoffMs)
    this.#name = topicPartitionKey(options.topicPartition.topic, options.topicPartition.partition)
    this.#check = new TruncationCheck({
      ...options,
      position: () => this.#cursor.position,
      onCut: (offset, epochs) => this.#cutAt(offset, epochs)
    })
  }

  /** A fetch is in flight, or there is a pause after it. */
  get isBusy(): boolean {
    return this.#isBusy
  }

  /** A single record is being fetched once more. */
  get isFetchingAgain(): boolean {
    return this.#isFetchingAgain
  }

  /** Reads from the first offset on that is not acknowledged. */
  begin(tracker: OffsetTracker): void {
    this.stop()
    this.#cursor.position = tracker.nextNotAcked(tracker.offset)
    this.#check.begin()
  }

  /** The memory is needed; what was not walked through is fetched again. */
  dropBatch(): void {
    this.#cursor.drop()
    const unused = this.#options.unstage()
    if (unused !== undefined) this.#cursor.position = Math.min(unused, this.#cursor.position)
  }

  stop(): void {
    this.#cursor.drop()
    this.#options.batches.release(this)
  }

  /** The next record in hand that is neither acknowledged nor offered. */
  next(tracker: OffsetTracker): KafkaRecord | undefined {
    if (!this.#cursor.hasBatch) return undefined
    const before = tracker.offset
    const record = this.#cursor.next(tracker)
    if (!this.#cursor.hasBatch) this.#options.batches.release(this)
    if (tracker.offset !== before) this.#options.onSkipped()
    return record
  }

  /** Fetches what comes next. */
  fetch(tracker: OffsetTracker): void {
    this.#isBusy = true
    this.#check.beforeRead(tracker, () => this.#fetch(tracker))
  }

  #fetch(tracker: OffsetTracker): void {
    const { runtime, topicPartition, isWanted, finder } = this.#options
    const askedAt = runtime.clock()
    const { topicId } = finder
    const offset = this.#cursor.position
    const maxWaitMs = this.#hasRead ? MAX_WAIT_MS : FIRST_MAX_WAIT_MS
    const wait = { maxWaitMs, isWanted, timeoutMs: TIMEOUT_MS }
    runtime.ask('fetchData', { topicPartition, offset, topicId, ...wait }, result => {
      // The log was cut meanwhile, or memory was needed.
      if (offset !== this.#cursor.position) this.#ready()
      else
        this.#check.afterRead(tracker, result, isSure => {
          if (isSure) this.#fetched(result, tracker, askedAt)
          else this.#ready()
        })
    })
  }

  /**
   * Fetches one record once more, also while a read waits at the end of the log.
   *
   * @param onFetched called with nothing when the record is not in the log any more
   * @param onFailed it cannot be read now
   */
  fetchAgain(
    tracker: OffsetTracker,
    offset: Offset,
    onFetched: (record: KafkaRecord | undefined) => void,
    onFailed: () => void
  ): void {
    this.#isFetchingAgain = true
    const { runtime, topicPartition, finder, retryBackoffMs, onReady } = this.#options
    const over = (): void => {
      this.#isFetchingAgain = false
      onReady()
    }
    const take = (result: FetchDataResult): void => {
      const record = result.type === 'success' ? result.batch.at(0) : undefined
      if (record?.offset === offset) onFetched(copyOf(record))
      else if (goneTypes.has(result.type)) onFetched(undefined)
      else {
        // What will never be readable uses up its retries; everything else is no retry.
        if (result.type !== 'failed' || result.retriable) onFailed()
        runtime.after(retryBackoffMs, over)
        return
      }
      over()
    }
    runtime.ask('fetchData', { topicPartition, offset, topicId: finder.topicId }, result => {
      this.#check.afterRead(tracker, result, isSure => {
        if (isSure) take(result)
        else {
          onFailed()
          over()
        }
      })
    })
  }

  #ready(): void {
    this.#isBusy = false
    this.#options.onReady()
  }

  #readyAfter(delayMs: number): void {
    this.#options.runtime.after(delayMs, () => this.#ready())
  }

  #fetched(result: FetchDataResult, tracker: OffsetTracker, askedAt: number): void {
    const { runtime, batches } = this.#options
    const pauseMs = this.#unknown.pauseMs(result.type)
    switch (result.type) {
      case 'success':
        this.#hasRead = true
        tracker.epochs.read(result.batch.leaderEpochs ?? [])
        this.#cursor.take(result.batch)
        batches.hold(this, result.batch.sizeBytes)
        this.#ready()
        break
      case 'noMessages':
        this.#hasRead = true
        if (this.#isFirstEpoch(result.leaderEpoch, tracker)) this.#options.onSkipped()
        if (runtime.clock() - askedAt >= SHORTEST_POLL_MS) this.#ready()
        else this.#readyAfter(SHORTEST_POLL_MS)
        break
      case 'offsetOutOfRange':
        this.#outOfRange(tracker)
        break
      case 'corruptMessage':
        runtime.metrics.count('groups', 'skipped_batches')
        this.#skipTo(result.nextOffset, tracker, 'records are damaged and were skipped')
        break
      default:
        if (isForbidden(result)) this.#options.onRefused(result)
        this.#readyAfter(pauseMs)
    }
  }

  /**
   * Nothing has told an epoch yet, and all before the position is in the log of this one: the offset was committed without, at
   * the start or by a client that has set it. An offset beyond the end is not in any log.
   */
  #isFirstEpoch(leaderEpoch: number | undefined, tracker: OffsetTracker): boolean {
    const { position } = this.#cursor
    if (leaderEpoch === undefined || tracker.offset > position || tracker.epochs.before(position) !== undefined)
      return false
    tracker.epochs.begin(leaderEpoch)
    return position > 0
  }

  #outOfRange(tracker: OffsetTracker): void {
    const { position } = this.#cursor
    // An offset that was committed with an epoch was read; one that a client has set has none.
    const hasRead = this.#hasRead || tracker.epochs.before(position) !== undefined
    this.#options.finder.recover(position, hasRead, recovery => {
      switch (recovery.type) {
        case 'deleted':
          this.#skipTo(recovery.offset, tracker, 'records were deleted before the group has read them')
          break
        case 'recreated':
          this.#say('the topic was created anew; the group reads it from its beginning', recovery.offset)
          this.#options.onStartOver({ ...positionIn(recovery), metadata: '' })
          this.#ready()
          break
        case 'lost':
          this.#say('the log ends before the position of the group, which goes on at its end', recovery.offset)
          this.#options.runtime.metrics.count('groups', 'truncated_logs')
          this.#options.onStartOver({ ...positionIn(recovery), metadata: '' })
          this.#ready()
          break
        case 'notYet':
          // What is below the committed offset counts as acknowledged, and is read without being offered.
          this.#hasRead = true
          this.#cursor.position = recovery.offset
          this.#ready()
          break
        case 'inRange':
          this.#readyAfter(this.#options.retryBackoffMs)
      }
    })
  }

  #cutAt(offset: Offset, epochs: object): void {
    const { runtime, batches, onCut } = this.#options
    const fields = { partition: this.#name, from: this.#cursor.position, to: offset, ...epochs }
    runtime.log.warn(fields, 'the end of the log was lost; the group goes on where the logs part')
    runtime.metrics.count('groups', 'truncated_logs')
    this.#cursor.drop()
    batches.release(this)
    this.#cursor.position = Math.min(this.#cursor.position, offset)
    onCut(offset)
  }

  #skipTo(offset: Offset, tracker: OffsetTracker, why: string): void {
    this.#say(why, offset)
    tracker.skipped(this.#cursor.position, offset)
    this.#cursor.position = offset
    this.#options.onSkipped()
    this.#ready()
  }

  #say(what: string, offset: Offset): void {
    const { log } = this.#options.runtime
    log.warn({ partition: this.#name, from: this.#cursor.position, to: offset }, what)
  }
}
