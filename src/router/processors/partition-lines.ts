import { addTo } from '../../core/maps.js'

/** The waiters of one key by subkey, in arrival order. */
type WaitersBySubkey<Subkey, Waiter> = Map<Subkey, Waiter[]>

/** Waiters that were taken out of the line and could not be served. */
export interface NotServed<Subkey, Waiter> {
  readonly key: string
  readonly subkey: Subkey
  readonly waiters: readonly Waiter[]
}

/**
 * A line of lines. Each key (a partition) has subkeys (offsets) in arrival order, and each subkey has all its
 * waiters. So two requests for one offset cost one fetch.
 *
 *   orders/0 -> 20: [ann, bob]   25: [cid]
 *   orders/1 -> 870: [dan]
 *
 *   takeHeads(2) gives { orders/0 -> 20: [ann, bob], orders/1 -> 870: [dan] }
 *   and leaves         { orders/0 -> 25: [cid] }
 *
 * Keys are served in turn. A key that was served and has more waiters goes to the end. A key that was taken and not
 * served keeps its turn. So with N waiting keys, if each `takeHeads` serves at least S keys, every key is served after
 * at most ceil(N / S) calls.
 *
 * Source: Box-Castle/router 1.0.3, kafkadispatcher/RequestQueue.scala; a JavaScript Map keeps the insertion order that
 * Castle's LinkedHashMap was written for.
 */
export class PartitionLines<Subkey, Waiter> {
  /** Keys that were taken and not served, in the order of their turns. They come before all other keys. */
  #first = new Map<string, WaitersBySubkey<Subkey, Waiter>>()
  /** All other keys. A key is in only one of the two maps. */
  readonly #others = new Map<string, WaitersBySubkey<Subkey, Waiter>>()

  get isEmpty(): boolean {
    return this.keyCount === 0
  }
  get keyCount(): number {
    return this.#first.size + this.#others.size
  }

  add(key: string, subkey: Subkey, waiter: Waiter): void {
    addTo(this.#waitingOf(key), subkey, waiter)
  }

  /** Puts waiters first under their key. A new key goes to the end. */
  addFirst(key: string, subkey: Subkey, waiters: readonly Waiter[]): void {
    const before = this.#waitingOf(key)
    const mapOfKey = this.#first.has(key) ? this.#first : this.#others
    mapOfKey.set(key, inFront(subkey, waiters, before))
  }

  /**
   * Puts back waiters that were taken and not served, in the order in which they were taken; their keys keep their
   * turns. The cost depends only on the number of waiters that are put back.
   */
  putBack(unserved: readonly NotServed<Subkey, Waiter>[]): void {
    if (unserved.length === 0) return
    const first = new Map<string, WaitersBySubkey<Subkey, Waiter>>()
    for (const { key, subkey, waiters } of unserved) {
      const before = this.get(key)
      first.set(key, inFront(subkey, waiters, before))
      this.#others.delete(key)
    }
    for (const [key, waiting] of this.#first) if (!first.has(key)) first.set(key, waiting)
    this.#first = first
  }

  /** Takes out the oldest subkey of each of the first `maxKeys` keys. */
  takeHeads(maxKeys = Number.POSITIVE_INFINITY): Map<string, { readonly subkey: Subkey; readonly waiters: Waiter[] }> {
    const heads = new Map<string, { readonly subkey: Subkey; readonly waiters: Waiter[] }>()
    const rests: (readonly [string, WaitersBySubkey<Subkey, Waiter>])[] = []
    for (const keys of [this.#first, this.#others]) {
      for (const [key, waiting] of keys) {
        if (heads.size >= maxKeys) break
        const [subkey, waiters] = waiting.entries().next().value!
        heads.set(key, { subkey, waiters })
        keys.delete(key)
        waiting.delete(subkey)
        if (waiting.size > 0) rests.push([key, waiting])
      }
    }
    for (const [key, waiting] of rests) this.#others.set(key, waiting)
    return heads
  }

  /** All waiters of `key`, by subkey in arrival order. */
  get(key: string): ReadonlyMap<Subkey, readonly Waiter[]> | undefined {
    return this.#first.get(key) ?? this.#others.get(key)
  }

  /** Takes out the waiters of one subkey; an empty list when there are none. */
  remove(key: string, subkey: Subkey): Waiter[] {
    const waiting = this.#first.get(key) ?? this.#others.get(key)
    const waiters = waiting?.get(subkey) ?? []
    waiting?.delete(subkey)
    if (waiting?.size === 0) this.#forget(key)
    return waiters
  }

  /** Drops waiters that are no longer wanted, and keys that become empty. */
  keepOnly(isWanted: (waiter: Waiter) => boolean): void {
    for (const keys of [this.#first, this.#others]) {
      for (const [key, waiting] of keys) {
        for (const [subkey, waiters] of waiting) {
          const wanted = waiters.filter(isWanted)
          if (wanted.length > 0) waiting.set(subkey, wanted)
          else waiting.delete(subkey)
        }
        if (waiting.size === 0) keys.delete(key)
      }
    }
  }

  /** Takes out all waiters of `key`, in order. */
  removeKey(key: string): Waiter[] {
    const waiters = [...(this.get(key)?.values() ?? [])].flat()
    this.#forget(key)
    return waiters
  }

  drain(): Waiter[] {
    const waiters = [this.#first, this.#others].flatMap(keys =>
      [...keys.values()].flatMap(all => [...all.values()].flat())
    )
    this.#first.clear()
    this.#others.clear()
    return waiters
  }

  /** The waiters of the key. A new key goes to the end. */
  #waitingOf(key: string): WaitersBySubkey<Subkey, Waiter> {
    const known = this.#first.get(key) ?? this.#others.get(key)
    if (known) return known
    const waiting: WaitersBySubkey<Subkey, Waiter> = new Map()
    this.#others.set(key, waiting)
    return waiting
  }

  #forget(key: string): void {
    this.#first.delete(key)
    this.#others.delete(key)
  }
}

function inFront<Subkey, Waiter>(
  subkey: Subkey,
  waiters: readonly Waiter[],
  before: ReadonlyMap<Subkey, readonly Waiter[]> | undefined
): WaitersBySubkey<Subkey, Waiter> {
  const waiting: WaitersBySubkey<Subkey, Waiter> = new Map([[subkey, [...waiters]]])
  for (const [other, others] of before ?? []) {
    if (other === subkey) waiting.get(subkey)!.push(...others)
    else waiting.set(other, [...others])
  }
  return waiting
}
