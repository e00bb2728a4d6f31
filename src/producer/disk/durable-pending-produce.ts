import type { RecordOutcome } from '../../core/model.js'
import type { TraceContext } from '../../core/tracing/tracing.js'
import { failures } from '../memory/failures.js'
import { type PendingProduce, type Refusals, RequestOutcomes } from '../memory/pending-produce.js'
import type { ReceiptHolder } from '../receipts/receipts.js'

/** The outcomes of one request whose records are written to the log first. */
export class DurablePendingProduce extends RequestOutcomes implements PendingProduce {
  /** The trace of the request. */
  readonly trace: TraceContext | undefined
  /** Gets the receipt of the request. */
  holder: ReceiptHolder | undefined
  #refusedAtOnce: Refusals
  #isStored = false

  constructor(recordCount: number, deadlineAt: number, trace?: TraceContext) {
    super(recordCount, deadlineAt)
    this.trace = trace
  }

  get receipt(): string | undefined {
    return this.holder?.receipt
  }

  get refused(): Refusals {
    return this.#refusedAtOnce
  }

  /** All records were passed to the log: later refusals are reported by `accepted()`. */
  handedOn(): void {
    this.#refusedAtOnce = this.refusals?.slice()
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
    const outcome = failures.stillPending(why)
    for (let index = 0; index < this.recordCount; index++) this.settle(index, outcome)
  }
}

interface Waiter {
  readonly pendingProduce: DurablePendingProduce
  readonly index: number
  readonly destination: string
}

/** Requests that wait until records of the log are in Kafka. Most records have no waiter. */
export class Waiters {
  readonly #bySequence = new Map<number, Waiter>()
  /** Sequences of the records of each request. */
  readonly #pendingProduces = new Map<DurablePendingProduce, number[]>()

  get count(): number {
    return this.#pendingProduces.size
  }

  add(sequence: number, pendingProduce: DurablePendingProduce, index: number, destination = ''): void {
    this.#bySequence.set(sequence, { pendingProduce, index, destination })
    const sequences = this.#pendingProduces.get(pendingProduce)
    if (sequences) sequences.push(sequence)
    else this.#pendingProduces.set(pendingProduce, [sequence])
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
    const sequences = [...this.#bySequence].filter(([, waiter]) => waiter.destination === destination)
    for (const [sequence] of sequences) this.settle(sequence, outcome)
  }

  /** Ends waits whose deadline has passed. */
  tick(nowMs: number, why: () => string): void {
    for (const [pendingProduce, sequences] of this.#pendingProduces)
      if (pendingProduce.deadlineAt <= nowMs) this.#letGo(pendingProduce, sequences, why())
  }

  /** Ends all waits. */
  close(why: string): void {
    for (const [pendingProduce, sequences] of this.#pendingProduces) this.#letGo(pendingProduce, sequences, why)
  }

  #letGo(pendingProduce: DurablePendingProduce, sequences: readonly number[], why: string): void {
    this.#pendingProduces.delete(pendingProduce)
    for (const sequence of sequences) this.#bySequence.delete(sequence)
    pendingProduce.letGo(why)
  }
}
