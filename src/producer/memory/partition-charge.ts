import type { PartitionBudget } from './budget.js'
import type { OutcomeReceiver } from './pending-produce.js'

/** What one partition holds of the buffer, bookkeeping included, and whether it may hold more. */
export class PartitionCharge {
  readonly #budget: PartitionBudget
  readonly #maxBytes: number
  #bytes = 0
  #isStuck = false
  /** Records wait for room in the partition: none that comes now may go before them. */
  isWaitedFor = false
  /** The request that everything held belongs to, if there is one. */
  #solePending: OutcomeReceiver | undefined

  /** @param maxBytes the share of a partition */
  constructor(budget: PartitionBudget, maxBytes: number) {
    this.#budget = budget
    this.#maxBytes = maxBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  get isStuck(): boolean {
    return this.#isStuck
  }

  /** May take a record that comes now. */
  allows(bytes: number, pendingProduce: OutcomeReceiver): boolean {
    return !this.isWaitedFor && this.allowsNext(bytes, pendingProduce)
  }

  /**
   * May take the first record of those that wait: its share of the buffer is not used up, or the partition was empty when the
   * record's request came, since one request within the limits is not refused while there is room. A partition that is stuck
   * shares a part of the buffer with all others that are.
   */
  allowsNext(bytes: number, pendingProduce: OutcomeReceiver): boolean {
    if (!this.#budget.hasCapacity(bytes)) return false
    if (this.#isStuck && !this.#budget.mayStick(bytes)) return false
    if (this.#bytes + bytes <= this.#budget.shareOf(this.#maxBytes)) return true
    return (this.#bytes === 0 || this.#solePending === pendingProduce) && this.#budget.hasSpare(bytes)
  }

  /** A record of a request came. */
  take(bytes: number, pendingProduce: OutcomeReceiver): void {
    if (this.#bytes === 0) this.#solePending = pendingProduce
    else if (this.#solePending !== pendingProduce) this.#solePending = undefined
    this.hold(bytes, 1)
  }

  /** Bytes and records came or, negative, went. */
  hold(bytes: number, records: number): void {
    this.#bytes += bytes
    this.#budget.hold(bytes, records)
    if (this.#isStuck) this.#budget.stick(bytes)
  }

  /** Nothing is held any more. */
  emptied(): void {
    this.#solePending = undefined
    this.setStuck(false)
  }

  /** What is held waits for something that may not come soon, or, false, it moves again. */
  setStuck(isStuck: boolean): void {
    if (isStuck === this.#isStuck) return
    this.#isStuck = isStuck
    this.#budget.stick(isStuck ? this.#bytes : -this.#bytes)
  }
}
