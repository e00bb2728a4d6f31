import { advanced, type Numbering, raised } from './numbering.js'
import type { Numbers, ScheduledProducer } from './partition-producer-deps.js'

/** Under which producer id, epoch and sequence a partition goes on writing. */
export class PartitionNumbering {
  readonly #numbers: Numbers
  #current: Numbering | undefined
  /** A broker may have seen a batch under the current number. */
  #isSeen = false

  constructor(numbers: Numbers) {
    this.#numbers = numbers
  }

  /** `undefined`: nothing was written under the present producer id. */
  get current(): Numbering | undefined {
    return this.#current
  }

  /** Starts if need be; `undefined`: there is no producer id yet, and the partition is made ready when there is one. */
  start(producer: ScheduledProducer): Numbering | undefined {
    this.#current ??= this.#numbers.numbering(producer)
    return this.#current
  }

  /**
   * Goes on where another process, or this partition, has stopped; `undefined`: it is not known where, and the batch gets a number
   * that no batch of this partition has had.
   */
  resume(numbering: Numbering | undefined): void {
    if (numbering === undefined) this.raise()
    else this.#current = numbering
    this.#isSeen = numbering !== undefined
  }

  /** A batch with the current number was on its way to a broker. */
  seen(): void {
    this.#isSeen = true
  }

  /**
   * The next batch with the current number has other records than the last one. Where a broker may have seen the last one, the
   * epoch is raised, even if the broker said that it had not written it: if it had after all, it would answer that the other
   * records are written, and drop them.
   */
  changeRecords(): void {
    if (this.#isSeen) this.raise()
  }

  /** A batch was appended. Says nothing when another cluster has taken the place of the one that answered. */
  advance(recordCount: number): void {
    this.#isSeen = false
    if (this.#current !== undefined) this.#current = advanced(this.#current, recordCount)
  }

  /** Takes the next epoch, which fences late copies of everything that was sent before. */
  raise(): void {
    this.#isSeen = false
    const used = this.#current
    if (used === undefined) return
    this.#current = raised(used)
    if (this.#current === undefined) this.#numbers.usedUp(used.producerId)
  }

  /** Another cluster: the producer id is void there, and a broker could take it for another producer's. */
  forget(): void {
    this.#isSeen = false
    this.#current = undefined
  }
}
