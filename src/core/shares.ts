import { addCount } from './counts.js'
import { HeldAmount } from './held-amount.js'

/** Divides a limited number of places among clients. */
export class Shares {
  readonly #max: number
  readonly #byClient = new Map<string, number>()
  readonly #all: HeldAmount

  /** @param max places of all clients together @param name what they are, in the plural */
  constructor(max: number, name: string) {
    this.#max = max
    this.#all = new HeldAmount(name)
  }

  /** Number of places that all clients use. */
  get taken(): number {
    return this.#all.value
  }

  /** Number of places that one client uses. */
  takenBy(client: string): number {
    return this.#byClient.get(client) ?? 0
  }

  /**
   * Why a client gets no further place; `undefined`: it gets a place. A client gets a place while the number of places
   * that it holds is at most the number of free places. A single client can therefore take about half of all places,
   * and others remain free for other clients.
   *
   * @param client `undefined`: a caller without a share, which may take all free places
   * @param count how many places it wants together
   */
  problemOf(client: string | undefined, count = 1): 'full' | 'greedy' | undefined {
    const free = this.#max - this.#all.value
    if (free < count) return 'full'
    return client !== undefined && this.takenBy(client) > free ? 'greedy' : undefined
  }

  /** @returns a function that releases the places; from its second call on it does nothing */
  take(client: string | undefined, count = 1): () => void {
    if (client === undefined) return this.#all.take(count)
    addCount(this.#byClient, client, count)
    return this.#all.take(count, () => addCount(this.#byClient, client, -count))
  }
}
