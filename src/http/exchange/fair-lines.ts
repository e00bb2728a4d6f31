import { Heap, type HeapItem } from '../../core/heap.js'

interface WaitingItem<Item> {
  readonly item: Item
  readonly cost: number
}

/** The waiting items of one owner, oldest first, and its credit. It stands among lines whose first items cost about the same. */
interface FairLine<Item> extends HeapItem {
  readonly owner: object
  readonly entries: WaitingItem<Item>[]
  /** The credit that it has in its turn. */
  credit: number
  /** The round in which its credit suffices for its first item. */
  turn: number
  /** The order of lines within a round. */
  readonly order: number
  /** Where it stands: {@link classOf} its first item. */
  costClass: number
}

/** The credit that an owner gains with each round. */
const QUANTUM = 64 * 1024

/** Items of one class cost the same but for a factor of two. */
const classOf = (cost: number): number => 32 - Math.clz32(cost)

const isBefore = <Item>(one: FairLine<Item>, other: FairLine<Item>): boolean =>
  one.turn < other.turn || (one.turn === other.turn && one.order < other.order)

/**
 * Waiting items, by owner. Owners take turns with about the same credit, so that owners of large or many items do not
 * keep the others waiting. An owner saves up credit for an item that costs more than one turn.
 *
 * This is deficit round robin (Shreedhar and Varghese, 1995). The round in which an owner has enough credit follows by division, so
 * that no round is walked for those that save up.
 */
export class FairLines<Item> {
  readonly #byOwner = new Map<object, FairLine<Item>>()
  /** Lines by the class of their first item, in the order of their turns. */
  readonly #classes: Heap<FairLine<Item>>[] = []
  #size = 0
  #order = 0
  /** The round of the last item that was taken. */
  #round = 0
  /** The round that a new line joins: one of which no item was taken. */
  #joined = 0

  get size(): number {
    return this.#size
  }

  /** Whether the turn of a line comes before that of another one. */
  protected isBefore(one: FairLine<Item>, other: FairLine<Item>): boolean {
    return isBefore(one, other)
  }

  /** @param cost the credit of its owner that the item takes */
  add(owner: object, item: Item, cost: number): void {
    this.#size++
    const known = this.#byOwner.get(owner)
    if (known !== undefined) {
      known.entries.push({ item, cost })
      return
    }
    const line = {
      ...{ owner, entries: [{ item, cost }], credit: QUANTUM, turn: this.#joined, order: this.#order++ },
      ...{ costClass: 0, heapAt: -1 }
    }
    this.#byOwner.set(owner, line)
    this.#stand(line)
  }

  /** The line gets its place by its first item. One without items is forgotten. */
  #stand(line: FairLine<Item>): void {
    const [first] = line.entries
    if (first === undefined) {
      this.#byOwner.delete(line.owner)
      return
    }
    // What was saved up for an item that has left is given back.
    const most = Math.max(0, line.turn - this.#round)
    const rounds = Math.max(-most, Math.ceil((first.cost - line.credit) / QUANTUM))
    line.credit += rounds * QUANTUM
    line.turn += rounds
    line.costClass = classOf(first.cost)
    this.#classOf(line.costClass).add(line)
  }

  #classOf(costClass: number): Heap<FairLine<Item>> {
    return (this.#classes[costClass] ??= new Heap((one, other) => this.isBefore(one, other)))
  }

  /** Takes the first item of a line out, if there is one, and gives the line its new place. */
  #leave(line: FairLine<Item>): void {
    this.#classOf(line.costClass).remove(line)
    line.entries.shift()
    this.#size--
    this.#stand(line)
  }

  /** The line whose turn it is, of those whose items are of a lower class. */
  #nextBelow(costClass: number): FairLine<Item> | undefined {
    let next: FairLine<Item> | undefined
    for (let at = 0; at < costClass && at < this.#classes.length; at++) {
      const first = this.#classes[at]?.first
      if (first !== undefined && (next === undefined || this.isBefore(first, next))) next = first
    }
    return next
  }

  /**
   * Takes items in the order of turns. An item that has to wait keeps its turn and is tried first the next time; until
   * then, items of other owners are tried that are cheaper by a power of two.
   *
   * @param take returns false when the item must keep waiting; `passed` is the first item that it overtakes
   */
  serve(take: (item: Item, passed: Item | undefined) => boolean): void {
    let passed: WaitingItem<Item> | undefined
    let below = Number.POSITIVE_INFINITY
    for (let line = this.#nextBelow(below); line !== undefined; line = this.#nextBelow(below)) {
      const first = line.entries[0]!
      if (take(first.item, passed?.item)) this.#taken(line, first)
      else {
        passed ??= first
        below = line.costClass
      }
    }
  }

  #taken(line: FairLine<Item>, { cost }: WaitingItem<Item>): void {
    line.turn = this.#round = Math.max(this.#round, line.turn)
    this.#joined = this.#round + 1
    line.credit -= cost
    this.#leave(line)
  }

  /** @returns whether the item was waiting */
  delete(owner: object, item: Item): boolean {
    const line = this.#byOwner.get(owner)
    const at = line?.entries.findIndex(entry => entry.item === item) ?? -1
    if (line === undefined || at < 0) return false
    if (at === 0) this.#leave(line)
    else {
      line.entries.splice(at, 1)
      this.#size--
    }
    return true
  }

  /** Takes the items that have waited longest with their owner, as long as `isWanted` says so. */
  takeOldest(isWanted: (item: Item) => boolean): readonly Item[] {
    const taken: Item[] = []
    for (const line of this.#byOwner.values())
      while (line.entries.length > 0 && isWanted(line.entries[0]!.item)) {
        taken.push(line.entries[0]!.item)
        this.#leave(line)
      }
    return taken
  }
}
