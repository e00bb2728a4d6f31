/**
 * A queue of queues: per key (a partition), distinct subkeys (offsets) in arrival order, and per subkey everyone who
 * waits for it. Two requesters of one offset cost one fetch, and each gets its answer.
 *
 *   orders/0 -> 20: [ann, bob]   25: [cid]
 *   orders/1 -> 870: [dan]
 *
 *   takeHeads(2) gives { orders/0 -> 20: [ann, bob], orders/1 -> 870: [dan] }
 *   and leaves         { orders/0 -> 25: [cid] }
 *
 * Keys are served in turn: one that was taken from and has more goes behind the others.
 * Source: Box-Castle/router 1.0.3, kafkadispatcher/RequestQueue.scala; a JavaScript Map keeps the insertion order that
 * Castle's LinkedHashMap was written for.
 */
export class RequestQueue<Subkey, Waiter> {
  #keys = new Map<string, Map<Subkey, Waiter[]>>()

  get isEmpty(): boolean {
    return this.#keys.size === 0
  }
  /** Keys with something queued. */
  get keyCount(): number {
    return this.#keys.size
  }

  add(key: string, subkey: Subkey, waiter: Waiter): void {
    let queue = this.#keys.get(key)
    if (!queue) this.#keys.set(key, (queue = new Map()))
    const waiters = queue.get(subkey)
    if (waiters) waiters.push(waiter)
    else queue.set(subkey, [waiter])
  }

  /** Puts back what was taken and not served: first of its key, and its key first in turn. */
  putFirst(key: string, subkey: Subkey, waiters: readonly Waiter[]): void {
    const queue = new Map([[subkey, [...waiters]]])
    for (const [other, others] of this.#keys.get(key) ?? []) {
      if (other === subkey) queue.get(subkey)!.push(...others)
      else queue.set(other, others)
    }
    this.#keys.delete(key)
    this.#keys = new Map([[key, queue], ...this.#keys])
  }

  /** The oldest subkey of each of the first `maxKeys` keys, taken out. */
  takeHeads(maxKeys = Number.POSITIVE_INFINITY): Map<string, { readonly subkey: Subkey; readonly waiters: Waiter[] }> {
    const heads = new Map<string, { readonly subkey: Subkey; readonly waiters: Waiter[] }>()
    for (const [key, queue] of this.#keys) {
      if (heads.size >= maxKeys) break
      const [subkey, waiters] = queue.entries().next().value!
      heads.set(key, { subkey, waiters })
    }
    for (const [key, { subkey }] of heads) {
      const queue = this.#keys.get(key)!
      this.#keys.delete(key)
      queue.delete(subkey)
      if (queue.size > 0) this.#keys.set(key, queue)
    }
    return heads
  }

  /** Everyone who waits under `key`, by subkey in arrival order. */
  get(key: string): ReadonlyMap<Subkey, readonly Waiter[]> | undefined {
    return this.#keys.get(key)
  }

  /** Takes one entry out; what is not there gives an empty list. */
  remove(key: string, subkey: Subkey): Waiter[] {
    const queue = this.#keys.get(key)
    const waiters = queue?.get(subkey) ?? []
    queue?.delete(subkey)
    if (queue?.size === 0) this.#keys.delete(key)
    return waiters
  }

  /** Takes everything under `key` out, in queue order. */
  removeKey(key: string): Waiter[] {
    const waiters = [...(this.#keys.get(key)?.values() ?? [])].flat()
    this.#keys.delete(key)
    return waiters
  }

  drain(): Waiter[] {
    const waiters = [...this.#keys.values()].flatMap(queue => [...queue.values()].flat())
    this.#keys.clear()
    return waiters
  }
}
