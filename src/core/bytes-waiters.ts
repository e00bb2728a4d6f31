import { Heap, type HeapItem } from './heap.js'
import { Line, type LinePlace } from './line.js'

/** A request, or a queue, that cannot go on before a client may take some bytes. */
export interface BytesWaiter {
  readonly client: string
  readonly bytes: number
  readonly since: number
  readonly goOn: () => void
}

/** A client with what it waits for, oldest first. */
interface WaitingClient extends HeapItem {
  readonly client: string
  readonly waiters: Line<BytesWaiter>
  readonly order: number
  heldBytes: number
  /** Where it stands: by the bytes of its first waiter, or aside. */
  heap: Heap<WaitingClient>
}

/** The waiter whose turn it is. */
export interface NextWaiter {
  readonly waiter: BytesWaiter
  readonly heldBytes: number
}

/** Bytes of one class are the same but for a factor of two. */
const classOf = (bytes: number): number => Math.max(0, Math.floor(Math.log2(bytes)) + 1)

/**
 * Clients that wait for bytes: those first that hold least, and of these the one that has waited longest. A step takes time by
 * the logarithm of their number, since there may be thousands.
 */
export class BytesWaiters {
  readonly #isLarge: (bytes: number) => boolean
  readonly #byClient = new Map<string, WaitingClient>()
  readonly #places = new Map<BytesWaiter, LinePlace<BytesWaiter>>()
  /** Clients by the class of bytes that they wait for. */
  readonly #classes: Heap<WaitingClient>[] = []
  /** Clients that wait for more than the share of a client. */
  readonly #large = this.#newHeap()
  /** Clients that have had their turn, or have joined meanwhile. */
  readonly #aside = this.#newHeap()
  #isInTurn = false
  #order = 0

  /** @param isLarge whether bytes are more than the share of a client: these wait for each other alone */
  constructor(isLarge: (bytes: number) => boolean) {
    this.#isLarge = isLarge
  }

  /** Clients that wait. */
  get size(): number {
    return this.#byClient.size
  }

  has(client: string): boolean {
    return this.#byClient.has(client)
  }

  /** What the client holds that holds least; infinite: none waits. */
  get leastHeldBytes(): number {
    if (this.#byClient.size === 0) return Number.POSITIVE_INFINITY
    let least = Math.min(leastOf(this.#large), leastOf(this.#aside))
    for (const heap of this.#classes) least = Math.min(least, leastOf(heap))
    return least
  }

  /** One waiter of each client, those of clients first that hold least. */
  get all(): readonly BytesWaiter[] {
    return [...this.#byClient.values()].sort((one, other) => one.heldBytes - other.heldBytes).map(firstOf)
  }

  /** Whether a client comes before another one. */
  protected isBefore(one: WaitingClient, other: WaitingClient): boolean {
    return one.heldBytes < other.heldBytes || (one.heldBytes === other.heldBytes && one.order < other.order)
  }

  #newHeap(): Heap<WaitingClient> {
    return new Heap((one, other) => this.isBefore(one, other))
  }

  /** @param heldBytes of its client */
  add(waiter: BytesWaiter, heldBytes: number): void {
    const known = this.#byClient.get(waiter.client)
    const waiters = known?.waiters ?? new Line<BytesWaiter>()
    this.#places.set(waiter, waiters.add(waiter))
    if (known !== undefined) return
    const { client } = waiter
    const heap = this.#heapOf(waiter)
    const added = { client, waiters, order: this.#order++, heldBytes, heap, heapAt: -1 }
    this.#byClient.set(client, added)
    heap.add(added)
  }

  #heapOf({ bytes }: BytesWaiter): Heap<WaitingClient> {
    if (this.#isInTurn) return this.#aside
    return this.#isLarge(bytes) ? this.#large : (this.#classes[classOf(bytes)] ??= this.#newHeap())
  }

  /** @returns whether it was waiting */
  delete(waiter: BytesWaiter): boolean {
    const place = this.#places.get(waiter)
    if (place === undefined) return false
    const known = this.#byClient.get(waiter.client)!
    const isFirst = firstOf(known) === waiter
    place.leave()
    this.#places.delete(waiter)
    if (known.waiters.first === undefined) {
      this.#byClient.delete(known.client)
      known.heap.remove(known)
    } else if (isFirst) this.#moveTo(this.#heapOf(firstOf(known)), known)
    return true
  }

  #moveTo(heap: Heap<WaitingClient>, known: WaitingClient): void {
    known.heap.remove(known)
    known.heap = heap
    heap.add(known)
  }

  /** A client holds more, or less. */
  holds(client: string, heldBytes: number): void {
    const known = this.#byClient.get(client)
    if (known === undefined) return
    known.heldBytes = heldBytes
    known.heap.moved(known)
  }

  /** The next one of those that wait for bytes of a lower class. @param bytes infinite: of all that wait for no large ones */
  nextBelow(bytes: number): NextWaiter | undefined {
    const end = Math.min(this.#classes.length, classOf(bytes))
    let next: WaitingClient | undefined
    for (let at = 0; at < end; at++) {
      const first = this.#classes[at]?.first
      if (first !== undefined && (next === undefined || this.isBefore(first, next))) next = first
    }
    return next && { waiter: firstOf(next), heldBytes: next.heldBytes }
  }

  /** The next one of those that wait for large bytes. */
  get nextLarge(): NextWaiter | undefined {
    const { first } = this.#large
    return first && { waiter: firstOf(first), heldBytes: first.heldBytes }
  }

  /** While it runs, no client is next that has joined, or of which a waiter has left, since it began. */
  inTurn(run: () => void): void {
    this.#isInTurn = true
    try {
      run()
    } finally {
      this.#isInTurn = false
      for (let known = this.#aside.first; known !== undefined; known = this.#aside.first)
        this.#moveTo(this.#heapOf(firstOf(known)), known)
    }
  }
}

const leastOf = (heap: Heap<WaitingClient> | undefined): number => heap?.first?.heldBytes ?? Number.POSITIVE_INFINITY

const firstOf = ({ waiters }: WaitingClient): BytesWaiter => waiters.first!
