interface Entry<Item> {
  readonly item: Item
  readonly cost: number
}

/** What one owner has waiting, oldest first, and what it may still take. */
interface Line<Item> {
  readonly owner: object
  readonly entries: Entry<Item>[]
  credit: number
}

/** What an owner may take more with each of its turns. */
const QUANTUM = 64 * 1024

/**
 * Items that wait, by owner. Owners take turns, and each may take about the same in a turn, so that owners of large
 * items, or of many, do not keep the others waiting. An owner saves up for an item that costs more than a turn.
 *
 * This is deficit round robin (Shreedhar and Varghese, 1995).
 */
export class FairQueue<Item> {
  readonly #byOwner = new Map<object, Line<Item>>()
  /** The first one has its turn. */
  #lines: Line<Item>[] = []
  #size = 0

  get size(): number {
    return this.#size
  }

  /** @param cost what the item takes of its owner's turns */
  add(owner: object, item: Item, cost: number): void {
    this.#lineOf(owner).entries.push({ item, cost })
    this.#size++
  }

  #lineOf(owner: object): Line<Item> {
    const known = this.#byOwner.get(owner)
    if (known !== undefined) return known
    const line = { owner, entries: [], credit: QUANTUM }
    this.#byOwner.set(owner, line)
    this.#lines.push(line)
    return line
  }

  /**
   * Takes items in the order of turns, until the next one may not go.
   *
   * @param take returns false when the item has to wait on; it is the first to be asked for the next time
   */
  serve(take: (item: Item) => boolean): void {
    for (let line = this.#lines[0]; line !== undefined; line = this.#lines[0]) {
      const next = line.entries[0]
      if (next === undefined) this.#drop(line)
      else if (next.cost > line.credit) this.#passOn(line)
      else if (take(next.item)) {
        line.credit -= next.cost
        line.entries.shift()
        this.#size--
      } else return
    }
  }

  #passOn(line: Line<Item>): void {
    line.credit += QUANTUM
    this.#lines.shift()
    this.#lines.push(line)
  }

  #drop(line: Line<Item>): void {
    this.#lines.shift()
    this.#byOwner.delete(line.owner)
  }

  /** Takes the items that have waited longest with their owner, as long as `isWanted` says so. */
  takeOldest(isWanted: (item: Item) => boolean): readonly Item[] {
    const taken: Item[] = []
    for (const { entries } of this.#lines) {
      while (entries.length > 0 && isWanted(entries[0]!.item)) taken.push(entries.shift()!.item)
    }
    this.#size -= taken.length
    return taken
  }
}
