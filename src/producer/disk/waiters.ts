import type { RecordOutcome } from '../../core/model.js'
import type { DurablePendingProduce } from './durable-pending-produce.js'

interface Waiter {
  readonly pendingProduce: DurablePendingProduce
  readonly index: number
  readonly destination: string
}

/** Who waits until records of the log are in Kafka. Most records have no waiter. */
export class Waiters {
  readonly #bySequence = new Map<number, Waiter>()
  /** With the sequences of their records. */
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

  /** Ends the waits whose time is over. */
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
