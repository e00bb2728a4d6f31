import { deleteFrom, getOrAdd } from './maps.js'

/** Items that wait for a turn. Clients take turns however many items they have; the items of one client keep their order. */
export class ClientTurns<Item, Client = string> {
  /** Clients in the order of their turns: the first one has the next. */
  readonly #byClient = new Map<Client, Set<Item>>()
  #size = 0

  get size(): number {
    return this.#size
  }

  sizeOf(client: Client): number {
    return this.#byClient.get(client)?.size ?? 0
  }

  /** An item that waits already keeps its place. */
  add(client: Client, item: Item): void {
    const items = getOrAdd(this.#byClient, client, () => new Set())
    const before = items.size
    this.#size += items.add(item).size - before
  }

  /** @param client with which the item was added */
  delete(client: Client, item: Item): void {
    if (deleteFrom(this.#byClient, client, item)) this.#size--
  }

  /** Takes the item whose turn it is; `undefined`: none waits. */
  next(): Item | undefined {
    const [first] = this.#byClient
    if (first === undefined) return undefined
    const [client, items] = first
    const [item] = items
    this.#byClient.delete(client)
    items.delete(item!)
    this.#size--
    if (items.size > 0) this.#byClient.set(client, items)
    return item
  }
}
