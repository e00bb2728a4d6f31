import type { Offset } from '../../core/model.js'

/** Offsets from `from` to the one before `to`. */
export interface OffsetRange {
  readonly from: Offset
  readonly to: Offset
}

/**
 * A set of offsets as sorted ranges that neither overlap nor touch.
 *
 *   add(5), add(7), add(6)   =>   [5..8)
 */
export class OffsetRanges {
  #ranges: OffsetRange[]

  constructor(ranges: readonly OffsetRange[] = []) {
    this.#ranges = [...ranges]
  }

  get all(): readonly OffsetRange[] {
    return this.#ranges
  }

  has(offset: Offset): boolean {
    return this.#at(offset) !== undefined
  }

  /** The first offset from `offset` on that is not in the set. */
  nextMissing(offset: Offset): Offset {
    return this.#at(offset)?.to ?? offset
  }

  /** Adds `[from, to)`. Returns false when all of it was there. */
  add(from: Offset, to: Offset = from + 1): boolean {
    const start = this.#firstEndingAtOrAfter(from)
    let end = start
    let merged: OffsetRange = { from, to }
    for (let range = this.#ranges[end]; range && range.from <= to; range = this.#ranges[++end]) {
      if (range.from <= from && range.to >= to) return false
      merged = { from: Math.min(merged.from, range.from), to: Math.max(merged.to, range.to) }
    }
    this.#ranges.splice(start, end - start, merged)
    return true
  }

  /** Removes all offsets below `offset`. */
  dropBelow(offset: Offset): void {
    if ((this.#ranges[0]?.from ?? offset) >= offset) return
    this.#ranges = this.#ranges
      .filter(range => range.to > offset)
      .map(range => (range.from < offset ? { from: offset, to: range.to } : range))
  }

  /** Removes all offsets from `offset` on. */
  dropFrom(offset: Offset): void {
    if ((this.#ranges.at(-1)?.to ?? offset) <= offset) return
    this.#ranges = this.#ranges
      .filter(range => range.from < offset)
      .map(range => (range.to > offset ? { from: range.from, to: offset } : range))
  }

  #at(offset: Offset): OffsetRange | undefined {
    const range = this.#ranges[this.#firstEndingAtOrAfter(offset + 1)]
    return range && range.from <= offset ? range : undefined
  }

  /** Index of the first range with `to >= offset`. */
  #firstEndingAtOrAfter(offset: Offset): number {
    let low = 0
    let high = this.#ranges.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#ranges[middle]!.to < offset) low = middle + 1
      else high = middle
    }
    return low
  }
}
