import type { RecordOutcome } from '../../core/model.js'
import type { DurableTicket } from './durable-pending-produce.js'

interface Waiter {
  readonly ticket: DurableTicket
  readonly index: number
  readonly destination: string
}

/** Who waits until records of the log are in Kafka. Most records have no waiter. */
export class Waiters {
  readonly #bySequence = new Map<number, Waiter>()
  /** With the sequences of their records. */
  readonly #tickets = new Map<DurableTicket, number[]>()

  get count(): number {
    return this.#tickets.size
  }

  add(sequence: number, ticket: DurableTicket, index: number, destination = ''): void {
    this.#bySequence.set(sequence, { ticket, index, destination })
    const sequences = this.#tickets.get(ticket)
    if (sequences) sequences.push(sequence)
    else this.#tickets.set(ticket, [sequence])
  }

  settle(sequence: number, outcome: RecordOutcome): void {
    const waiter = this.#bySequence.get(sequence)
    if (waiter === undefined) return
    this.#bySequence.delete(sequence)
    waiter.ticket.settle(waiter.index, outcome)
    if (waiter.ticket.isComplete) this.#tickets.delete(waiter.ticket)
  }

  /** Ends the waits for all records of a destination. */
  settleAll(destination: string, outcome: RecordOutcome): void {
    const sequences = [...this.#bySequence].filter(([, waiter]) => waiter.destination === destination)
    for (const [sequence] of sequences) this.settle(sequence, outcome)
  }

  /** Ends the waits whose time is over. */
  tick(nowMs: number, why: () => string): void {
    for (const [ticket, sequences] of this.#tickets)
      if (ticket.deadlineAt <= nowMs) this.#letGo(ticket, sequences, why())
  }

  /** Ends all waits. */
  close(why: string): void {
    for (const [ticket, sequences] of this.#tickets) this.#letGo(ticket, sequences, why)
  }

  #letGo(ticket: DurableTicket, sequences: readonly number[], why: string): void {
    this.#tickets.delete(ticket)
    for (const sequence of sequences) this.#bySequence.delete(sequence)
    ticket.letGo(why)
  }
}
