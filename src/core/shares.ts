/** How many of a limited kind of thing each client has. */
export class Shares {
  readonly #max: number
  readonly #byClient = new Map<string, number>()
  #all = 0

  /** @param max of all clients together */
  constructor(max: number) {
    this.#max = max
  }

  /**
   * Whether a client may have one more: as long as it has no more than are free. So one client alone gets half of them, and
   * there is always some for one more client.
   *
   * @param client `undefined`: all that are free
   */
  problemOf(client: string | undefined): 'full' | 'greedy' | undefined {
    const free = this.#max - this.#all
    if (free <= 0) return 'full'
    return client !== undefined && (this.#byClient.get(client) ?? 0) > free ? 'greedy' : undefined
  }

  /** @returns what to call, once, when it has one fewer */
  take(client: string | undefined): () => void {
    this.#all++
    if (client !== undefined) this.#byClient.set(client, (this.#byClient.get(client) ?? 0) + 1)
    return () => {
      this.#all--
      if (client === undefined) return
      const left = this.#byClient.get(client)! - 1
      if (left > 0) this.#byClient.set(client, left)
      else this.#byClient.delete(client)
    }
  }
}
