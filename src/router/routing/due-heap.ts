/**
 * A heap of items, sorted by due time. Items with the same due time are in the order in which they were added. Adding
 * and taking an item take logarithmic time. An item that is no longer wanted stays in the heap until its turn, and is
 * then skipped.
 */
export class DueHeap<Item> {
  readonly #isWanted: (item: Item, dueAt: number) => boolean
  readonly #heap: { readonly item: Item; readonly dueAt: number; readonly order: number }[] = []
  #added = 0

  /** @param isWanted false for an item that was taken out, or has another due time now */
  constructor(isWanted: (item: Item, dueAt: number) => boolean) {
    this.#isWanted = isWanted
  }

  /** Number of entries, including entries that are no longer wanted. */
  get size(): number {
    return this.#heap.length
  }

  add(item: Item, dueAt: number): void {
    const heap = this.#heap
    heap.push({ item, dueAt, order: ++this.#added })
    for (let at = heap.length - 1; at > 0; ) {
      const parent = (at - 1) >>> 1
      if (!this.#isBefore(at, parent)) break
      this.#swap(at, parent)
      at = parent
    }
  }

  /** When the first item is due; `undefined` when there is none. */
  nextAt(): number | undefined {
    this.#dropUnwanted()
    return this.#heap[0]?.dueAt
  }

  takeDue(now: number, most: number): Item[] {
    const items: Item[] = []
    while (items.length < most) {
      this.#dropUnwanted()
      const first = this.#heap[0]
      if (!first || first.dueAt > now) break
      items.push(first.item)
      this.#removeFirst()
    }
    return items
  }

  #dropUnwanted(): void {
    for (let first = this.#heap[0]; first && !this.#isWanted(first.item, first.dueAt); first = this.#heap[0]) {
      this.#removeFirst()
    }
  }

  #removeFirst(): void {
    const heap = this.#heap
    const last = heap.pop()!
    if (heap.length === 0) return
    heap[0] = last
    for (let at = 0; ; ) {
      const left = 2 * at + 1
      let least = at
      for (const child of [left, left + 1]) if (child < heap.length && this.#isBefore(child, least)) least = child
      if (least === at) return
      this.#swap(at, least)
      at = least
    }
  }

  #isBefore(at: number, other: number): boolean {
    const a = this.#heap[at]!
    const b = this.#heap[other]!
    return a.dueAt < b.dueAt || (a.dueAt === b.dueAt && a.order < b.order)
  }

  #swap(at: number, other: number): void {
    const heap = this.#heap
    const item = heap[at]!
    heap[at] = heap[other]!
    heap[other] = item
  }
}
