/** Keeps the rows with the greatest weight, and counts all of them. */
export class TopRows<Row> {
  readonly #weightOf: (row: Row) => number
  readonly #max: number
  readonly #kept: { readonly row: Row; readonly weight: number }[] = []
  total = 0

  constructor(weightOf: (row: Row) => number, max: number) {
    this.#weightOf = weightOf
    this.#max = max
  }

  add(row: Row): void {
    this.total++
    const weight = this.#weightOf(row)
    const last = this.#kept[this.#kept.length - 1]
    if (this.#kept.length >= this.#max && last !== undefined && weight <= last.weight) return
    // Behind the last row that weighs as much: equal rows stay in their order.
    let [low, high] = [0, this.#kept.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#kept[middle]!.weight >= weight) low = middle + 1
      else high = middle
    }
    this.#kept.splice(low, 0, { row, weight })
    if (this.#kept.length > this.#max) this.#kept.pop()
  }

  /** The greatest first. */
  get rows(): Row[] {
    return this.#kept.map(({ row }) => row)
  }
}
