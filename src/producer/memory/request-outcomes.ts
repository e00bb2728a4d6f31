import type { RecordFailure, RecordOutcome } from '../../core/model.js'

/** One entry per record of a request, `undefined` for one that was not refused; `undefined`: none was. */
export type Refusals = readonly (RecordFailure | undefined)[] | undefined

/**
 * What became of the records of one request: what pending produces of records in memory and of records on disk have in common. No
 * promise is made unless a caller waits, and never more than one of a kind.
 */
export abstract class RequestOutcomes {
  /** When the wait for outcomes ends, monotonic milliseconds. */
  readonly deadlineAt: number
  readonly #outcomes: (RecordOutcome | undefined)[]
  #refusals: (RecordFailure | undefined)[] | undefined
  #open: number
  #acceptedPromise: Promise<Refusals> | undefined
  #resolveAccepted: ((refusals: Refusals) => void) | undefined
  #outcomesPromise: Promise<readonly RecordOutcome[]> | undefined
  #resolveOutcomes: ((outcomes: readonly RecordOutcome[]) => void) | undefined

  constructor(recordCount: number, deadlineAt: number) {
    this.deadlineAt = deadlineAt
    this.#outcomes = new Array(recordCount)
    this.#open = recordCount
  }

  get recordCount(): number {
    return this.#outcomes.length
  }

  /** Every record has its outcome. */
  get isComplete(): boolean {
    return this.#open === 0
  }

  /** Records refused so far. */
  protected get refusals(): Refusals {
    return this.#refusals
  }

  /** No record waits any more to be accepted or refused; {@link resolveAccepted} is called when this becomes true. */
  protected abstract get isAccepted(): boolean

  protected resolveAccepted(): void {
    this.#resolveAccepted?.(this.#refusals)
  }

  /** Settles a record that is not accepted. */
  refuse(index: number, failure: RecordFailure): void {
    this.#refusals ??= new Array(this.#outcomes.length).fill(undefined)
    this.#refusals[index] = failure
    this.settle(index, failure)
  }

  /** The first outcome counts; a later one, of a batch that outlived its waiters, is dropped. */
  settle(index: number, outcome: RecordOutcome): void {
    if (this.#outcomes[index] !== undefined) return
    this.#outcomes[index] = outcome
    if (--this.#open === 0) this.#resolveOutcomes?.(this.#outcomes as RecordOutcome[])
  }

  /** A caller has asked for the outcomes. */
  protected get isAwaited(): boolean {
    return this.#outcomesPromise !== undefined
  }

  isSettled(index: number): boolean {
    return this.#outcomes[index] !== undefined
  }

  accepted(): Promise<Refusals> {
    if (this.isAccepted) return Promise.resolve(this.#refusals)
    this.#acceptedPromise ??= new Promise(resolve => (this.#resolveAccepted = resolve))
    return this.#acceptedPromise
  }

  outcomes(): Promise<readonly RecordOutcome[]> {
    this.#outcomesPromise ??= this.isComplete
      ? Promise.resolve(this.#outcomes as RecordOutcome[])
      : new Promise(resolve => (this.#resolveOutcomes = resolve))
    return this.#outcomesPromise
  }
}
