/** A queue that uses its memory again: a list for each burst would be much garbage. It keeps memory for the longest so far. */
export class Fifo<Item> {
  /** A ring, whose length is a power of two. */
  #ring: (Item | undefined)[] = [undefined]
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
    if (this.#size === this.#ring.length) {
      const items = this.takeAll()
      this.#ring = [...items, ...items.map(() => undefined)]
      this.#first = 0
      this.#size = items.length
    }
    this.#ring[(this.#first + this.#size) & (this.#ring.length - 1)] = item
    return ++this.#size
  }

  shift(): Item | undefined {
    if (this.#size === 0) return undefined
    const { first } = this
    this.#ring[this.#first] = undefined
    this.#first = (this.#first + 1) & (this.#ring.length - 1)
    this.#size--
    return first
  }

  some(matches: (item: Item) => boolean): boolean {
    for (let at = 0; at < this.#size; at++)
      if (matches(this.#ring[(this.#first + at) & (this.#ring.length - 1)]!)) return true
    return false
  }

  takeAll(): Item[] {
    const items: Item[] = []
    for (; this.#size > 0; this.shift()) items.push(this.first!)
    return items
  }

  /** Puts items in front of all others, in their order. */
  putBack(items: readonly Item[]): void {
    if (items.length > 0) for (const item of [...items, ...this.takeAll()]) this.push(item)
  }
}
