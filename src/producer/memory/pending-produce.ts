import { onAbort } from '../../core/ending.js'
import type { ProduceRecord, RecordFailure, RecordOutcome } from '../../core/model.js'
import type { TraceContext } from '../../core/tracing/tracing.js'
import type { Losses } from './losses.js'
import { type Partitioner, type PartitionerFunction, type PartitionerName, partitionerOf } from './partitioners.js'

/**
 * One entry per record of a request, `undefined` for a record that was not refused. `undefined` instead of a list: none
 * was refused.
 */
export type RefusedRecords = readonly (RecordFailure | undefined)[] | undefined

/** Consecutive records of one request that Kafka has, the first at `offset`; -1: the offsets are unknown. */
export interface DeliveredRow {
  readonly index: number
  readonly count: number
  readonly partition: number
  readonly offset: number
  readonly timestampMs: number
}

/** The outcome of the record at place `nth` of a row whose first one is at `first`. */
export const outcomeAt = (partition: number, first: number, nth: number, timestampMs: number): RecordOutcome => ({
  type: 'delivered',
  partition,
  offset: first < 0 ? first : first + nth,
  timestampMs
})
const outcomeIn = ({ partition, offset, timestampMs }: DeliveredRow, nth: number): RecordOutcome =>
  outcomeAt(partition, offset, nth, timestampMs)

/** Empty lists that many requests share; never written to. */
const NO_ROWS: DeliveredRow[] = []
const NO_OUTCOMES: (RecordOutcome | undefined)[] = []

/** The outcomes of the records of one request, in memory or on disk. Makes no promise unless a caller waits for one. */
export abstract class RequestOutcomes {
  /** When the wait for outcomes ends, monotonic milliseconds: a whole one, rounded up. */
  readonly deadlineAt: number
  readonly recordCount: number
  /** Outcomes outside `#whole` and `#rows`; created with the first of them, because most requests need no list. */
  #outcomes = NO_OUTCOMES
  /** All records, when they were delivered in one row. */
  #whole: DeliveredRow | undefined
  /** Rows of delivered records whose outcomes are not in `#outcomes` yet: most callers only ask whether all were delivered. */
  #rows: DeliveredRow[] = NO_ROWS
  /** True: outcomes are listed one by one from now on. */
  #isMixed = false
  #refusals: (RecordFailure | undefined)[] | undefined
  /** Outcomes of records whose callers were told before that it was unknown. */
  #late: Map<number, RecordOutcome> | undefined
  #open: number
  #acceptedPromise: Promise<RefusedRecords> | undefined
  #resolveAccepted: ((refusals: RefusedRecords) => void) | undefined
  #outcomesPromise: Promise<readonly RecordOutcome[]> | undefined
  #resolveOutcomes: ((outcomes: readonly RecordOutcome[]) => void) | undefined
  #onSettled: ((outcomes: readonly RecordOutcome[] | undefined) => void) | undefined
  /** Stops to listen to the signal of its call. */
  #leave: (() => void) | undefined

  constructor(recordCount: number, deadlineAt: number) {
    this.deadlineAt = Math.ceil(deadlineAt)
    this.recordCount = recordCount
    this.#open = recordCount
  }

  get isComplete(): boolean {
    return this.#open === 0
  }

  /** Calls back when the signal is aborted, unless every record has an outcome before. */
  onAbort(signal: AbortSignal, aborted: () => void): void {
    if (!this.isComplete) this.#leave = onAbort(signal, aborted)
  }

  /** Records refused so far. */
  protected get refusals(): RefusedRecords {
    return this.#refusals
  }

  /** Every record is accepted or refused; {@link resolveAccepted} is called when this becomes true. */
  protected abstract get isAccepted(): boolean

  protected resolveAccepted(): void {
    this.#resolveAccepted?.(this.#refusals)
  }

  refuse(index: number, failure: RecordFailure): void {
    this.#refusals ??= new Array(this.recordCount).fill(undefined)
    this.#refusals[index] = failure
    this.settle(index, failure)
  }

  /** The first outcome of a record counts. A batch may be sent after the deadline; its later outcome is ignored. */
  settle(index: number, outcome: RecordOutcome): void {
    this.#listRows()
    this.#isMixed = true
    const known = this.#outcomes[index]
    if (known === undefined) {
      this.#keep(index, outcome)
      this.#settled(1)
    } else this.settledLate(index, outcome)
    if (known?.type === 'failed' && outcome.type === 'delivered') {
      this.#late ??= new Map()
      this.#late.set(index, outcome)
    }
  }

  /** A record has a further outcome, after its wait has ended. */
  protected settledLate(_index: number, _outcome: RecordOutcome): void {}

  /** Like {@link settle}, for consecutive records that were delivered, the first at `offset`. */
  delivered(index: number, count: number, partition: number, offset: number, timestampMs: number): void {
    if (this.#isMixed) {
      for (let nth = 0; nth < count; nth++) this.settle(index + nth, outcomeAt(partition, offset, nth, timestampMs))
      return
    }
    if (count === 1 && this.recordCount > 1) {
      this.#keep(index, outcomeAt(partition, offset, 0, timestampMs))
      this.#settled(1)
      return
    }
    const row = { index, count, partition, offset, timestampMs }
    if (count === this.recordCount) this.#whole = row
    // A list that is created with its first element has space for one; a first push would reserve space for 17.
    else if (this.#rows.length === 0) this.#rows = [row]
    else this.#rows.push(row)
    this.#settled(count, row)
  }

  #settled(records: number, row?: DeliveredRow): void {
    this.#open -= records
    if (this.#open > 0) return
    this.completed(row?.count === this.recordCount ? row : undefined)
    this.#leave?.()
    this.#leave = undefined
    const onSettled = this.#onSettled
    if (onSettled !== undefined) this.#onSettled = told
    onSettled?.(this.#unlessDelivered)
    this.#resolveOutcomes?.(this.#all)
  }

  /**
   * Every record has an outcome now.
   *
   * @param _row that of all records, if they were delivered next to each other
   */
  protected completed(_row: DeliveredRow | undefined): void {}

  #keep(index: number, outcome: RecordOutcome): void {
    if (this.#outcomes === NO_OUTCOMES) this.#outcomes = new Array(this.recordCount)
    this.#outcomes[index] = outcome
  }

  /** Delivered records whose outcomes are not listed. */
  get #deliveredRows(): readonly DeliveredRow[] {
    return this.#whole === undefined ? this.#rows : [this.#whole]
  }

  #listRows(): void {
    const rows = this.#deliveredRows
    if (rows.length === 0) return
    for (const row of rows) for (let nth = 0; nth < row.count; nth++) this.#keep(row.index + nth, outcomeIn(row, nth))
    this.#whole = undefined
    this.#rows = NO_ROWS
    this.#isMixed = true
  }

  get #all(): readonly RecordOutcome[] {
    this.#listRows()
    return this.#outcomes === NO_OUTCOMES ? [] : (this.#outcomes as RecordOutcome[])
  }

  get #unlessDelivered(): readonly RecordOutcome[] | undefined {
    return this.#isMixed ? this.#all : undefined
  }

  protected get isAwaited(): boolean {
    return this.#outcomesPromise !== undefined || this.#onSettled !== undefined
  }

  /** Whether its caller learns of a record that is refused now. A caller that is still in `accept` has asked nothing yet. */
  get isWatched(): boolean {
    return this.isAwaited || this.#acceptedPromise !== undefined
  }

  isSettled(index: number): boolean {
    this.#listRows()
    return this.#outcomes[index] !== undefined
  }

  /** The outcome of a record as it is known now, which may be more than its caller was told at the deadline. */
  latestOutcome(index: number): RecordOutcome | undefined {
    const late = this.#late?.get(index)
    if (late !== undefined) return late
    const row = this.#deliveredRows.find(row => index >= row.index && index < row.index + row.count)
    return row === undefined ? this.#outcomes[index] : outcomeIn(row, index - row.index)
  }

  accepted(): Promise<RefusedRecords> {
    if (this.isAccepted) return Promise.resolve(this.#refusals)
    this.#acceptedPromise ??= new Promise(resolve => (this.#resolveAccepted = resolve))
    return this.#acceptedPromise
  }

  outcomes(): Promise<readonly RecordOutcome[]> {
    this.#outcomesPromise ??= this.isComplete
      ? Promise.resolve(this.#all)
      : new Promise(resolve => (this.#resolveOutcomes = resolve))
    return this.#outcomesPromise
  }

  whenSettled(settled: (outcomes: readonly RecordOutcome[] | undefined) => void, needsEach = false): void {
    const before = this.#onSettled
    const one = needsEach ? (): void => settled(this.#all) : settled
    this.#onSettled = before === undefined ? one : both(before, one)
    if (this.isComplete) one(this.#unlessDelivered)
  }
}

/** Replaces callbacks that were called, so that requests which a receipt keeps do not keep what the callbacks refer to. */
const told = (): void => {}

const both =
  <Value>(one: (value: Value) => void, other: (value: Value) => void): ((value: Value) => void) =>
  value => {
    one(value)
    other(value)
  }

/** The synchronous answer to produce: which records were accepted, and promises of their outcomes. */
export interface PendingProduce {
  /** `undefined`: all accepted. Else one entry per record, `undefined` for an accepted one. */
  readonly refused: RefusedRecords
  /** Some records wait for capacity, and may still be refused; see {@link accepted}. Absent: no record waits. */
  readonly isWaiting?: boolean
  /**
   * Resolves when every record is accepted or refused, and accepted ones are as safe as their `durability` says: in memory at
   * once, on disk when the durable log has synced them. `undefined`: all are accepted. Otherwise one entry per record, also for
   * those that were refused before. A record is refused late when the disk is full or fails, or no capacity was free in time.
   * Never rejects.
   */
  accepted(): Promise<RefusedRecords>
  /** The id to ask with what became of the records; known when {@link accepted} has resolved. Absent: none was given. */
  readonly receipt?: string | undefined
  /** One outcome per record, in order, refused ones included; resolves within the deadline, never rejects. */
  outcomes(): Promise<readonly RecordOutcome[]>
  /**
   * Like `outcomes`, without a promise. Absent: `outcomes` has to be asked.
   *
   * @param settled called once, behind those that were given before; at once if every record has an outcome already. It gets
   * `undefined` if all records were delivered, which costs less for many. It does not throw
   * @param needsEach it always gets the outcomes
   */
  whenSettled?(settled: (outcomes: readonly RecordOutcome[] | undefined) => void, needsEach?: boolean): void
}

/** The records of a request with a key: it may come again, and must not be written twice. */
export interface KeyTag {
  /** Hash of the client and the key, and hash of the request; texts of one byte per character. */
  readonly hash: string
  readonly fingerprint: string
  /** The place among the records of the request of a record of this call. */
  indexOf(at: number): number
  /** A record is in the durable log. */
  stored(index: number, sequence: number): void
  /** The outcome of a record in memory is certain after its request was told that it is unknown. */
  settledLate(at: number, outcome: RecordOutcome): void
}

/** Receives the outcomes of records, each under its index. Times are monotonic milliseconds. */
export interface OutcomeReceiver {
  /** When the wait for outcomes ends; infinite: never. */
  readonly deadlineAt: number
  acceptedAtOf(index: number): number
  /** The outcome as far as it is known. A batch whose outcome was reported as unknown may be sent again. */
  settle(index: number, outcome: RecordOutcome): void
  /** Like `settle`, for consecutive records that were delivered. Absent: they are settled one by one. */
  delivered?(index: number, count: number, partition: number, offset: number, timestampMs: number): void
  /** The final failure of a record that is not known to be in Kafka. It is not sent again. */
  fail(index: number, failure: RecordFailure, topic?: string): void
  isSettled(index: number): boolean
  /**
   * The client was told that the records are accepted, or no caller waits for their outcomes: no answer comes sooner when
   * delivery gives the records up before their time is over. Absent: false.
   */
  readonly isAnswered?: boolean
  /** The trace of the request to which the record belongs, as far as it is known. Absent: there is none. */
  traceOf?(index: number): TraceContext | undefined
  /** The partitioner that has placed the record; `undefined`: the caller named the partition. Absent: records are not moved. */
  partitionerOf?(index: number): Partitioner | undefined
}

/** Records of one request for one partition: those from `from` to `to`, without the latter. */
export interface Row {
  readonly records: readonly ProduceRecord[]
  readonly from: number
  readonly to: number
  readonly timestampMs: number
  readonly pendingProduce: OutcomeReceiver
}

/** How the records of a request are accepted; see `ProduceOptions`. */
export interface Acceptance {
  readonly answeredBy?: string | undefined
  readonly stopsWhereFull?: boolean | undefined
  readonly trace?: TraceContext | undefined
  readonly partitioner?: PartitionerName | PartitionerFunction | undefined
}

const NOT_ANSWERED: Acceptance = {}
/** Named as the API in reports of lost records whose caller did not ask for outcomes. */
export const NOBODY_ASKED = 'library'

/** Keeps what became of requests: it is notified once for each that is delivered. */
export interface DeliverySubscriber {
  /**
   * All records of a request were delivered next to each other.
   *
   * @param number the number of the request there
   */
  delivered(number: number, row: DeliveredRow): void
}

/** The outcomes of one request whose records are in memory. */
export class MemoryPendingProduce extends RequestOutcomes implements PendingProduce, OutcomeReceiver {
  readonly acceptedAt: number
  receipt: string | undefined
  #subscriber: DeliverySubscriber | undefined
  #subscribedAs = 0
  /** Time until which records of the request may wait for capacity; negative infinity: they do not wait. */
  readonly capacityUntil: number
  /** How many unknown topics the request has added. */
  newTopics = 0
  /** Number of unknown topics whose first accepted record came from this request. */
  placesTaken = 0
  /** Number of records that wait for capacity. */
  #waiting = 0
  /** Places of the records that name their partition: the first one, and the one behind the last, of each row. */
  #named: number[] | undefined
  readonly #losses: Losses | undefined
  readonly #acceptance: Acceptance
  readonly #tag: KeyTag | undefined

  /** @param losses counts records that are lost */
  constructor(
    recordCount: number,
    deadlineAt: number,
    acceptedAt = Number.POSITIVE_INFINITY,
    capacityUntil = Number.NEGATIVE_INFINITY,
    losses?: Losses,
    acceptance: Acceptance = NOT_ANSWERED,
    tag?: KeyTag
  ) {
    super(recordCount, deadlineAt)
    this.#losses = losses
    this.#acceptance = acceptance
    this.#tag = tag
    this.capacityUntil = Math.min(capacityUntil, this.deadlineAt)
    this.acceptedAt = acceptedAt
  }

  fail(index: number, failure: RecordFailure, topic?: string): void {
    this.settle(index, failure)
    this.#lostTo(this.#acceptance.answeredBy ?? (this.isAwaited ? undefined : NOBODY_ASKED), failure, topic)
  }

  /** Refuses a record while it is taken. The record is lost if its client was answered before. */
  refuseTaken(index: number, failure: RecordFailure): void {
    this.refuse(index, failure)
    this.#lostTo(this.#answeredBefore, failure)
  }

  /** Refuses a record after it has waited. It is lost if its client was answered before, or its caller does not look. */
  refuseLate(index: number, failure: RecordFailure, topic?: string): void {
    this.refuse(index, failure)
    const isUnseen = this.#acceptance.answeredBy === undefined && !this.isWatched
    this.#lostTo(isUnseen ? NOBODY_ASKED : this.#answeredBefore, failure, topic)
  }

  /** The API that has answered before the call. */
  get #answeredBefore(): string | undefined {
    const { answeredBy, stopsWhereFull } = this.#acceptance
    return stopsWhereFull === true ? answeredBy : undefined
  }

  #lostTo(api: string | undefined, { code, message }: RecordFailure, topic?: string): void {
    // A program that aborts knows.
    if (api !== undefined && code !== 'aborted') this.#losses?.add(api, { code, message, topic })
  }

  /** Notifies it when all records are delivered next to each other. */
  subscribe(subscriber: DeliverySubscriber, number: number): void {
    this.#subscriber = subscriber
    this.#subscribedAs = number
  }

  protected override completed(row: DeliveredRow | undefined): void {
    if (row !== undefined) this.#subscriber?.delivered(this.#subscribedAs, row)
  }

  protected override settledLate(index: number, outcome: RecordOutcome): void {
    this.#tag?.settledLate(index, outcome)
  }

  get refused(): RefusedRecords {
    return this.refusals
  }

  /** No record was accepted, and none waits for capacity. */
  get isRefused(): boolean {
    return this.isComplete && this.refusals?.every(refusal => refusal !== undefined) === true
  }

  get isWaiting(): boolean {
    return this.#waiting > 0
  }

  wait(): void {
    this.#waiting++
  }

  /** One of its records was taken or refused after waiting for capacity. */
  waited(): void {
    if (--this.#waiting === 0) this.resolveAccepted()
  }

  protected override get isAccepted(): boolean {
    return this.#waiting === 0
  }

  get isAnswered(): boolean {
    return this.#acceptance.answeredBy !== undefined || !this.isAwaited
  }

  acceptedAtOf(): number {
    return this.acceptedAt
  }

  /** Records name their partition. Called in their order. */
  names(from: number, to: number): void {
    if (this.#named === undefined) this.#named = [from, to]
    else if (this.#named.at(-1) === from) this.#named[this.#named.length - 1] = to
    else this.#named.push(from, to)
  }

  partitionerOf(index: number): Partitioner | undefined {
    const { partitioner } = this.#acceptance
    const named = this.#named ?? []
    let before = 0
    for (let end = named.length; before < end; ) {
      const middle = (before + end) >> 1
      if (named[middle]! <= index) before = middle + 1
      else end = middle
    }
    // An odd number of ends: the record lies inside a range of records whose partition was named.
    const isNamed = before % 2 === 1
    return partitioner === undefined || isNamed ? undefined : partitionerOf(partitioner)
  }

  traceOf(): TraceContext | undefined {
    return this.#acceptance.trace
  }
}

/** A record that has not reached its partition, and the request that it belongs to. */
export interface Arrival {
  readonly record: ProduceRecord
  readonly partitioner: Partitioner
  readonly timestampMs: number
  readonly pendingProduce: MemoryPendingProduce
  readonly index: number
}
