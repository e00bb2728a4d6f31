/**
 * A map for entries most of which are deleted before the next one is added. The last entry stays beside the table, because
 * a table that is filled and emptied with each request is allocated anew again and again.
 */
export class BriefMap<Value> {
  readonly #table = new Map<string, Value>()
  #lastKey = ''
  #last: Value | undefined

  get size(): number {
    return this.#table.size + (this.#last === undefined ? 0 : 1)
  }

  get(key: string): Value | undefined {
    if (this.#last !== undefined && this.#lastKey === key) return this.#last
    return this.#table.size === 0 ? undefined : this.#table.get(key)
  }

  has(key: string): boolean {
    return this.get(key) !== undefined
  }

  /** Adds an entry whose key the map does not have. */
  add(key: string, value: Value): void {
    this.#settle()
    this.#lastKey = key
    this.#last = value
  }

  delete(key: string): void {
    if (this.#last !== undefined && this.#lastKey === key) this.#last = undefined
    else if (this.#table.size > 0) this.#table.delete(key)
  }

  /** In the order in which they were added. Entries may be deleted meanwhile. */
  values(): IterableIterator<Value> {
    this.#settle()
    return this.#table.values()
  }

  #settle(): void {
    if (this.#last !== undefined) this.#table.set(this.#lastKey, this.#last)
    this.#last = undefined
  }
}
