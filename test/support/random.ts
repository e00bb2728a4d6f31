/** Numbers that a seed repeats: `mulberry32`. */
export class SeededRandom {
  #state: number

  constructor(readonly seed: number) {
    this.#state = seed >>> 0
  }

  /** In [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** A whole number in [from, to]. */
  between(from: number, to: number): number {
    return from + Math.floor(this.next() * (to - from + 1))
  }

  pick<Item>(items: readonly Item[]): Item {
    const item = items[Math.floor(this.next() * items.length)]
    if (item === undefined) throw new Error('nothing to pick from')
    return item
  }
}

/** The seed of this run of tests, which `test/run.ts` and TEST_SEED give; else one by lot. */
export const testSeed = (): number => Number(process.env.TEST_SEED || Math.floor(Math.random() * 2 ** 31))

/** The same items in the order of a seed. */
export function shuffled<Item>(items: readonly Item[], seed: number): Item[] {
  const random = new SeededRandom(seed)
  const rest = [...items]
  return items.map(() => rest.splice(random.between(0, rest.length - 1), 1)[0]!)
}
