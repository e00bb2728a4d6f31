/**
 * Items in the order in which they joined. They join and leave in constant time, wherever they stand. It is no Set, which looks for
 * its first item among all that have left.
 */
export class Line<Item> {
  /** Before the first one, and behind the last one. */
  readonly #ends = new Place<Item>(undefined)

  /** `undefined`: nothing is in the line. */
  get first(): Item | undefined {
    return this.#ends.behind.item
  }

  /** @returns its place, at the end */
  add(item: Item): Place<Item> {
    const place = new Place<Item>(item)
    place.stand(this.#ends)
    return place
  }
}

/** The place of one item in a line. */
export class Place<Item> {
  readonly item: Item | undefined
  before: Place<Item> = this
  behind: Place<Item> = this

  constructor(item: Item | undefined) {
    this.item = item
  }

  stand(before: Place<Item>): void {
    this.behind = before
    this.before = before.before
    this.before.behind = this
    before.before = this
  }

  /** Leaves the line. Idempotent. */
  leave(): void {
    this.before.behind = this.behind
    this.behind.before = this.before
    this.before = this
    this.behind = this
  }
}
