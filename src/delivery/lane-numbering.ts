import type { Numbers, ScheduledLane } from './lane-deps.js'
import { advanced, type Numbering, raised } from './numbering.js'

/** Under which producer id, epoch and sequence a lane goes on writing. */
export class LaneNumbering {
  readonly #numbers: Numbers
  #current: Numbering | undefined

  constructor(numbers: Numbers) {
    this.#numbers = numbers
  }

  /** `undefined`: nothing was written under the present producer id. */
  get current(): Numbering | undefined {
    return this.#current
  }

  /** Starts if need be; `undefined`: there is no producer id yet, and the lane is made ready when there is one. */
  start(lane: ScheduledLane): Numbering | undefined {
    this.#current ??= this.#numbers.numbering(lane)
    return this.#current
  }

  /** Goes on where another process stopped; `undefined`: it is not known where. */
  resume(numbering: Numbering | undefined): void {
    this.#current = numbering
  }

  /** A batch was appended. Says nothing when another cluster has taken the place of the one that answered. */
  advance(recordCount: number): void {
    if (this.#current !== undefined) this.#current = advanced(this.#current, recordCount)
  }

  /** Takes the next epoch, which fences late copies of everything that was sent before. */
  raise(): void {
    const used = this.#current
    if (used === undefined) return
    this.#current = raised(used)
    if (this.#current === undefined) this.#numbers.usedUp(used.producerId)
  }

  /** Another cluster: the producer id is void there, and a broker could take it for another producer's. */
  forget(): void {
    this.#current = undefined
  }
}
