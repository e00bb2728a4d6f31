import { failures } from '../memory/failures.js'
import type { PendingProduce } from '../memory/pending-produce.js'
import { type Refusals, RequestOutcomes } from '../memory/request-outcomes.js'

/** One request's records on their way to the disk and to Kafka. */
export class DurablePendingProduce extends RequestOutcomes implements PendingProduce {
  #refusedAtOnce: Refusals
  #isStored = false

  get refused(): Refusals {
    return this.#refusedAtOnce
  }

  /** What is refused from now on is refused late. */
  handedOn(): void {
    this.#refusedAtOnce = this.refusals?.slice()
  }

  /** Every record that was not refused is in the log. */
  stored(): void {
    this.#isStored = true
    this.resolveAccepted()
  }

  protected override get isAccepted(): boolean {
    return this.#isStored
  }

  /** Ends the wait: records without an outcome are delivered later, and no caller is told. */
  letGo(why: string): void {
    if (this.isComplete) return
    const outcome = failures.stillPending(why)
    for (let index = 0; index < this.recordCount; index++) this.settle(index, outcome)
  }
}
