import { addTo } from '../../core/maps.js'
import type { Logger, RecordFailure, RecordOutcome } from '../../core/model.js'
import type { TraceContext } from '../../core/tracing/tracing.js'
import { kafkaErrorOf } from '../../kafka/error-codes.js'
import type { LoggedRecords } from '../keys/logged-records.js'
import type { StoredEntry } from '../log/entry.js'
import { failures } from '../memory/failures.js'
import { type PendingProduce, type RefusedRecords, RequestOutcomes } from '../memory/pending-produce.js'
import type { ReceiptHolder } from '../receipts/receipts.js'
import type { OpenedBacklog } from './durable-backlog.js'

/** The outcomes of one request whose records are written to the log first. */
export class DurablePendingProduce extends RequestOutcomes implements PendingProduce {
  /** The trace of the request. */
  readonly trace: TraceContext | undefined
  /** Gets the receipt of the request. */
  holder: ReceiptHolder | undefined
  refused: RefusedRecords
  #isStored = false
  /** The signal of its call was aborted. */
  isAborted = false

  constructor(recordCount: number, deadlineAt: number, trace?: TraceContext) {
    super(recordCount, deadlineAt)
    this.trace = trace
  }

  get receipt(): string | undefined {
    return this.holder?.receipt
  }

  /** All records were passed to the log: later refusals are reported by `accepted()`. */
  passedToLog(): void {
    this.refused = this.refusals?.slice()
  }

  /** Every record is in the log or refused. */
  stored(): void {
    this.#isStored = true
    this.resolveAccepted()
  }

  protected override get isAccepted(): boolean {
    return this.#isStored
  }

  /** Ends the wait: records without an outcome are delivered later, and their caller is not notified. */
  letGo(why: string): void {
    if (this.isComplete) return
    const outcome = failures.stillPending(why, this.isAborted ? 'aborted' : undefined)
    for (let index = 0; index < this.recordCount; index++) this.settle(index, outcome)
  }
}

interface AwaitedRecord {
  readonly pendingProduce: DurablePendingProduce
  readonly index: number
  readonly destination: string
}

/** Records of the log whose requests wait for outcomes. Most requests do not wait. */
class AwaitedRecords {
  readonly #bySequence = new Map<number, AwaitedRecord>()
  /** Sequences of the records of each request. */
  readonly #pendingProduces = new Map<DurablePendingProduce, number[]>()

  add(sequence: number, pendingProduce: DurablePendingProduce, index: number, destination: string): void {
    this.#bySequence.set(sequence, { pendingProduce, index, destination })
    addTo(this.#pendingProduces, pendingProduce, sequence)
  }

  /** The trace of the request that waits for the record. */
  traceOf(sequence: number): TraceContext | undefined {
    return this.#bySequence.get(sequence)?.pendingProduce.trace
  }

  settle(sequence: number, outcome: RecordOutcome): void {
    const waiter = this.#bySequence.get(sequence)
    if (waiter === undefined) return
    this.#bySequence.delete(sequence)
    waiter.pendingProduce.settle(waiter.index, outcome)
    if (waiter.pendingProduce.isComplete) this.#pendingProduces.delete(waiter.pendingProduce)
  }

  /** Ends the waits for all records of a destination. */
  settleAll(destination: string, outcome: RecordOutcome): void {
    for (const [sequence, waiter] of [...this.#bySequence])
      if (waiter.destination === destination) this.settle(sequence, outcome)
  }

  /** Ends the wait of a request. */
  leave(pendingProduce: DurablePendingProduce, why: string): void {
    for (const sequence of this.#pendingProduces.get(pendingProduce) ?? []) this.#bySequence.delete(sequence)
    if (this.#pendingProduces.delete(pendingProduce)) pendingProduce.letGo(why)
  }

  /** Ends waits whose deadline has passed; infinite: all. */
  end(nowMs: number, why: () => string): void {
    for (const pendingProduce of this.#pendingProduces.keys()) {
      if (pendingProduce.deadlineAt <= nowMs) this.leave(pendingProduce, why())
    }
  }
}

export interface RecordOutcomesOptions {
  readonly log: Logger
  /** The log is open before any record has an outcome. */
  readonly opened: () => Pick<OpenedBacklog, 'wal'>
  /** Epoch milliseconds. */
  readonly now: () => number
  /** The records of requests with a key. Absent: no request has one. */
  readonly keys?: LoggedRecords | undefined
}

/**
 * Ends the life of records in the durable log: delivered ones are completed, refused ones become dead letters. Notifies
 * the requests that wait.
 */
export class RecordOutcomes {
  readonly waiters = new AwaitedRecords()
  readonly #options: RecordOutcomesOptions
  /** Dead letters of which their partitions were not notified yet. */
  readonly #untold = new Set<number>()
  /** Dead letters that were made. */
  deadLetters = 0

  constructor(options: RecordOutcomesOptions) {
    this.#options = options
  }

  /** Kafka has the record: the log need not keep it. */
  delivered(destination: string, sequence: number, outcome: RecordOutcome & { type: 'delivered' }): void {
    this.#options.keys?.settled(sequence, outcome)
    this.#options.opened().wal.delivered(destination, sequence, outcome)
    this.waiters.settle(sequence, outcome)
  }

  /** Records of the topic stay in the log until Kafka permits writing to it. Requests need not wait for that. */
  refused(topic: string, destination: string, failure: RecordFailure): void {
    const { code, message } = failure
    const text = `records stay in the durable log, because kafka refuses to take them: ${message}`
    this.#options.log.warn({ topic, code }, text)
    this.waiters.settleAll(destination, { ...failure, persisted: 'pending' })
  }

  /**
   * Makes a dead letter of a record that Kafka refuses for good. False: that failed, and the record stays in the log.
   */
  async deadLetter(sequence: number, failure: RecordFailure): Promise<boolean> {
    try {
      return await this.#deadLetter(sequence, failure)
    } catch (error) {
      this.#options.log.error({ err: error, sequence }, 'a record that Kafka refuses could not become a dead letter')
      return false
    }
  }

  /**
   * Notifies the request that waits for the record that it is a dead letter. False: it could not be made a dead letter
   * and must be sent again.
   */
  settleDeadLetter(sequence: number, failure: RecordFailure): boolean {
    if (!this.#untold.delete(sequence)) return false
    this.#options.keys?.settled(sequence, failure)
    this.waiters.settle(sequence, failure)
    return true
  }

  async #deadLetter(sequence: number, failure: RecordFailure): Promise<boolean> {
    const entry = await this.#entryAt(sequence)
    const code = failure.errorCode === undefined ? failure.code : kafkaErrorOf(failure.errorCode).name
    const fields = { destination: entry?.destination, sequence, code }
    const { log, opened, now } = this.#options
    const { message, persisted } = failure
    const refusal = entry && (await opened().wal.deadLetter(entry, { code, message, diedAtMs: now(), persisted }))
    if (refusal !== undefined) {
      log.error(
        fields,
        `a record that Kafka refuses stops its partition, because it could not become a dead letter: ${refusal.message}`
      )
      return false
    }
    this.#untold.add(sequence)
    this.deadLetters++
    log.error(fields, `a record is a dead letter now: ${failure.message}; castellan wal dead-letters lists them`)
    return true
  }

  /** `undefined`: the entry is completed, set aside, or was lost to damage. */
  async #entryAt(sequence: number): Promise<StoredEntry | undefined> {
    const { entries } = await this.#options.opened().wal.read({ fromSequence: sequence, maxBytes: 1 })
    return entries.find(entry => entry.sequence === sequence)
  }
}
