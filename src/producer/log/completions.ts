import type { SequenceRange } from './done-set.js'

/** Completions are written together: a lost one is a duplicate after a crash, not a loss. */
const WAIT_MS = 20
const AT_ONCE = 1_000

/** Gathers completed entries, as runs, and hands them on together a little later. */
export class Completions {
  readonly #write: (ranges: readonly SequenceRange[], count: number) => Promise<void>
  #ranges: SequenceRange[] = []
  #count = 0
  #timer: NodeJS.Timeout | undefined

  constructor(write: (ranges: readonly SequenceRange[], count: number) => Promise<void>) {
    this.#write = write
  }

  add(first: number, count: number): void {
    const last = this.#ranges.at(-1)
    if (last && last.first + last.count === first) {
      this.#ranges[this.#ranges.length - 1] = { first: last.first, count: last.count + count }
    } else this.#ranges.push({ first, count })
    this.#count += count
    if (this.#count >= AT_ONCE) void this.flush()
    else this.#timer ??= setTimeout(() => void this.flush(), WAIT_MS)
  }

  async flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#count === 0) return
    const [ranges, count] = [this.#ranges, this.#count]
    this.#ranges = []
    this.#count = 0
    await this.#write(ranges, count)
  }
}
