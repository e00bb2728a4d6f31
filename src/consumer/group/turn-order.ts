import type { Offset } from '../../core/model.js'

/** The demand for messages of a topic, for its partitions. */
export interface Demand {
  /** True while a request waits for a message. */
  isOpen(): boolean
  /** Called by a partition that has prefetched a message. */
  prefetched(): void
  /** Called by a partition that is idle until it is notified that a message is wanted. */
  idle(): void
  /** Called by a partition whose log has lost so many records before they were offered, or whose batches are damaged. */
  lost(from: Offset, to: Offset, records: number): void
}

/** Numbers that take turns in ascending order. With 2, 5 and 7: 7 comes after 5, and 2 comes after 7. */
export class TurnOrder {
  /** The numbers in ascending order. */
  readonly #members: number[] = []

  /** All members in ascending order. */
  get all(): readonly number[] {
    return this.#members
  }

  add(member: number): void {
    const at = this.#indexOf(member)
    if (this.#members[at] !== member) this.#members.splice(at, 0, member)
  }

  delete(member: number): void {
    const at = this.#indexOf(member)
    if (this.#members[at] === member) this.#members.splice(at, 1)
  }

  /**
   * The number that comes after `last`. It is `last` itself when there is no other number. `undefined`: there are no
   * numbers.
   */
  after(last: number): number | undefined {
    return this.#members[this.#indexOf(last + 1)] ?? this.#members[0]
  }

  /** The index of the number, or the index at which it would be inserted. */
  #indexOf(member: number): number {
    let low = 0
    let high = this.#members.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#members[middle]! < member) low = middle + 1
      else high = middle
    }
    return low
  }
}
