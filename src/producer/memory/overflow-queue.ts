import type { RecordFailure } from '../../core/model.js'
import { overheadOf } from './batch.js'
import { type Arrival, ownCopyOf, roughSizeOf } from './waiting-records.js'

/** Records of one topic for which there was no room among those that wait for its partitions, in the order in which they came. */
export class OverflowQueue {
  readonly #onHeld: (bytes: number) => void
  #arrivals: Arrival[] = []

  /** @param onHeld told of bytes that came or, negative, went */
  constructor(onHeld: (bytes: number) => void) {
    this.#onHeld = onHeld
  }

  get isEmpty(): boolean {
    return this.#arrivals.length === 0
  }

  /** Copies the record. */
  add(arrival: Arrival): void {
    this.#arrivals.push({ ...arrival, record: ownCopyOf(arrival.record) })
    this.#onHeld(sizeOf(arrival))
    arrival.pendingProduce.wait()
  }

  /** Gives all to `enter`, in order; what it gives a failure for is refused. @returns how many were refused */
  enterAll(enter: (arrival: Arrival) => RecordFailure | undefined): number {
    return this.#takeOut(() => true, enter)
  }

  /** Refuses those that have waited long enough. @returns how many */
  refuseOver(nowMs: number, failure: () => RecordFailure): number {
    return this.#takeOut(({ pendingProduce }) => pendingProduce.capacityUntil <= nowMs, failure)
  }

  #takeOut(isOver: (arrival: Arrival) => boolean, enter: (arrival: Arrival) => RecordFailure | undefined): number {
    const leaving = this.#arrivals.filter(isOver)
    if (leaving.length === 0) return 0
    this.#arrivals = this.#arrivals.filter(arrival => !isOver(arrival))
    let refused = 0
    for (const arrival of leaving) {
      this.#onHeld(-sizeOf(arrival))
      const failure = enter(arrival)
      if (failure !== undefined) {
        arrival.pendingProduce.refuseLate(arrival.index, failure, arrival.record.topic)
        refused++
      }
      arrival.pendingProduce.waited()
    }
    return refused
  }
}

const sizeOf = ({ record, index }: Arrival): number => roughSizeOf(record) + overheadOf(index)
