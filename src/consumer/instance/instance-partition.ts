import type { LogPosition, Offset, RecordBatch, TopicPartition } from '../../core/model.js'
import type { Failure } from '../../router/messages/operations.js'
import { invalid } from '../../router/requests/failures.js'
import { type GroupRuntime, stoppable } from '../group/group-runtime.js'
import { type BatchHolder, copyFewOfMany, type HeldBatches, heldBytesOf } from '../group/held-batches.js'
import { PositionFinder } from '../group/position-finder.js'
import { isForbiddenRead } from '../group/refusals.js'
import type { FindStart } from '../group/topic-start.js'
import { PartitionLog } from '../partition/partition-log.js'
import { INSTANCE_LINES, type LogChange, type ReadOutcome } from '../partition/read-outcome.js'
import type { InstanceRecord } from './instances.js'

/** A request waits this much longer for an answer than for records. */
const ANSWER_MS = 10_000
/** Limit of records in one read, because each record costs memory beside its bytes. */
const MAX_RECORDS = 50_000

export interface InstancePartitionOptions {
  readonly topicPartition: TopicPartition
  readonly runtime: GroupRuntime
  readonly batches: HeldBatches
  readonly retryBackoffMs: number
  /** Position to begin at without a committed offset. `none`: reading is a problem of the partition then. */
  readonly start: FindStart | 'none'
  /** How far this instance had read when it had the partition before. */
  readonly readBefore?: Furthest | undefined
  /** Called when records, a position or a problem have come. */
  readonly onChanged: () => void
  /** Called before the position follows a change of the log. Records that a read has taken are taken again. */
  readonly onLogChanged: () => void
}

/** The offset after the furthest record that was read, and the epoch of the leader in whose log it was. */
export interface Furthest extends LogPosition {
  readonly topicId: string | undefined
}

/** The state of a read that collects records. */
export interface Taking {
  readonly records: InstanceRecord[]
  /** Bytes of keys and values. */
  bytes: number
  readonly maxBytes: number
  /** Bytes that the records are counted with. Their memory is at most twice as much. */
  heldBytes: number
  readonly maxHeldBytes: number
}

export const isFull = ({ records, bytes, maxBytes, heldBytes, maxHeldBytes }: Taking): boolean =>
  records.length >= MAX_RECORDS || bytes >= maxBytes || heldBytes >= maxHeldBytes

/**
 * One partition that an instance reads: the position after the accepted records, the position after the records of a read
 * that is not settled, and at most one batch in memory.
 */
export class InstancePartition implements BatchHolder {
  readonly topicPartition: TopicPartition
  readonly #options: InstancePartitionOptions
  readonly #runtime: ReturnType<typeof stoppable>
  readonly #finder: PositionFinder
  readonly #log: PartitionLog
  /** The offset after the accepted records; `undefined`: no position is known. */
  accepted: Offset | undefined
  /** The offset after the records that were taken. Not below `accepted`. */
  taken = 0
  #batch: RecordBatch | undefined
  #index = 0
  /** The fetch or look-up on its way for the position. A change of the position makes its answer void. */
  #fetching: object | undefined
  /** The client has accepted records of this position, and was not at the end of the log since: it is likely to read on. */
  #isReadOn = false
  /** The size of the last batch; 0: there was none. */
  #lastBytes = 0
  #isOver = false
  /** The number of the position. A change of the position makes reads that are not settled void. */
  epoch = 0
  /** Why the partition cannot be read; asking again may help. */
  problem: Failure | undefined
  /** The furthest position that was read; `undefined`: none. */
  furthest: Furthest | undefined
  /** The offset to which the client has moved, while no broker has said that the log has it. */
  #sought: Offset | undefined
  /** The offset that the group has committed, as far as this instance knows. */
  committed: Offset | undefined
  /** The first position, unless the group had committed it. */
  beganAt: Offset | undefined

  constructor(options: InstancePartitionOptions) {
    const { topicPartition, start } = options
    this.topicPartition = topicPartition
    this.furthest = options.readBefore
    this.#options = options
    this.#runtime = stoppable(options.runtime)
    this.#log = new PartitionLog(this.#runtime.ask, topicPartition)
    const find: FindStart = start === 'none' ? () => this.#fail(noStart(topicPartition)) : start
    let isEarliest = false
    this.#finder = new PositionFinder({
      log: this.#log,
      runtime: this.#runtime,
      // A topic that was not there begins at its earliest record when it comes.
      start: onStart => find(found => onStart(isEarliest && found === 'latest' ? 'earliest' : found)),
      onEarliest: () => {
        isEarliest = true
      },
      retryBackoffMs: options.retryBackoffMs,
      onRefused: failure => this.#fail(failure)
    })
  }

  get key(): string {
    return this.#log.name
  }
  /** The id of the topic to which the position belongs. */
  get topicId(): string | undefined {
    return this.#log.topicId
  }
  get hasBatch(): boolean {
    return this.#batch !== undefined
  }
  /** Bytes that the next record in memory is counted with; `undefined`: there is none. */
  get nextHeldBytes(): number | undefined {
    for (let at = this.#index; this.#batch && at < this.#batch.recordCount; at++) {
      const record = this.#batch.at(at)
      if (record.offset >= this.taken) return heldBytesOf(record)
    }
    return undefined
  }

  /**
   * The leader epoch for a commit of this offset, by which later readers detect that the log has lost its end. Clients may
   * still commit offsets of lost records that they have got.
   */
  epochBefore(offset: Offset): number | undefined {
    if (offset > this.taken) return epochWithin(this.furthest, offset)
    return this.#log.epochBefore(offset)
  }

  /** Forgets that records could not be fetched, before they are fetched again. */
  forgetProblem(): void {
    if (this.accepted !== undefined) this.problem = undefined
  }

  /** Finds the committed offset, or else the start. */
  begin(): void {
    const epoch = this.epoch
    this.#finder.findStart((position, isNew) => {
      if (epoch !== this.epoch) return
      const { offset } = position
      this.#log.begin(position)
      if (isNew) this.beganAt = offset
      else this.committed = offset
      if (this.furthest?.topicId !== this.topicId) this.furthest = undefined
      this.#place(offset)
      this.#noteFurthest()
    })
  }

  /** Continues at this offset. Batches in memory and fetches on their way are dropped. */
  seek(offset: Offset): void {
    // The log between the former position and this one was not read.
    this.#log.begin({})
    this.beganAt ??= offset
    this.#place(offset)
    this.#sought = offset
  }

  /** Takes records from the batch in memory, within the limit; the first one of a read in any case. */
  take(taking: Taking): void {
    const { length } = taking.records
    this.#takeFromBatch(taking)
    copyFewOfMany(taking.records, length)
    this.#noteFurthest()
  }

  #takeFromBatch(taking: Taking): void {
    const { records, maxBytes, maxHeldBytes } = taking
    const { topic, partition } = this.topicPartition
    for (let batch = this.#batch; batch && this.#index < batch.recordCount; this.#index++) {
      const record = batch.at(this.#index)
      const { offset, timestampMs, key, value, headers } = record
      if (offset < this.taken) continue
      const bytes = (key?.length ?? 0) + (value?.length ?? 0)
      const heldBytes = taking.heldBytes + heldBytesOf(record)
      const isTooMuch = records.length >= MAX_RECORDS || taking.bytes + bytes > maxBytes || heldBytes > maxHeldBytes
      if (records.length > 0 && isTooMuch) return
      // Spreading the record into the new one takes ten times as long.
      records.push({ topic, partition, offset, timestampMs, key, value, headers })
      taking.bytes += bytes
      taking.heldBytes = heldBytes
      this.taken = offset + 1
    }
    if (this.#batch) this.taken = Math.max(this.taken, this.#batch.nextOffset)
    this.dropBatch()
    this.#options.batches.release(this)
  }

  #noteFurthest(): void {
    const offset = this.taken
    if (offset <= (this.furthest?.offset ?? 0)) return
    this.furthest = { offset, leaderEpoch: this.epochBefore(offset), topicId: this.topicId }
  }

  /** Accepts the taken records up to this offset; the others are taken again later. */
  accept(offset: Offset): void {
    // A read may end before the first position is known.
    if (this.accepted === undefined) return
    if (offset > this.accepted || offset < this.taken) this.#isReadOn = offset === this.taken
    this.accepted = offset
    if (offset === this.taken) return
    this.taken = offset
    this.#release()
  }

  /** Takes the records again that were taken and not accepted. */
  reject(): void {
    if (this.accepted !== undefined) this.accept(this.accepted)
  }

  /** Fetches the next batch, unless it is in memory or on its way. */
  fetch(maxWaitMs: number, isWanted: () => boolean): void {
    if (this.#fetching || this.#batch || this.accepted === undefined || this.#isOver) return
    const fetching = {}
    this.#fetching = fetching
    const request = { offset: this.taken, maxWaitMs, isWanted, timeoutMs: maxWaitMs + ANSWER_MS }
    this.#log.read(request, outcome => {
      if (this.#fetching !== fetching) return
      this.#fetching = undefined
      this.#found(outcome)
    })
  }

  /**
   * Fetches the next batch before a read asks for it. It takes its place among the batches in memory at once, and no other
   * batch frees memory for it.
   *
   * @param maxWaitMs how long the client waits for records. A read that is less patient shortens the long polls of its broker
   */
  readAhead(maxWaitMs: number): void {
    const { batches } = this.#options
    if (!this.#isReadOn || this.#fetching || !batches.mayReadAhead(this.#lastBytes)) return
    batches.hold(this, this.#lastBytes)
    this.fetch(maxWaitMs, () => false)
  }

  /** Stops for good: the instance no longer reads the partition. */
  stop(): void {
    this.#isOver = true
    this.epoch++
    this.#runtime.stop()
    this.#release()
  }

  dropBatch(): void {
    this.#batch = undefined
    this.#index = 0
  }

  #found(outcome: ReadOutcome): void {
    const { runtime, onChanged, batches } = this.#options
    const offset = this.taken
    batches.release(this)
    switch (outcome.type) {
      case 'records':
        this.problem = this.#sought = undefined
        this.#batch = outcome.batch
        this.#index = 0
        this.#lastBytes = outcome.batch.heapBytes ?? outcome.batch.sizeBytes
        batches.hold(this, this.#lastBytes)
        onChanged()
        break
      case 'end':
        this.problem = this.#sought = undefined
        this.#isReadOn = false
        onChanged()
        break
      case 'skipped':
        this.#skip(outcome)
        break
      case 'cut':
        runtime.log.warn({ partition: this.key, offset: outcome.at }, INSTANCE_LINES.cut)
        this.#logChanged(Math.min(outcome.at, this.accepted!))
        break
      case 'beyond':
        if (this.committed === offset || this.#sought === offset) this.#reset(offset, outcome)
        else this.#continueAt(outcome.end.offset, 'lost')
        break
      case 'recreated':
        this.#log.topicId = outcome.topicId
        this.#log.begin(outcome.earliest)
        this.furthest = undefined
        this.#continueAt(outcome.earliest.offset, outcome.type)
        break
      default:
        if (isForbiddenRead(outcome)) this.#fail(outcome.failure)
        this.#runtime.after(this.#options.retryBackoffMs, onChanged)
    }
  }

  #skip({ next, why }: Extract<LogChange, { type: 'skipped' }>): void {
    const { log } = this.#runtime
    if (why === 'deleted') this.#continueAt(next, why)
    else {
      log.error({ partition: this.key, offset: this.taken, nextOffset: next }, INSTANCE_LINES.damaged)
      if (this.accepted === this.taken) this.accepted = next
      this.taken = next
      this.#options.onChanged()
    }
  }

  /** An offset that the client or a commit has set lies beyond the end: `auto.offset.reset` decides. */
  #reset(from: Offset, { earliest, end }: Extract<LogChange, { type: 'beyond' }>): void {
    const { start } = this.#options
    if (start === 'none') {
      this.#fail(outOfRange(this.topicPartition, from, end.offset))
      return
    }
    const fetching = (this.#fetching = {})
    start(at => {
      if (this.#fetching !== fetching) return
      const to =
        at === 'earliest'
          ? earliest.offset
          : at === 'latest' || !('offset' in at)
            ? end.offset
            : Math.min(at.offset, end.offset)
      this.#continueAt(to, 'beyond the end', end.offset)
    })
  }

  #continueAt(continuesAt: Offset, cause: string, end?: Offset): void {
    const { log, groupId: group } = this.#runtime
    const at = { group, partition: this.key, offset: this.taken, continuesAt, cause }
    log.warn({ ...at, ...(end !== undefined && { end }) }, INSTANCE_LINES.outside)
    this.#logChanged(cause === 'lost' ? Math.min(continuesAt, this.accepted!) : continuesAt)
  }

  #logChanged(offset: Offset): void {
    this.#options.onLogChanged()
    this.#place(offset)
  }

  #place(offset: Offset): void {
    this.epoch++
    this.accepted = offset
    this.taken = offset
    this.#sought = undefined
    this.#isReadOn = false
    this.problem = undefined
    this.#release()
    this.#options.onChanged()
  }

  #fail(failure: Failure): void {
    this.problem = failure
    this.#options.onChanged()
  }

  #release(): void {
    this.#fetching = undefined
    this.dropBatch()
    this.#options.batches.release(this)
  }
}

/** The epoch for a commit of an offset up to which records were read. */
export const epochWithin = (furthest: Furthest | undefined, offset: Offset): number | undefined =>
  furthest !== undefined && offset <= furthest.offset ? furthest.leaderEpoch : undefined

const outOfRange = ({ topic, partition }: TopicPartition, offset: Offset, end: Offset): Failure =>
  invalid(
    'invalidRequest',
    `offset ${offset} of ${topic}/${partition} is beyond the end, ${end}, and auto.offset.reset is none`
  )

const noStart = ({ topic, partition }: TopicPartition): Failure =>
  invalid('invalidRequest', `the group has no committed offset in ${topic}/${partition}, and auto.offset.reset is none`)
