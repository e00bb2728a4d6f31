import { Line, LinePlace } from './line.js'

/** What one client waits with, oldest first. */
class ClientLine<Item, Client> {
  readonly client: Client
  readonly items = new Line<Item>()
  readonly places = new Map<Item, LinePlace<Item>>()
  /** The place of the client among others. */
  readonly place: LinePlace<ClientLine<Item, Client>> = new LinePlace<ClientLine<Item, Client>>(this)

  constructor(client: Client) {
    this.client = client
  }
}

/**
 * Items that wait for a turn. Clients take turns however many items they have; the items of one client keep their order. A step
 * takes the same time however many wait.
 */
export class ClientTurns<Item, Client = string> {
  readonly #byClient = new Map<Client, ClientLine<Item, Client>>()
  /** Clients in the order of their turns: the first one has the next. */
  readonly #lines = new Line<ClientLine<Item, Client>>()
  #size = 0

  get size(): number {
    return this.#size
  }

  sizeOf(client: Client): number {
    return this.#byClient.get(client)?.places.size ?? 0
  }

  /** An item that waits already keeps its place. */
  add(client: Client, item: Item): void {
    const { items, places } = this.#byClient.get(client) ?? this.#join(client)
    if (places.has(item)) return
    places.set(item, items.add(item))
    this.#size++
  }

  #join(client: Client): ClientLine<Item, Client> {
    const line = new ClientLine<Item, Client>(client)
    this.#lines.put(line.place)
    this.#byClient.set(client, line)
    return line
  }

  /** @param client with which the item was added */
  delete(client: Client, item: Item): void {
    const line = this.#byClient.get(client)
    if (line !== undefined) this.#take(line, item)
  }

  #take(line: ClientLine<Item, Client>, item: Item): void {
    const { client, places } = line
    if (places.get(item)?.leave() !== true) return
    places.delete(item)
    this.#size--
    if (places.size > 0) return
    line.place.leave()
    this.#byClient.delete(client)
  }

  /** Takes the item whose turn it is; `undefined`: none waits. */
  next(): Item | undefined {
    const line = this.#lines.first
    if (line === undefined) return undefined
    const item = line.items.first!
    this.#take(line, item)
    if (line.place.leave()) this.#lines.put(line.place)
    return item
  }
}
