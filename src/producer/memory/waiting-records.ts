import { ownCopyOf } from '../../core/bytes.js'
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
  #deferred: Arrival[] = []
  /** Bytes held, bookkeeping included. */
  chargedBytes = 0
  /** When {@link expire} will fail a record. */
  earliestDeadlineAt = Number.POSITIVE_INFINITY
  /** The only request with records here; `undefined`: there are several or none. */
  #solePending: MemoryPendingProduce | undefined

  get recordCount(): number {
    return this.#deferred.length
  }

  /** When its oldest record was accepted. */
  get oldestAt(): number {
    return this.#deferred[0]?.pendingProduce.acceptedAt ?? Number.POSITIVE_INFINITY
  }

  /** No record of another request waits here. */
  isOnlyOf(pendingProduce: MemoryPendingProduce): boolean {
    return this.#deferred.length === 0 || this.#solePending === pendingProduce
  }

  /** Copies what the record points to. @returns the bytes to charge to the budget */
  add(deferred: Arrival): number {
    const record = ownCopyOf(deferred.record)
    const charge = roughSizeOf(record) + overheadOf(deferred.index)
    if (!this.isOnlyOf(deferred.pendingProduce)) this.#solePending = undefined
    else if (this.#deferred.length === 0) this.#solePending = deferred.pendingProduce
    this.#deferred.push({ ...deferred, record })
    this.chargedBytes += charge
    this.earliestDeadlineAt = Math.min(this.earliestDeadlineAt, deferred.pendingProduce.deadlineAt)
    return charge
  }

  /** Like {@link add}, for records that came before all others, and own their bytes or are copied. */
  addFirst(arrivals: readonly Arrival[]): number {
    const later = this.takeAll()
    let charge = 0
    for (const arrival of arrivals) charge += this.add(arrival)
    for (const arrival of later) this.add(arrival)
    return charge
  }

  /** Takes all records out, in the order they came. */
  takeAll(): readonly Arrival[] {
    const all = this.#deferred
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
    const leaving = this.#deferred.filter(({ pendingProduce }) => isOver(pendingProduce))
    if (leaving.length === 0) return 0
    const before = this.chargedBytes
    this.#keep(this.#deferred.filter(({ pendingProduce }) => !isOver(pendingProduce)))
    left?.(before - this.chargedBytes, leaving.length)
    for (const one of leaving) fail(one)
    return leaving.length
  }

  #keep(deferred: Arrival[]): void {
    this.#deferred = deferred
    this.chargedBytes = deferred.reduce((sum, { record, index }) => sum + roughSizeOf(record) + overheadOf(index), 0)
    this.earliestDeadlineAt = deferred.reduce(
      (earliest, { pendingProduce }) => Math.min(earliest, pendingProduce.deadlineAt),
      Number.POSITIVE_INFINITY
    )
  }
}

/** Records that wait for capacity, in order: those of a topic that is being looked up, or of a partition. */
export class CapacityLine {
  readonly #hold: (bytes: number) => void
  #arrivals: Arrival[] = []

  /** @param hold called with the bytes that were added or, negative, removed */
  constructor(hold: (bytes: number) => void) {
    this.#hold = hold
  }

  get isEmpty(): boolean {
    return this.#arrivals.length === 0
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
    const stays = this.#arrivals.findIndex(arrival => !enter(arrival))
    const entered = this.#arrivals.splice(0, stays < 0 ? this.#arrivals.length : stays)
    for (const arrival of entered) {
      this.#hold(-sizeOf(arrival))
      arrival.pendingProduce.waited()
    }
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
    const leaving = this.#arrivals.filter(isOver)
    if (leaving.length === 0) return 0
    this.#arrivals = this.#arrivals.filter(arrival => !isOver(arrival))
    let refused = 0
    for (const arrival of leaving) {
      this.#hold(-sizeOf(arrival))
      const failure = enter(arrival)
      if (failure !== undefined) {
        arrival.pendingProduce.refuseLate(arrival.index, failure, arrival.record.topic)
        refused++
      }
      arrival.pendingProduce.waited()
    }
    return refused
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
