/**
 * A set of short-lived items, such as waiting requests. V8 gives a `Set` whose members change one table after another,
 * each of which refers to the next: an old table would keep all later ones, with their requests, until the whole heap
 * is collected. `place` belongs to this class.
 */
export class Members<One extends { place: number }> {
  readonly #all: One[] = []

  get size(): number {
    return this.#all.length
  }

  has(one: One): boolean {
    return this.#all[one.place] === one
  }

  /** Adds an item. Must be called once per item. */
  add(one: One): void {
    one.place = this.#all.push(one) - 1
  }

  /** The last one takes its place. Idempotent. */
  delete(one: One): void {
    if (!this.has(one)) return
    const last = this.#all.pop()!
    if (last === one) return
    this.#all[one.place] = last
    last.place = one.place
  }

  /** All at this time. */
  list(): readonly One[] {
    return [...this.#all]
  }
}
