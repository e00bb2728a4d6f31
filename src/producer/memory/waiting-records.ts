import type { Bytes, ProduceRecord, RecordFailure, RecordHeader } from '../../core/model.js'
import { overheadOf } from './batch.js'
import type { Partitioner } from './partitioners.js'
import type { MemoryTicket } from './pending-produce.js'

/** A record on its way in: who waits for it and as what. */
export interface Arrival {
  readonly record: ProduceRecord
  readonly partitioner: Partitioner
  readonly timestampMs: number
  readonly ticket: MemoryTicket
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
export class ParkedRecords {
  #parked: Arrival[] = []
  #bytes = 0
  #earliestDeadlineAt = Number.POSITIVE_INFINITY
  /** The request that all records belong to, if there is one. */
  #soleTicket: MemoryTicket | undefined

  get recordCount(): number {
    return this.#parked.length
  }

  /** When the oldest of its records was accepted. */
  get oldestAt(): number {
    return this.#parked[0]?.ticket.acceptedAt ?? Number.POSITIVE_INFINITY
  }

  /** Bytes held, bookkeeping included. */
  get chargedBytes(): number {
    return this.#bytes
  }

  /** No record of another request waits here. */
  isOnlyOf(ticket: MemoryTicket): boolean {
    return this.#parked.length === 0 || this.#soleTicket === ticket
  }

  /** Copies what the record points to. @returns the bytes to charge */
  add(parked: Arrival): number {
    const record = ownCopyOf(parked.record)
    const charge = roughSizeOf(record) + overheadOf(parked.index)
    if (!this.isOnlyOf(parked.ticket)) this.#soleTicket = undefined
    else if (this.#parked.length === 0) this.#soleTicket = parked.ticket
    this.#parked.push({ ...parked, record })
    this.#bytes += charge
    this.#earliestDeadlineAt = Math.min(this.#earliestDeadlineAt, parked.ticket.deadlineAt)
    return charge
  }

  /** Takes all records out, in the order they came. */
  takeAll(): readonly Arrival[] {
    const all = this.#parked
    this.#keep([])
    this.#soleTicket = undefined
    return all
  }

  /** Sends those away whose deadline is over. @returns how many */
  expire(nowMs: number, failure: RecordFailure): number {
    if (this.#earliestDeadlineAt > nowMs) return 0
    const before = this.#parked.length
    for (const { ticket, index, record } of this.#parked) {
      if (ticket.deadlineAt <= nowMs) ticket.fail(index, failure, record.topic)
    }
    this.#keep(this.#parked.filter(parked => parked.ticket.deadlineAt > nowMs))
    return before - this.#parked.length
  }

  #keep(parked: Arrival[]): void {
    this.#parked = parked
    this.#bytes = parked.reduce((sum, { record, index }) => sum + roughSizeOf(record) + overheadOf(index), 0)
    this.#earliestDeadlineAt = parked.reduce(
      (earliest, { ticket }) => Math.min(earliest, ticket.deadlineAt),
      Number.POSITIVE_INFINITY
    )
  }
}
