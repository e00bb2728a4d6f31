/**
 * What is open, each for a short time: requests that wait. It is no Set, since V8 gives a Set whose members change a new table
 * again and again. Each table points to the next one. So one that has got old keeps all tables behind it, and the requests that
 * were in them, until the whole heap is collected. `place` is set here.
 */
export class Members<One extends { place: number }> {
  readonly #all: One[] = []

  get size(): number {
    return this.#all.length
  }

  has(one: One): boolean {
    return this.#all[one.place] === one
  }

  /** To be called once for each. */
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
