import { addCount } from './counts.js'
import { HeldAmount } from './held-amount.js'

/**
 * Divides a limited amount, such as places or bytes, among clients. A client may have as much as stays free. A single
 * client can therefore take about half of all, and the rest remains free for other clients.
 */
export class Shares<Client = string> {
  readonly max: number
  readonly #byClient = new Map<Client, number>()
  readonly #all: HeldAmount

  /** @param max of all clients together @param name what they take, in the plural */
  constructor(max: number, name: string) {
    this.max = max
    this.#all = new HeldAmount(name)
  }

  /** What all clients have taken. */
  get taken(): number {
    return this.#all.value
  }

  /** Negative when more was taken than the limit. */
  get free(): number {
    return this.max - this.#all.value
  }

  takenBy(client: Client): number {
    return this.#byClient.get(client) ?? 0
  }

  /**
   * Why a client gets no more; `undefined`: it may take the amount.
   *
   * @param client `undefined`: a caller without a share, which may take all that is free
   * @param free what is free to this client, where that is not the same for all
   */
  problemOf(client: Client | undefined, amount = 1, free = this.free): 'full' | 'greedy' | undefined {
    if (free < amount) return 'full'
    return client !== undefined && this.takenBy(client) > free ? 'greedy' : undefined
  }

  /** Whether a client, with this amount, has at most what is free now. Stricter than {@link problemOf}. */
  allows(client: Client, amount: number): boolean {
    return this.takenBy(client) + amount <= this.free
  }

  /** Takes or, when negative, gives back, without looking at the limit. @param client `undefined`: without a share */
  change(client: Client | undefined, by: number): void {
    this.#all.change(by)
    if (client !== undefined) addCount(this.#byClient, client, by)
  }

  /** @returns a function that releases the amount; from its second call on it does nothing */
  take(client: Client | undefined, amount = 1): () => void {
    if (client === undefined) return this.#all.take(amount)
    addCount(this.#byClient, client, amount)
    return this.#all.take(amount, () => addCount(this.#byClient, client, -amount))
  }
}
