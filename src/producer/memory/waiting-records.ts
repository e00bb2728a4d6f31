import { ownCopyOf } from '../../core/bytes.js'
import { Fifo } from '../../core/fifo.js'
import { getOrAdd } from '../../core/maps.js'
import type { Bytes, ProduceRecord, RecordFailure, RecordHeader } from '../../core/model.js'
import { Shares } from '../../core/shares.js'
import { overheadOf } from './batch.js'
import type { PartitionProducer } from './partition-producer.js'
import type { Arrival, MemoryPendingProduce } from './pending-produce.js'

const lengthOf = (bytes: Bytes): number => (bytes === null ? 0 : bytes.length)

/** Approximate size of a record, without encoding it: each character of a string counts as one byte. */
export const roughSizeOf = ({ key, value, headers }: ProduceRecord): number =>
  lengthOf(key) + lengthOf(value) + (headers === undefined ? 0 : sizeOfHeaders(headers))

const sizeOfHeaders = (headers: readonly RecordHeader[]): number =>
  headers.reduce((sum, { key, value }) => sum + key.length + lengthOf(value), 0)

/** Called with the amount that is no longer held, before callers hear of the outcomes: they may send further records at once. */
type TellLeft = (bytes: number, records: number) => void

/** Records of one topic that wait until its partitions are known, in order. */
export class WaitingRecords {
  readonly #deferred = new Fifo<Arrival>()
  /** Bytes held, bookkeeping included. */
  chargedBytes = 0
  /** When {@link expire} will fail a record. */
  earliestDeadlineAt = Number.POSITIVE_INFINITY
  /** The only request with records here; `undefined`: there are several or none. */
  #solePending: MemoryPendingProduce | undefined

  get recordCount(): number {
    return this.#deferred.size
  }

  /** When its oldest record was accepted. */
  get oldestAt(): number {
    return this.#deferred.first?.pendingProduce.acceptedAt ?? Number.POSITIVE_INFINITY
  }

  /** Whether the request of one of its records was answered. */
  get hasAnswered(): boolean {
    return this.#deferred.some(({ pendingProduce }) => pendingProduce.isAnswered)
  }

  /** No record of another request waits here. */
  isOnlyOf(pendingProduce: MemoryPendingProduce): boolean {
    return this.#deferred.size === 0 || this.#solePending === pendingProduce
  }

  /** Copies what the record points to. @returns the bytes to charge to the budget */
  add(deferred: Arrival): number {
    const record = ownCopyOf(deferred.record)
    const own = { ...deferred, record }
    if (!this.isOnlyOf(deferred.pendingProduce)) this.#solePending = undefined
    else if (this.#deferred.size === 0) this.#solePending = deferred.pendingProduce
    this.#deferred.push(own)
    return this.#charge(own)
  }

  /** Like {@link add}, for records that came before all others, and own their bytes or are copied. */
  addFirst(arrivals: readonly Arrival[]): number {
    const own = arrivals.map(arrival => ({ ...arrival, record: ownCopyOf(arrival.record) }))
    this.#deferred.putBack(own)
    this.#solePending = undefined
    return own.reduce((charge, arrival) => charge + this.#charge(arrival), 0)
  }

  #charge(arrival: Arrival): number {
    const charge = sizeOf(arrival)
    this.chargedBytes += charge
    this.earliestDeadlineAt = Math.min(this.earliestDeadlineAt, arrival.pendingProduce.deadlineAt)
    return charge
  }

  /** Takes the record out that came first. @param left see {@link TellLeft} @returns `undefined`: none waits */
  takeFirst(left: TellLeft): Arrival | undefined {
    const first = this.#deferred.shift()
    if (first === undefined) return undefined
    const charge = sizeOf(first)
    this.chargedBytes -= charge
    left(charge, 1)
    return first
  }

  /** Takes all records out, in the order they came. */
  takeAll(): readonly Arrival[] {
    const all = this.#deferred.takeAll()
    this.#keep([])
    this.#solePending = undefined
    return all
  }

  /** Fails records whose deadline has passed. @param left see {@link TellLeft} @returns how many */
  expire(nowMs: number, failure: RecordFailure, left?: TellLeft): number {
    if (this.earliestDeadlineAt > nowMs) return 0
    const fail = ({ pendingProduce, index, record }: Arrival): void => pendingProduce.fail(index, failure, record.topic)
    return this.#takeOut(({ deadlineAt }) => deadlineAt <= nowMs, fail, left)
  }

  /** Fails the records whose callers wait for outcomes. @param left see {@link TellLeft} @returns how many */
  failAwaited(failure: RecordFailure, left: TellLeft): number {
    const fail = ({ pendingProduce, index, record }: Arrival): void => pendingProduce.fail(index, failure, record.topic)
    return this.#takeOut(({ isAnswered }) => !isAnswered, fail, left)
  }

  /** Fails the records of a request. @param left see {@link TellLeft} @returns how many */
  withdraw(of: MemoryPendingProduce, failure: RecordFailure, left?: TellLeft): number {
    return this.#takeOut(
      pendingProduce => pendingProduce === of,
      ({ index }) => of.fail(index, failure),
      left
    )
  }

  #takeOut(
    isOver: (pendingProduce: MemoryPendingProduce) => boolean,
    fail: (one: Arrival) => void,
    left?: TellLeft
  ): number {
    const all = this.#deferred.takeAll()
    const before = this.chargedBytes
    this.#keep(all.filter(({ pendingProduce }) => !isOver(pendingProduce)))
    const leaving = all.filter(({ pendingProduce }) => isOver(pendingProduce))
    if (leaving.length === 0) return 0
    left?.(before - this.chargedBytes, leaving.length)
    for (const one of leaving) fail(one)
    return leaving.length
  }

  #keep(deferred: readonly Arrival[]): void {
    this.#deferred.putBack(deferred)
    this.chargedBytes = 0
    this.earliestDeadlineAt = Number.POSITIVE_INFINITY
    for (const arrival of deferred) this.#charge(arrival)
  }
}

/** Records that wait for capacity, in order: those of a topic that is being looked up, or of a partition. */
export class CapacityLine {
  readonly #hold: (bytes: number) => void
  readonly #arrivals = new Fifo<Arrival>()

  /** @param hold called with the bytes that were added or, negative, removed */
  constructor(hold: (bytes: number) => void) {
    this.#hold = hold
  }

  get isEmpty(): boolean {
    return this.#arrivals.size === 0
  }

  /** Copies the record. */
  add(arrival: Arrival): void {
    this.#arrivals.push({ ...arrival, record: ownCopyOf(arrival.record) })
    this.#hold(sizeOf(arrival))
    arrival.pendingProduce.wait()
  }

  /** Passes all records to `enter`, in order, and refuses those for which it returns a failure. @returns how many */
  enterAll(enter: (arrival: Arrival) => RecordFailure | undefined): number {
    return this.#takeOut(() => true, enter)
  }

  /** Passes records to `enter`, in order, up to the first that it does not take. */
  enterWhile(enter: (arrival: Arrival) => boolean): void {
    const entered: Arrival[] = []
    for (let first = this.#arrivals.first; first !== undefined && enter(first); first = this.#arrivals.first)
      entered.push(this.#arrivals.shift()!)
    for (const arrival of entered) {
      this.#hold(-sizeOf(arrival))
      arrival.pendingProduce.waited()
    }
  }

  /** Like {@link enterAll}, for the first record alone. @returns whether it was refused; `undefined`: none waits */
  enterFirst(enter: (arrival: Arrival) => RecordFailure | undefined): boolean | undefined {
    const first = this.#arrivals.shift()
    return first === undefined ? undefined : this.#enter(first, enter)
  }

  /** Refuses records whose wait is over. @returns how many */
  refuseOver(nowMs: number, failureOf: (arrival: Arrival) => RecordFailure): number {
    return this.#takeOut(({ pendingProduce }) => pendingProduce.capacityUntil <= nowMs, failureOf)
  }

  /** Refuses the records of a request. @returns how many */
  withdraw(of: MemoryPendingProduce, failure: RecordFailure): number {
    return this.#takeOut(
      ({ pendingProduce }) => pendingProduce === of,
      () => failure
    )
  }

  #takeOut(isOver: (arrival: Arrival) => boolean, enter: (arrival: Arrival) => RecordFailure | undefined): number {
    if (this.isEmpty) return 0
    const all = this.#arrivals.takeAll()
    this.#arrivals.putBack(all.filter(arrival => !isOver(arrival)))
    return all.filter(arrival => isOver(arrival) && this.#enter(arrival, enter)).length
  }

  /** Lets a record in that was taken out of the line. @returns whether it was refused */
  #enter(arrival: Arrival, enter: (arrival: Arrival) => RecordFailure | undefined): boolean {
    this.#hold(-sizeOf(arrival))
    const failure = enter(arrival)
    if (failure !== undefined) arrival.pendingProduce.refuseLate(arrival.index, failure, arrival.record.topic)
    arrival.pendingProduce.waited()
    return failure !== undefined
  }
}

const sizeOf = ({ record, index }: Arrival): number => roughSizeOf(record) + overheadOf(index)

/**
 * Records that wait for capacity in their partition. Their memory is separate from the buffer; a partition may take at most
 * as much of it as remains free.
 */
export class CapacityLines {
  readonly #shares: Shares<PartitionProducer>
  readonly #onEntered: (arrival: Arrival) => void
  readonly #lines = new Map<PartitionProducer, CapacityLine>()
  #isServingSoon = false

  /** @param onEntered called for each record that was taken after it had waited */
  constructor(maxBytes: number, onEntered: (arrival: Arrival) => void) {
    this.#shares = new Shares(maxBytes, 'bytes of records that wait for capacity')
    this.#onEntered = onEntered
  }

  get isEmpty(): boolean {
    return this.#lines.size === 0
  }

  /** Copies the record. False: the memory for waiting records is used up. */
  add(producer: PartitionProducer, arrival: Arrival): boolean {
    if (!this.#shares.allows(producer, sizeOf(arrival))) return false
    const line = getOrAdd(this.#lines, producer, () => new CapacityLine(bytes => this.#shares.change(producer, bytes)))
    line.add(arrival)
    producer.charge.isWaitedFor = true
    return true
  }

  /** Called, often, when partitions may have capacity again. */
  freed(): void {
    if (this.#lines.size === 0 || this.#isServingSoon) return
    this.#isServingSoon = true
    setImmediate(() => {
      this.#isServingSoon = false
      this.#serve()
    })
  }

  /** Moves records into partitions that have capacity. */
  #serve(): void {
    for (const producer of this.#lines.keys())
      this.#change(producer, line => line.enterWhile(arrival => this.#mayEnter(producer, arrival)))
  }

  #mayEnter(producer: PartitionProducer, arrival: Arrival): boolean {
    const { record, timestampMs, pendingProduce, index } = arrival
    if (!producer.charge.allowsNext(roughSizeOf(record), pendingProduce)) return false
    producer.append(record, timestampMs, pendingProduce, index)
    this.#onEntered(arrival)
    return true
  }

  /**
   * Moves records into partitions that have capacity, and refuses those whose wait is over.
   *
   * @returns how many were refused
   */
  tick(nowMs: number, failureOf: (producer: PartitionProducer, bytes: number) => RecordFailure): number {
    this.#serve()
    let refused = 0
    for (const producer of this.#lines.keys()) {
      let failure: RecordFailure | undefined
      const fail = ({ record }: Arrival): RecordFailure => (failure ??= failureOf(producer, roughSizeOf(record)))
      refused += this.#change(producer, line => line.refuseOver(nowMs, fail)) ?? 0
    }
    return refused
  }

  /** Refuses all that wait for a partition. @returns how many */
  close(producer: PartitionProducer, failure: RecordFailure): number {
    return this.#change(producer, line => line.enterAll(() => failure)) ?? 0
  }

  /** Refuses the records of a request. @returns how many */
  withdraw(producer: PartitionProducer, of: MemoryPendingProduce, failure: RecordFailure): number {
    return this.#change(producer, line => line.withdraw(of, failure)) ?? 0
  }

  /** @returns what `change` returns; `undefined`: nothing waits for the partition */
  #change<Result>(producer: PartitionProducer, change: (line: CapacityLine) => Result): Result | undefined {
    const line = this.#lines.get(producer)
    if (line === undefined) return undefined
    const result = change(line)
    // A caller that has heard of its records may have sent others: those wait in another line if this one was left.
    if (line.isEmpty && this.#lines.get(producer) === line) {
      producer.charge.isWaitedFor = false
      this.#lines.delete(producer)
    }
    return result
  }
}
