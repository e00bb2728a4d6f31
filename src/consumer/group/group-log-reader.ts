import { ownRecordOf } from '../../core/bytes.js'
import { type KafkaRecord, type LogPosition, type Offset, positionIn } from '../../core/model.js'
import type { Failure } from '../../router/messages/operations.js'
import type { LogRead, PartitionLog } from '../partition/partition-log.js'
import { GROUP_LINES, type LogChange, type ReadOutcome, SHORTEST_POLL_MS } from '../partition/read-outcome.js'
import type { ReadAgain } from './consume-result.js'
import type { GroupRuntime } from './group-runtime.js'
import { BatchCursor, type BatchHolder, type HeldBatches, leaveLargeBatch } from './held-batches.js'
import type { OffsetTracker, TrackedPosition } from './offset-tracker.js'
import { isForbiddenRead, pausesOfUnknown } from './refusals.js'

/**
 * Time limit of a read at the end of the log. A partition without new messages costs one request per this time, instead
 * of one per long poll of its broker.
 */
const MAX_WAIT_MS = 30_000
/** The first read waits less: even without records, its answer has the leader epoch of the group's position. */
const FIRST_MAX_WAIT_MS = 10_000
/** Time limit of a request, long enough for a broker to come back. */
const TIMEOUT_MS = 40_000

/** Outcomes of the read of one offset which show that the record can be read, or is gone. */
const goneTypes: ReadonlySet<ReadOutcome['type']> = new Set(['records', 'skipped', 'beyond', 'recreated'])

export interface GroupLogReaderOptions {
  readonly runtime: GroupRuntime
  readonly batches: HeldBatches
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
  /** Called when records were skipped that no client has, at most so many: they were deleted, or their batch is damaged. */
  readonly onLost: (from: Offset, to: Offset, records: number) => void
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
  readonly #cursor = new BatchCursor(0)
  readonly #pauseMs: ReturnType<typeof pausesOfUnknown>
  #isBusy = false
  /** Counts the reads, and what has made their answers worthless: the answer to an earlier one does not count. */
  #reads = 0
  #isFetchingAgain = false
  /** The highest position before it went back: clients may have messages up to there. */
  #furthest: Offset = 0
  /** How often the log was cut. An answer to a question from before a cut may have records that are lost. */
  #cuts = 0
  /**
   * True after the first read. Before it, a position above the end of the log may be right. After it, such a position
   * means that the log has lost its end.
   */
  #hasRead = false
  /** The position was set beyond the end of the log: what is below it counts as acknowledged, and was not read. */
  #isSetBeyond = false
  /** The tracker to which the reads belong. An answer for another tracker is for a position that the group has left. */
  #tracker: OffsetTracker | undefined

  constructor(options: GroupLogReaderOptions) {
    this.#options = options
    this.#pauseMs = pausesOfUnknown(options.retryBackoffMs)
  }

  /** True while a fetch is in flight, and during the pause after it. */
  get isBusy(): boolean {
    return this.#isBusy
  }

  /** The offset after the record that was given last. */
  get position(): Offset {
    return this.#cursor.position
  }

  get isFetchingAgain(): boolean {
    return this.#isFetchingAgain
  }

  /** Begins to read at the first offset that is not acknowledged. */
  begin(tracker: OffsetTracker): void {
    this.stop()
    this.#isSetBeyond = false
    this.#furthest = 0
    this.#cursor.position = tracker.nextNotAcked(tracker.offset)
    this.#tracker = tracker
    this.#options.log.resume(tracker.epochs)
  }

  /** Drops the batch to free memory. Its remaining records are fetched again later. */
  dropBatch(): void {
    this.#cursor.drop()
    const unused = this.#options.releasePrefetched()
    if (unused !== undefined) this.#cursor.position = Math.min(unused, this.#cursor.position)
  }

  /**
   * Reads again from this offset on, where it is before the position: messages from there on were given back. Those that a
   * client has, or that are acknowledged, are passed over. A read that waits at the end of the log is left alone.
   */
  goBackTo(offset: Offset): void {
    const { position } = this.#cursor
    if (offset >= position) return
    this.#furthest = Math.max(this.#furthest, position)
    this.#cursor.goBackTo(offset)
    if (!this.#cursor.hasBatch) this.#options.batches.release(this)
    this.#reads++
    this.#isBusy = false
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
    if (record) leaveLargeBatch(record)
    if (!this.#cursor.hasBatch) this.#options.batches.release(this)
    if (tracker.offset !== before) this.#options.onSkipped()
    return record
  }

  fetch(tracker: OffsetTracker): void {
    this.#isBusy = true
    const read = ++this.#reads
    const { runtime, log } = this.#options
    const isWanted = (): boolean => read === this.#reads && this.#options.isWanted()
    const askedAt = runtime.clock()
    const { position: offset } = this.#cursor
    if (tracker.offset <= offset) this.#isSetBeyond = false
    const cuts = this.#cuts
    const isFirst = tracker.epochs.before(offset) === undefined
    const maxWaitMs = this.#hasRead ? MAX_WAIT_MS : FIRST_MAX_WAIT_MS
    const wait = { maxWaitMs, isWanted, timeoutMs: TIMEOUT_MS, checksFirst: true }
    log.read({ ...this.#readOf(tracker, offset), ...wait }, outcome => {
      if (read !== this.#reads) {
        this.#foundTooLate(outcome, tracker)
        return
      }
      // The log was cut meanwhile, or the batch was dropped to free memory.
      const isLeft = cuts !== this.#cuts || offset !== this.#cursor.position
      if ((isLeft && outcome.type !== 'cut') || tracker !== this.#tracker) this.#ready()
      else {
        const isNewEpoch = isFirst && tracker.epochs.before(offset) !== undefined
        if (isNewEpoch && outcome.type === 'end') this.#options.onSkipped()
        this.#found(outcome, tracker, askedAt)
      }
    })
  }

  /** Records of a read that was left are read again. That the log was cut may be told only once. */
  #foundTooLate(outcome: ReadOutcome, tracker: OffsetTracker): void {
    if (outcome.type !== 'cut' || tracker !== this.#tracker) return
    this.#cutAt(outcome)
    this.#options.onReady()
  }

  #readOf(tracker: OffsetTracker, offset: Offset): LogRead {
    const isBeyond = (): boolean => this.#isSetBeyond && tracker.offset > this.#cursor.position
    /**
     * The offset after the last known record. Records in memory and acknowledged records may lie after the position. A
     * committed offset above the position was set beyond the end of the log, and is ignored.
     */
    const knownEnd = (): Offset => {
      const readEnd = Math.max(this.#cursor.readEnd, this.#furthest)
      return isBeyond() ? readEnd : Math.max(readEnd, tracker.ackedEnd)
    }
    return { offset, knownEnd, isBeyond: isBeyond() }
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
    this.readOne(tracker, offset, (found, outcome) => {
      // A permanent failure uses up the retries of the message; other failures count as no retry.
      if (found !== 'notNow') onFetched(found === 'gone' ? undefined : found)
      else if (outcome.type !== 'refused') onFailed()
      if (outcome.type === 'cut' || goneTypes.has(outcome.type)) over()
      else runtime.after(retryBackoffMs, over)
    })
  }

  /** Reads one record while other reads go on. See {@link TopicOffers.readAgain}. */
  readOne(tracker: OffsetTracker, offset: Offset, onRead: (found: ReadAgain, outcome: ReadOutcome) => void): void {
    const cuts = this.#cuts
    this.#options.log.read(this.#readOf(tracker, offset), outcome => {
      const isLeft = cuts !== this.#cuts
      if (outcome.type === 'cut' && tracker === this.#tracker) this.#cutAt(outcome)
      const record = outcome.type === 'records' ? outcome.batch.at(0) : undefined
      if (isLeft) onRead('notNow', outcome)
      else if (record?.offset === offset) onRead(ownRecordOf(record), outcome)
      else onRead(goneTypes.has(outcome.type) ? 'gone' : 'notNow', outcome)
    })
  }

  #ready(): void {
    this.#isBusy = false
    this.#options.onReady()
  }

  #readyAfter(delayMs: number): void {
    const read = this.#reads
    this.#options.runtime.after(delayMs, () => {
      if (read === this.#reads) this.#ready()
    })
  }

  #found(outcome: ReadOutcome, tracker: OffsetTracker, askedAt: number): void {
    const { runtime, batches, log, onRefused } = this.#options
    const pauseMs = this.#pauseMs(outcome.type)
    switch (outcome.type) {
      case 'records':
        this.#hasRead = true
        this.#cursor.take(outcome.batch)
        batches.holdOpen(this, outcome.batch)
        this.#ready()
        break
      case 'end':
        this.#hasRead = true
        if (runtime.clock() - askedAt >= SHORTEST_POLL_MS) this.#ready()
        else this.#readyAfter(SHORTEST_POLL_MS)
        break
      case 'skipped':
        if (outcome.why === 'damaged') runtime.metrics.count('groups', 'skipped_batches')
        this.#skipTo(outcome.next, tracker, outcome.why === 'damaged' ? GROUP_LINES.damaged : GROUP_LINES.deleted)
        break
      case 'cut':
        this.#cutAt(outcome)
        this.#ready()
        break
      case 'beyond':
        this.#beyond(outcome.end, tracker)
        break
      case 'recreated':
        this.#say(GROUP_LINES.recreated, outcome.earliest.offset)
        log.topicId = outcome.topicId
        this.#startOver(outcome.earliest)
        break
      default:
        if (isForbiddenRead(outcome)) onRefused(outcome.failure)
        this.#readyAfter(pauseMs)
    }
  }

  /** The log ends before the position, because its end was lost, or the position was set there. */
  #beyond(end: LogPosition, tracker: OffsetTracker): void {
    const { runtime } = this.#options
    const { position } = this.#cursor
    const { offset } = end
    // An offset with a leader epoch was read by the group; an offset that a client has set has no epoch.
    if (this.#hasRead || tracker.epochs.before(position) !== undefined) {
      this.#say(GROUP_LINES.lost, offset)
      runtime.metrics.count('groups', 'truncated_logs')
      this.#startOver(end)
    } else {
      // Records from the end on are read but not offered.
      const fields = { group: runtime.groupId, partition: this.#options.log.name, committed: position, end: offset }
      runtime.log.warn(fields, GROUP_LINES.setBeyond)
      this.#hasRead = true
      this.#isSetBeyond = true
      this.#cursor.position = offset
      this.#ready()
    }
  }

  #startOver(at: LogPosition): void {
    this.#options.onStartOver({ ...positionIn(at), metadata: '' })
    this.#ready()
  }

  #cutAt({ at: offset, epochs }: Extract<LogChange, { type: 'cut' }>): void {
    const { runtime, batches, onCut } = this.#options
    const fields = { partition: this.#options.log.name, from: this.#cursor.position, to: offset, ...epochs }
    runtime.log.warn(fields, GROUP_LINES.cut)
    runtime.metrics.count('groups', 'truncated_logs')
    this.#cuts++
    this.#cursor.drop()
    batches.release(this)
    this.#cursor.position = Math.min(this.#cursor.position, offset)
    this.#furthest = Math.min(this.#furthest, offset)
    onCut(offset)
  }

  #skipTo(offset: Offset, tracker: OffsetTracker, why: string): void {
    const { position } = this.#cursor
    this.#say(why, offset)
    const records = tracker.openIn(position, offset)
    tracker.skipped(position, offset)
    this.#cursor.position = offset
    if (records > 0) this.#options.onLost(position, offset, records)
    this.#options.onSkipped()
    this.#ready()
  }

  #say(what: string, offset: Offset): void {
    const { log } = this.#options.runtime
    log.warn({ partition: this.#options.log.name, from: this.#cursor.position, to: offset }, what)
  }
}
