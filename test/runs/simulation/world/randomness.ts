import { SeededRandom } from '../../../support/random.js'
import { hashOf } from './trace.js'

/** A source of random numbers for each purpose, so that a fault left out changes nothing that others draw. */
export class Randomness {
  readonly seed: number

  constructor(seed: number) {
    this.seed = seed
  }

  for(purpose: string): SeededRandom {
    return new SeededRandom(Math.imul(this.seed, 0x9e3779b1) ^ hashOf(purpose))
  }
}

/** True in so many of a hundred cases. */
export const percent = (random: SeededRandom, chance: number): boolean => random.next() * 100 < chance

/** A time between the two, fractions of a millisecond included. */
export const millisecondsBetween = (random: SeededRandom, from: number, to: number): number =>
  from + random.next() * (to - from)
