import { SeededRandom } from '../../support/random.js'

/** The random choices of one script. */
export class Choices {
  readonly #random: SeededRandom

  constructor(seed: number) {
    this.#random = new SeededRandom(seed)
  }

  /** Each script of a run has choices of its own, so that one alone can be made again. */
  static ofScript(seed: number, index: number): Choices {
    return new Choices((Math.imul(seed ^ 0x5bd1e995, 0x9e3779b1) + Math.imul(index + 1, 0x85ebca6b)) >>> 0)
  }

  between(from: number, to: number): number {
    return this.#random.between(from, to)
  }

  pick<Item>(items: readonly Item[]): Item {
    return this.#random.pick(items)
  }

  oneIn(n: number): boolean {
    return this.#random.between(1, n) === 1
  }

  /** Each of so many percent of the calls is true. */
  percent(share: number): boolean {
    return this.#random.next() * 100 < share
  }
}
