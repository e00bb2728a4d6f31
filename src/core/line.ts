/**
 * Items in the order in which they joined. They join and leave in constant time, wherever they stand. A Set would be worse: to find
 * its first item, it steps over all that have left; and its former tables, once they count as old objects, keep what they had alive
 * until the whole heap is collected.
 */
export class Line<Item> {
  /** The place before the first item and behind the last one. */
  readonly #ends = new LinePlace<Item>(undefined)

  /** `undefined`: nothing is in the line. */
  get first(): Item | undefined {
    return this.#ends.behind.item
  }

  get all(): Item[] {
    const all: Item[] = []
    for (let place = this.#ends.behind; place !== this.#ends; place = place.behind) all.push(place.item!)
    return all
  }

  /** `undefined`: nothing is in the line. */
  get firstPlace(): LinePlace<Item> | undefined {
    const { behind } = this.#ends
    return behind === this.#ends ? undefined : behind
  }

  /** @returns its place, at the end */
  add(item: Item): LinePlace<Item> {
    return this.put(new LinePlace<Item>(item))
  }

  /** @param place is in no line. It gets the end */
  put<Place extends LinePlace<Item>>(place: Place): Place {
    place.stand(this.#ends)
    return place
  }
}

/** The place of one item in a line. */
export class LinePlace<Item> {
  readonly item: Item | undefined
  before: LinePlace<Item> = this
  behind: LinePlace<Item> = this

  constructor(item: Item | undefined) {
    this.item = item
  }

  stand(before: LinePlace<Item>): void {
    this.behind = before
    this.before = before.before
    this.before.behind = this
    before.before = this
  }

  /** Leaves the line. @returns false: it stood in none */
  leave(): boolean {
    if (this.behind === this) return false
    this.before.behind = this.behind
    this.behind.before = this.before
    this.before = this
    this.behind = this
    return true
  }
}
