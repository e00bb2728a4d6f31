const FIRST_ROOM = 16

/** A queue that uses its memory again: a list for each burst would be much garbage. It keeps room for the longest so far. */
export class Fifo<Item> {
  /** A ring, whose length is a power of two. */
  #ring = new Array<Item | undefined>(FIRST_ROOM).fill(undefined)
  #first = 0
  #size = 0

  get size(): number {
    return this.#size
  }

  /** `undefined`: it is empty. */
  get first(): Item | undefined {
    return this.#ring[this.#first]
  }

  /** @returns the new size */
  push(item: Item): number {
    if (this.#size === this.#ring.length) this.#grow()
    this.#ring[(this.#first + this.#size) & (this.#ring.length - 1)] = item
    return ++this.#size
  }

  /** Puts items in front of all others, in their order. */
  putBack(items: readonly Item[]): void {
    for (let at = items.length - 1; at >= 0; at--) {
      if (this.#size === this.#ring.length) this.#grow()
      this.#first = (this.#first - 1) & (this.#ring.length - 1)
      this.#ring[this.#first] = items[at]!
      this.#size++
    }
  }

  /** Drops the first item. */
  shift(): void {
    if (this.#size === 0) return
    this.#ring[this.#first] = undefined
    this.#first = (this.#first + 1) & (this.#ring.length - 1)
    this.#size--
  }

  takeAll(): Item[] {
    const items = this.#inOrder().slice(0, this.#size)
    this.#ring.fill(undefined)
    this.#size = 0
    return items as Item[]
  }

  #inOrder(): (Item | undefined)[] {
    return [...this.#ring.slice(this.#first), ...this.#ring.slice(0, this.#first)]
  }

  #grow(): void {
    this.#ring = this.#inOrder().concat(new Array(this.#size).fill(undefined))
    this.#first = 0
  }
}
