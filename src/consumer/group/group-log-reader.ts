import {
  type KafkaRecord,
  type LogPosition,
  type Offset,
  positionIn,
  type TopicPartition,
  topicPartitionKey
} from '../../core/model.js'
import type { Failure, FetchDataResult } from '../../router/messages/operations.js'
import type { PartitionLog } from '../partition/partition-log.js'
import { CheckedReads, type LogCut } from './checked-reads.js'
import type { GroupRuntime } from './group-runtime.js'
import { BatchCursor, type BatchHolder, copyOf, type HeldBatches } from './held-batches.js'
import type { OffsetTracker, TrackedPosition } from './offset-tracker.js'
import type { PositionFinder } from './position-finder.js'
import { isForbidden, pausesOfUnknown } from './refusals.js'

/**
 * Shortest time between two reads. A Router that does not wait for records answers at once, and this pause prevents a
 * busy loop.
 */
const SHORTEST_POLL_MS = 20

/**
 * Time limit of a read at the end of the log. A partition without new messages costs one request per this time, instead
 * of one per long poll of its broker.
 */
const MAX_WAIT_MS = 30_000
/** The first read waits less: even without records, its answer has the leader epoch of the group's position. */
const FIRST_MAX_WAIT_MS = 10_000
/** Time limit of a request, long enough for a broker to come back. */
const TIMEOUT_MS = 40_000

/** Answers to a read of one offset which mean that its record is gone. */
const goneTypes: ReadonlySet<FetchDataResult['type']> = new Set(['success', 'offsetOutOfRange', 'corruptMessage'])

export interface GroupLogReaderOptions {
  readonly topicPartition: TopicPartition
  readonly runtime: GroupRuntime
  readonly batches: HeldBatches
  readonly finder: PositionFinder
  readonly log: PartitionLog
  readonly retryBackoffMs: number
  /** True while a client waits for a record. Otherwise a read ends with its current long poll. */
  readonly isWanted: () => boolean
  /**
   * Gives up the prefetched record, because it keeps its batch in memory. Returns the offset of the record, which is
   * then read again.
   */
  readonly releasePrefetched: () => Offset | undefined
  /** Called when a read has ended. There may be records, and another read may begin. */
  readonly onReady: () => void
  /**
   * Called when there is a new position to commit, because records were skipped, or the leader epoch of the position became
   * known.
   */
  readonly onSkipped: () => void
  /** Called when Kafka's ACLs do not allow the read. */
  readonly onRefused: (failure: Failure) => void
  /** Called when the topic has a new log, or the log has lost its end. The group begins again at this position. */
  readonly onStartOver: (position: TrackedPosition) => void
  /** Called when the log was cut at this offset. Other records may have been written from there on. Records before it stay. */
  readonly onCut: (offset: Offset) => void
}

/** Reads the log of one partition for a group, one fetch at a time, and only on request. */
export class GroupLogReader implements BatchHolder {
  readonly #options: GroupLogReaderOptions
  readonly #name: string
  readonly #cursor = new BatchCursor(0)
  readonly #pauseMs: ReturnType<typeof pausesOfUnknown>
  #isBusy = false
  #isFetchingAgain = false
  /**
   * True after the first read. Before it, a position above the end of the log may be right. After it, such a position
   * means that the log has lost its end.
   */
  #hasRead = false
  #reads: CheckedReads

  constructor(options: GroupLogReaderOptions) {
    this.#options = options
    this.#pauseMs = pausesOfUnknown(options.retryBackoffMs)
    this.#name = topicPartitionKey(options.topicPartition.topic, options.topicPartition.partition)
    this.#reads = new CheckedReads(options.runtime.ask, options.topicPartition)
  }

  /** True while a fetch is in flight, and during the pause after it. */
  get isBusy(): boolean {
    return this.#isBusy
  }

  get isFetchingAgain(): boolean {
    return this.#isFetchingAgain
  }

  /** Begins to read at the first offset that is not acknowledged. */
  begin(tracker: OffsetTracker): void {
    this.stop()
    this.#cursor.position = tracker.nextNotAcked(tracker.offset)
    const { runtime, topicPartition } = this.#options
    this.#reads = new CheckedReads(runtime.ask, topicPartition, tracker.epochs)
  }

  /** Drops the batch to free memory. Its remaining records are fetched again later. */
  dropBatch(): void {
    this.#cursor.drop()
    const unused = this.#options.releasePrefetched()
    if (unused !== undefined) this.#cursor.position = Math.min(unused, this.#cursor.position)
  }

  stop(): void {
    this.#cursor.drop()
    this.#options.batches.release(this)
  }

  /** The next record in memory that is neither acknowledged nor offered. */
  next(tracker: OffsetTracker): KafkaRecord | undefined {
    if (!this.#cursor.hasBatch) return undefined
    const before = tracker.offset
    const record = this.#cursor.next(tracker)
    if (!this.#cursor.hasBatch) this.#options.batches.release(this)
    if (tracker.offset !== before) this.#options.onSkipped()
    return record
  }

  fetch(tracker: OffsetTracker): void {
    this.#isBusy = true
    const { runtime, isWanted } = this.#options
    const askedAt = runtime.clock()
    const { position: offset } = this.#cursor
    const reads = this.#reads
    const isFirst = tracker.epochs.before(offset) === undefined
    const maxWaitMs = this.#hasRead ? MAX_WAIT_MS : FIRST_MAX_WAIT_MS
    const wait = { maxWaitMs, isWanted, timeoutMs: TIMEOUT_MS, checksFirst: true }
    reads.read({ ...this.#readOf(tracker, offset), ...wait }, result => {
      if (reads === this.#reads && result.type === 'cut') {
        this.#cutAt(result)
        this.#ready()
      }
      // The position has changed: the log was cut meanwhile, or the batch was dropped to free memory.
      else if (reads !== this.#reads || offset !== this.#cursor.position || result.type === 'cut') this.#ready()
      else {
        const isNewEpoch = isFirst && tracker.epochs.before(offset) !== undefined
        if (isNewEpoch && result.type === 'noMessages') this.#options.onSkipped()
        this.#fetched(result, tracker, askedAt)
      }
    })
  }

  #readOf(tracker: OffsetTracker, offset: Offset): Parameters<CheckedReads['read']>[0] {
    const { topicId } = this.#options.log
    const isBeyond = (): boolean => tracker.offset > this.#cursor.position
    /**
     * The offset after the last known record. Records in memory and acknowledged records may lie after the position. A
     * committed offset above the position was set beyond the end of the log, and is ignored.
     */
    const end = (): Offset => {
      const { readEnd } = this.#cursor
      return isBeyond() ? readEnd : Math.max(readEnd, tracker.ackedEnd)
    }
    return { offset, topicId, end, isBeyond: isBeyond() }
  }

  /**
   * Fetches one record again, even while a read waits at the end of the log.
   *
   * @param onFetched called with `undefined` when the record is no longer in the log
   * @param onFailed called when the record cannot be read now
   */
  fetchAgain(
    tracker: OffsetTracker,
    offset: Offset,
    onFetched: (record: KafkaRecord | undefined) => void,
    onFailed: () => void
  ): void {
    this.#isFetchingAgain = true
    const { runtime, retryBackoffMs, onReady } = this.#options
    const over = (): void => {
      this.#isFetchingAgain = false
      onReady()
    }
    const take = (result: FetchDataResult): void => {
      const record = result.type === 'success' ? result.batch.at(0) : undefined
      if (record?.offset === offset) onFetched(copyOf(record))
      else if (goneTypes.has(result.type)) onFetched(undefined)
      else {
        // A permanent failure uses up the retries of the message; other failures count as no retry.
        if (result.type !== 'failed' || result.retriable) onFailed()
        runtime.after(retryBackoffMs, over)
        return
      }
      over()
    }
    const reads = this.#reads
    reads.read(this.#readOf(tracker, offset), result => {
      if (result.type !== 'cut') take(result)
      else {
        if (reads === this.#reads) this.#cutAt(result)
        onFailed()
        over()
      }
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
    const pauseMs = this.#pauseMs(result.type === 'unknownTopicOrPartition' ? 'missing' : result.type)
    switch (result.type) {
      case 'success':
        this.#hasRead = true
        this.#cursor.take(result.batch)
        batches.hold(this, result.batch.sizeBytes)
        this.#ready()
        break
      case 'noMessages':
        this.#hasRead = true
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

  #outOfRange(tracker: OffsetTracker): void {
    const { position } = this.#cursor
    // An offset with a leader epoch was read by the group; an offset that a client has set has no epoch.
    const hasRead = this.#hasRead || tracker.epochs.before(position) !== undefined
    this.#options.finder.recover(position, hasRead, recovery => {
      switch (recovery.type) {
        case 'deleted':
          this.#skipTo(recovery.offset, tracker, 'records were deleted before the group has read them')
          break
        case 'recreated':
          this.#say('the topic was created anew; the group reads it from its beginning', recovery.offset)
          this.#startOver(recovery)
          break
        case 'lost':
          this.#say(
            'the log ends before the position of the group, which continues at the end of the log',
            recovery.offset
          )
          this.#options.runtime.metrics.count('groups', 'truncated_logs')
          this.#startOver(recovery)
          break
        case 'notYet':
          // They are read but not offered.
          this.#options.runtime.log.warn(
            { group: this.#options.runtime.groupId, partition: this.#name, committed: position, end: recovery.offset },
            'the committed offset of a group is beyond the end of the log: records below it count as acknowledged'
          )
          this.#hasRead = true
          this.#cursor.position = recovery.offset
          this.#ready()
          break
        case 'inRange':
          this.#readyAfter(this.#options.retryBackoffMs)
      }
    })
  }

  #startOver(at: LogPosition): void {
    this.#options.onStartOver({ ...positionIn(at), metadata: '' })
    this.#ready()
  }

  #cutAt({ cutAt: offset, epochs }: LogCut): void {
    const { runtime, batches, onCut } = this.#options
    const fields = { partition: this.#name, from: this.#cursor.position, to: offset, ...epochs }
    runtime.log.warn(fields, 'the end of the log was lost; the group continues where the logs diverge')
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
