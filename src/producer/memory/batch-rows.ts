import type { TraceContext } from '../../core/tracing/tracing.js'
import { deliverRow, type OutcomeReceiver } from './pending-produce.js'

/** The lists of a batch with one row or none; never written to. */
const NONE: never[] = []

/**
 * The records of a batch, without their bytes: the request that each belongs to. A row is a run of consecutive records of one
 * request with the same timestamp. Rows of large requests are mostly long; an entry for each record would be much garbage.
 *
 * A batch of one row has no lists. With one record in each of thousands of partitions, the lists would be most of its garbage.
 */
export abstract class BatchRows {
  /** The only row, while there are no lists. `#count` 0: there is none. */
  #pendingProduce: OutcomeReceiver | undefined
  #index = 0
  #count = 0
  #timestampMs = 0
  #isGiven = false
  // With lists, each of them has one entry per row.
  protected pendingProduces: (OutcomeReceiver | undefined)[] = NONE
  /** The index that the first record of the row has in its pending produce. */
  protected firstIndexes: number[] = NONE
  protected counts: number[] = NONE
  protected timestampsMs: number[] = NONE
  /** Marks rows whose timestamp the caller has given; most batches have none. */
  protected given: boolean[] = NONE
  /** Number of records, withdrawn ones included. */
  protected records = 0
  earliestDeadlineAt = Number.POSITIVE_INFINITY

  /** When its oldest record was accepted. */
  get oldestAt(): number {
    if (this.#count > 0) return this.#pendingProduce!.acceptedAtOf(this.#index)
    for (let at = 0; at < this.pendingProduces.length; at++) {
      const pendingProduce = this.pendingProduces[at]
      if (pendingProduce !== undefined) return pendingProduce.acceptedAtOf(this.firstIndexes[at]!)
    }
    return Number.POSITIVE_INFINITY
  }

  /** Epoch milliseconds: the latest timestamp of its records. */
  get newestMs(): number {
    if (this.#count > 0) return this.#timestampMs
    return this.timestampsMs.reduce((newest, one) => Math.max(newest, one), Number.NEGATIVE_INFINITY)
  }

  /** Adds records of a request. @param isGiven the caller has given the timestamp; only for a record by itself */
  protected remember(
    timestampMs: number,
    pendingProduce: OutcomeReceiver,
    index: number,
    count: number,
    isGiven: boolean
  ): void {
    if (pendingProduce.deadlineAt < this.earliestDeadlineAt) this.earliestDeadlineAt = pendingProduce.deadlineAt
    const isFirst = this.records === 0
    this.records += count
    if (isFirst) {
      this.#pendingProduce = pendingProduce
      this.#index = index
      this.#count = count
      this.#timestampMs = timestampMs
      this.#isGiven = isGiven
    } else if (!this.#continues(timestampMs, pendingProduce, index, count, isGiven)) {
      this.toLists()
      this.pendingProduces.push(pendingProduce)
      this.firstIndexes.push(index)
      this.counts.push(count)
      this.timestampsMs.push(timestampMs)
      if (isGiven) this.#markGiven()
    }
  }

  /** Makes the last row longer, if the records follow it. */
  #continues(
    timestampMs: number,
    pendingProduce: OutcomeReceiver,
    index: number,
    count: number,
    isGiven: boolean
  ): boolean {
    if (isGiven) return false
    if (this.#count > 0) {
      const isNext = this.#pendingProduce === pendingProduce && this.#index + this.#count === index
      if (!isNext || this.#timestampMs !== timestampMs || this.#isGiven) return false
      this.#count += count
      return true
    }
    const last = this.pendingProduces.length - 1
    const isNext =
      this.pendingProduces[last] === pendingProduce && this.firstIndexes[last]! + this.counts[last]! === index
    if (!isNext || this.timestampsMs[last] !== timestampMs || this.given[last] === true) return false
    this.counts[last]! += count
    return true
  }

  #markGiven(): void {
    if (this.given === NONE) this.given = []
    this.given[this.pendingProduces.length - 1] = true
  }

  protected toLists(): void {
    if (this.#count === 0) return
    // A list that is created with its first element has space for one; a first push would reserve space for 17.
    this.pendingProduces = [this.#pendingProduce]
    this.firstIndexes = [this.#index]
    this.counts = [this.#count]
    this.timestampsMs = [this.#timestampMs]
    if (this.#isGiven) this.#markGiven()
    this.#count = 0
    this.#pendingProduce = undefined
  }

  /** Makes a row of each record, before records are looked at one by one. */
  protected toSingleRecords(): void {
    this.toLists()
    if (this.pendingProduces.length === this.records) return
    const counts = this.counts
    const ofEach = <One>(list: readonly One[], of: (one: One, nth: number) => One): One[] =>
      list.flatMap((one, row) => Array.from({ length: counts[row]! }, (_, nth) => of(one, nth)))
    if (this.given !== NONE) {
      const given = counts.map((_, row) => this.given[row] === true)
      this.given = ofEach(given, isGiven => isGiven)
    }
    this.pendingProduces = ofEach(this.pendingProduces, pendingProduce => pendingProduce)
    this.firstIndexes = ofEach(this.firstIndexes, (first, nth) => first + nth)
    this.timestampsMs = ofEach(this.timestampsMs, timestampMs => timestampMs)
    this.counts = ofEach(counts, () => 1)
  }

  /** No caller has given a timestamp. */
  get hasOwnTimes(): boolean {
    return this.#count > 0 ? !this.#isGiven : !this.given.includes(true)
  }

  /** Gives all records a new timestamp, but for those whose caller has given one. */
  protected stamp(sentAtMs: number): void {
    this.toLists()
    for (let at = 0; at < this.timestampsMs.length; at++) if (!this.given[at]) this.timestampsMs[at] = sentAtMs
  }

  /** Whether a record whose caller has given no timestamp has one that is so far from `sentAtMs`. */
  protected isStampedBefore(sentAtMs: number, forMs: number): boolean {
    if (this.#count > 0) return !this.#isGiven && Math.abs(sentAtMs - this.#timestampMs) >= forMs
    return this.timestampsMs.some((one, at) => this.given[at] !== true && Math.abs(sentAtMs - one) >= forMs)
  }

  /** The traces of the requests whose records it has. */
  *traces(): Iterable<TraceContext> {
    const only = this.#count > 0 ? this.#pendingProduce?.traceOf?.(this.#index) : undefined
    if (only !== undefined) yield only
    for (let at = 0; at < this.pendingProduces.length; at++) {
      const trace = this.pendingProduces[at]?.traceOf?.(this.firstIndexes[at]!)
      if (trace !== undefined) yield trace
    }
  }

  /** Kafka has all records, the first at `baseOffset`; -1: the offset is unknown. */
  deliver(partition: number, baseOffset: number, logAppendTimeMs: number): void {
    if (this.#count > 0) {
      const timestampMs = logAppendTimeMs < 0 ? this.#timestampMs : logAppendTimeMs
      const row = { index: this.#index, count: this.#count, partition, offset: baseOffset, timestampMs }
      deliverRow(this.#pendingProduce!, row)
      return
    }
    let offset = baseOffset
    for (let at = 0; at < this.pendingProduces.length; at++) {
      const count = this.counts[at]!
      const timestampMs = logAppendTimeMs < 0 ? this.timestampsMs[at]! : logAppendTimeMs
      deliverRow(this.pendingProduces[at]!, { index: this.firstIndexes[at]!, count, partition, offset, timestampMs })
      if (offset >= 0) offset += count
    }
  }

  protected forget(): void {
    this.#pendingProduce = undefined
    this.#count = 0
    this.pendingProduces = NONE
    this.firstIndexes = this.counts = this.timestampsMs = NONE
    this.given = NONE
    this.records = 0
    this.earliestDeadlineAt = Number.POSITIVE_INFINITY
  }
}
