interface WaitingItem<Item> {
  readonly item: Item
  readonly cost: number
}

/** The waiting items of one owner, oldest first, and its credit. */
interface FairLine<Item> {
  readonly owner: object
  readonly entries: WaitingItem<Item>[]
  credit: number
}

/** The credit that an owner gains with each of its turns. */
const QUANTUM = 64 * 1024

/**
 * Waiting items, by owner. Owners take turns with about the same credit, so that owners of large or many items do not
 * keep the others waiting. An owner saves up credit for an item that costs more than one turn.
 *
 * This is deficit round robin (Shreedhar and Varghese, 1995).
 */
export class FairLines<Item> {
  readonly #byOwner = new Map<object, FairLine<Item>>()
  /** Lines in the order of their turns: the first one is served next. */
  #lines: FairLine<Item>[] = []
  #size = 0

  get size(): number {
    return this.#size
  }

  /** @param cost the credit of its owner that the item takes */
  add(owner: object, item: Item, cost: number): void {
    this.#lineOf(owner).entries.push({ item, cost })
    this.#size++
  }

  #lineOf(owner: object): FairLine<Item> {
    const known = this.#byOwner.get(owner)
    if (known !== undefined) return known
    const line = { owner, entries: [], credit: QUANTUM }
    this.#byOwner.set(owner, line)
    this.#lines.push(line)
    return line
  }

  /**
   * Takes items in the order of turns. An item that has to wait keeps its turn and is tried first the next time; until
   * then, cheaper items of other owners are tried.
   *
   * @param take returns false when the item must keep waiting; `passed` is the first item that it overtakes
   */
  serve(take: (item: Item, passed: Item | undefined) => boolean): void {
    let at = 0
    let passed: WaitingItem<Item> | undefined
    let triedCost = Number.POSITIVE_INFINITY
    for (let line = this.#lines[at]; line !== undefined; line = this.#lines[at]) {
      const next = line.entries[0]
      if (next === undefined) {
        this.#lines.splice(at, 1)
        this.#byOwner.delete(line.owner)
      } else if (next.cost >= triedCost) at++
      else if (next.cost > line.credit) {
        line.credit += QUANTUM
        this.#lines.push(...this.#lines.splice(at, 1))
      } else if (take(next.item, passed?.item)) this.#taken(line, next)
      else {
        passed ??= next
        triedCost = next.cost
        at++
      }
    }
  }

  #taken(line: FairLine<Item>, { cost }: WaitingItem<Item>): void {
    line.credit -= cost
    line.entries.shift()
    this.#size--
  }

  /** @returns whether the item was waiting */
  delete(owner: object, item: Item): boolean {
    const entries = this.#byOwner.get(owner)?.entries ?? []
    const at = entries.findIndex(entry => entry.item === item)
    if (at < 0) return false
    entries.splice(at, 1)
    this.#size--
    return true
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
