import type { Bytes, ProduceRecord, RecordFailure, RecordHeader } from '../../core/model.js'
import { overheadOf } from './batch.js'
import type { Partitioner } from './partitioners.js'
import type { MemoryPendingProduce } from './pending-produce.js'

/** A record on its way in: who waits for it and as what. */
export interface Arrival {
  readonly record: ProduceRecord
  readonly partitioner: Partitioner
  readonly timestampMs: number
  readonly pendingProduce: MemoryPendingProduce
  readonly index: number
}

const lengthOf = (bytes: Bytes): number => (bytes === null ? 0 : bytes.length)

/** Bytes of a record as far as they can be told without encoding it: characters of a string count as one. */
export const roughSizeOf = ({ key, value, headers }: ProduceRecord): number =>
  lengthOf(key) + lengthOf(value) + (headers === undefined ? 0 : sizeOfHeaders(headers))

const sizeOfHeaders = (headers: readonly RecordHeader[]): number =>
  headers.reduce((sum, { key, value }) => sum + key.length + lengthOf(value), 0)

const copyOf = <T extends Bytes>(bytes: T): T => (Buffer.isBuffer(bytes) ? (Buffer.from(bytes) as T) : bytes)
/** A copy of a record with bytes of its own. */
export const ownCopyOf = (record: ProduceRecord): ProduceRecord => ({
  ...record,
  key: copyOf(record.key),
  value: copyOf(record.value),
  headers: record.headers?.map(copyOfHeader)
})
const copyOfHeader = ({ key, value }: RecordHeader): RecordHeader => ({ key, value: copyOf(value) })

/** Records of one topic whose partitions are not known, in the order they came. */
export class WaitingRecords {
  #deferred: Arrival[] = []
  #bytes = 0
  #earliestDeadlineAt = Number.POSITIVE_INFINITY
  /** The request that all records belong to, if there is one. */
  #solePending: MemoryPendingProduce | undefined

  get recordCount(): number {
    return this.#deferred.length
  }

  /** When the oldest of its records was accepted. */
  get oldestAt(): number {
    return this.#deferred[0]?.pendingProduce.acceptedAt ?? Number.POSITIVE_INFINITY
  }

  /** Bytes held, bookkeeping included. */
  get chargedBytes(): number {
    return this.#bytes
  }

  /** No record of another request waits here. */
  isOnlyOf(pendingProduce: MemoryPendingProduce): boolean {
    return this.#deferred.length === 0 || this.#solePending === pendingProduce
  }

  /** Copies what the record points to. @returns the bytes to charge */
  add(deferred: Arrival): number {
    const record = ownCopyOf(deferred.record)
    const charge = roughSizeOf(record) + overheadOf(deferred.index)
    if (!this.isOnlyOf(deferred.pendingProduce)) this.#solePending = undefined
    else if (this.#deferred.length === 0) this.#solePending = deferred.pendingProduce
    this.#deferred.push({ ...deferred, record })
    this.#bytes += charge
    this.#earliestDeadlineAt = Math.min(this.#earliestDeadlineAt, deferred.pendingProduce.deadlineAt)
    return charge
  }

  /** Takes all records out, in the order they came. */
  takeAll(): readonly Arrival[] {
    const all = this.#deferred
    this.#keep([])
    this.#solePending = undefined
    return all
  }

  /** Sends those away whose deadline is over. @returns how many */
  expire(nowMs: number, failure: RecordFailure): number {
    if (this.#earliestDeadlineAt > nowMs) return 0
    const before = this.#deferred.length
    for (const { pendingProduce, index, record } of this.#deferred) {
      if (pendingProduce.deadlineAt <= nowMs) pendingProduce.fail(index, failure, record.topic)
    }
    this.#keep(this.#deferred.filter(deferred => deferred.pendingProduce.deadlineAt > nowMs))
    return before - this.#deferred.length
  }

  #keep(deferred: Arrival[]): void {
    this.#deferred = deferred
    this.#bytes = deferred.reduce((sum, { record, index }) => sum + roughSizeOf(record) + overheadOf(index), 0)
    this.#earliestDeadlineAt = deferred.reduce(
      (earliest, { pendingProduce }) => Math.min(earliest, pendingProduce.deadlineAt),
      Number.POSITIVE_INFINITY
    )
  }
}
