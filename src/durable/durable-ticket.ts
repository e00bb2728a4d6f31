import { failures } from '../delivery/failures.js'
import type { ProduceTicket } from '../delivery/ticket.js'
import type { RecordFailure, RecordOutcome } from '../model.js'

type Refusals = readonly (RecordFailure | undefined)[] | undefined

/** One request's records on their way to the disk and to Kafka. No promise is made unless a caller waits. */
export class DurableTicket implements ProduceTicket {
  /** When the wait for outcomes ends, monotonic milliseconds. */
  readonly deadlineAt: number
  readonly #outcomes: (RecordOutcome | undefined)[]
  #refused: (RecordFailure | undefined)[] | undefined
  #refusedAtOnce: Refusals
  #open: number
  #isAccepted = false
  #accepted: ((refused: Refusals) => void) | undefined
  #acceptedPromise: Promise<Refusals> | undefined
  #resolve: ((outcomes: readonly RecordOutcome[]) => void) | undefined
  #promise: Promise<readonly RecordOutcome[]> | undefined

  constructor(recordCount: number, deadlineAt: number) {
    this.deadlineAt = deadlineAt
    this.#outcomes = new Array(recordCount)
    this.#open = recordCount
  }

  get refused(): Refusals {
    return this.#refusedAtOnce
  }

  /** Answers a record that is not kept. */
  refuse(index: number, failure: RecordFailure): void {
    this.#refused ??= new Array(this.#outcomes.length).fill(undefined)
    this.#refused[index] = failure
    this.settle(index, failure)
  }

  /** What is refused from now on is refused late. */
  handedOn(): void {
    this.#refusedAtOnce = this.#refused?.slice()
  }

  /** Every record that was not refused is in the log. */
  stored(): void {
    this.#isAccepted = true
    this.#accepted?.(this.#refused)
  }

  settle(index: number, outcome: RecordOutcome): void {
    if (this.#outcomes[index] !== undefined) return
    this.#outcomes[index] = outcome
    if (--this.#open === 0) this.#resolve?.(this.#outcomes as RecordOutcome[])
  }

  /** Ends the wait: records without an outcome are delivered later, and no caller is told. */
  letGo(why: string): void {
    if (this.#open === 0) return
    const outcome = failures.stillPending(why)
    for (let index = 0; index < this.#outcomes.length; index++) this.settle(index, outcome)
  }

  get isSettled(): boolean {
    return this.#open === 0
  }

  accepted(): Promise<Refusals> {
    this.#acceptedPromise ??= this.#isAccepted
      ? Promise.resolve(this.#refused)
      : new Promise(resolve => (this.#accepted = resolve))
    return this.#acceptedPromise
  }

  outcomes(): Promise<readonly RecordOutcome[]> {
    this.#promise ??=
      this.#open === 0
        ? Promise.resolve(this.#outcomes as RecordOutcome[])
        : new Promise(resolve => (this.#resolve = resolve))
    return this.#promise
  }
}
