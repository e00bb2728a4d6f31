import { SeededRandom } from '../../../support/random.js'

/** In an order of chance. One number is drawn, however many there are. */
export function shuffled<Item>(items: readonly Item[], random: SeededRandom): Item[] {
  const own = new SeededRandom(random.between(1, 2 ** 31))
  const all = [...items]
  // Fisher and Yates.
  for (let last = all.length - 1; last > 0; last--) {
    const other = own.between(0, last)
    ;[all[last], all[other]] = [all[other]!, all[last]!]
  }
  return all
}
