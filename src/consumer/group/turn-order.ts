/**
 * Numbers that take turns in ascending order, from the one behind the last: of 2, 5 and 7 the turn after 5 is that of 7, the
 * one after 7 that of 2.
 */
export class TurnOrder {
  /** Ascending. */
  readonly #members: number[] = []

  add(member: number): void {
    const at = this.#indexOf(member)
    if (this.#members[at] !== member) this.#members.splice(at, 0, member)
  }

  delete(member: number): void {
    const at = this.#indexOf(member)
    if (this.#members[at] === member) this.#members.splice(at, 1)
  }

  /** Whose turn it is after `last`, which may be the same one again; `undefined`: there is none. */
  after(last: number): number | undefined {
    return this.#members[this.#indexOf(last + 1)] ?? this.#members[0]
  }

  /** Where the member is, or would be. */
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
