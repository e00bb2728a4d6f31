import type { VarintReader, VarintWriter } from '../../core/varints.js'

/** Ranges that lie closer together than this become one. */
const MIN_GAP = 256
/** More ranges are made fewer by closing the smallest gap. */
const MAX_RANGES = 16

interface Range {
  first: number
  last: number
}

/**
 * Sequences, roughly: at most 16 ranges that contain all of them, and perhaps others. Almost all outcomes come in the
 * order of their sequences; those of a partition that was stuck come late, and get ranges of their own.
 */
export class SequenceRanges {
  readonly #ranges: Range[] = []

  add(first: number, last: number): void {
    const at = this.#ranges.findLastIndex(range => range.first <= first)
    const before = this.#ranges[at]
    if (before !== undefined && first - before.last <= MIN_GAP) before.last = Math.max(before.last, last)
    else this.#ranges.splice(at + 1, 0, { first, last })
    this.#merge()
  }

  /** Whether one of these sequences may be among them. */
  mayHave(first: number, last: number): boolean {
    return this.#ranges.some(range => range.first <= last && range.last >= first)
  }

  /** The highest sequence; 0: there is none. */
  get last(): number {
    return this.#ranges.at(-1)?.last ?? 0
  }

  write(writer: VarintWriter): void {
    writer.number(this.#ranges.length)
    for (const { first, last } of this.#ranges) {
      writer.number(first)
      writer.number(last - first)
    }
  }

  /** @throws RangeError */
  static read(reader: VarintReader): SequenceRanges {
    const ranges = new SequenceRanges()
    for (let count = reader.number(); count > 0; count--) {
      const first = reader.number()
      ranges.add(first, first + reader.number())
    }
    return ranges
  }

  /** Closes gaps that are small, and the smallest one while there are too many ranges. */
  #merge(): void {
    const ranges = this.#ranges
    for (let at = ranges.length - 1; at > 0; at--) if (this.#gapBefore(at) <= MIN_GAP) this.#close(at)
    while (ranges.length > MAX_RANGES) {
      let smallest = 1
      for (let at = 2; at < ranges.length; at++) if (this.#gapBefore(at) < this.#gapBefore(smallest)) smallest = at
      this.#close(smallest)
    }
  }

  #gapBefore(at: number): number {
    return this.#ranges[at]!.first - this.#ranges[at - 1]!.last
  }

  #close(at: number): void {
    const [range] = this.#ranges.splice(at, 1)
    const before = this.#ranges[at - 1]!
    before.last = Math.max(before.last, range!.last)
  }
}
