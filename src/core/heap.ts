/** An item knows its place in the {@link Heap} that has it; -1: it is in none. */
export interface HeapItem {
  heapAt: number
}

/**
 * Items of which the first one is known at once. An item joins, leaves and moves in logarithmic time, wherever it stands: of n
 * items about log2 n are compared.
 */
export class Heap<Item extends HeapItem> {
  readonly #isBefore: (one: Item, other: Item) => boolean
  readonly #items: Item[] = []

  /** @param isBefore a strict order of the items; it may change for an item that is told by {@link moved} */
  constructor(isBefore: (one: Item, other: Item) => boolean) {
    this.#isBefore = isBefore
  }

  get size(): number {
    return this.#items.length
  }

  /** `undefined`: it is empty. */
  get first(): Item | undefined {
    return this.#items[0]
  }

  /** @param item is in no heap */
  add(item: Item): void {
    this.#rise(item, this.#items.length)
  }

  /** @param item is in this heap */
  remove(item: Item): void {
    const last = this.#items.pop()!
    if (last !== item) this.#rise(last, this.#sink(item.heapAt))
    item.heapAt = -1
  }

  /** What the order depends on has changed. @param item is in this heap */
  moved(item: Item): void {
    this.#rise(item, this.#sink(item.heapAt))
  }

  /** Moves a gap to the end of its branch. The item that fills it mostly belongs there, so it is not compared on the way. */
  #sink(at: number): number {
    const items = this.#items
    for (;;) {
      const left = 2 * at + 1
      if (left >= items.length) return at
      const right = left + 1
      const next = right < items.length && this.#isBefore(items[right]!, items[left]!) ? right : left
      this.#put(items[next]!, at)
      at = next
    }
  }

  #rise(item: Item, at: number): void {
    const items = this.#items
    while (at > 0) {
      const parent = (at - 1) >>> 1
      if (!this.#isBefore(item, items[parent]!)) break
      this.#put(items[parent]!, at)
      at = parent
    }
    this.#put(item, at)
  }

  #put(item: Item, at: number): void {
    this.#items[at] = item
    item.heapAt = at
  }
}
