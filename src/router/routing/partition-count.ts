import type { TopicMetadata } from '../../kafka/broker-client.js'

/** After this many equal answers in a row a number is believed. */
const TOLD_BELIEVED = 3

/**
 * How many partitions a topic has. The number decides where keys go, so an answer of a broker that lags must not change it.
 *
 *   more, in the same life of the topic     believed: partitions are added
 *   fewer, in the same life by its id       never: Kafka takes no partition from a topic that lives
 *   another number in another life, or      believed when it is told three times in a row: of two ids, nothing says
 *   fewer where no id is told               which one came later
 */
export class PartitionCount {
  #count = 0
  #topicId: string | undefined
  #doubted: { readonly count: number; readonly topicId: string | undefined; times: number } | undefined

  /** 0: not known. */
  get value(): number {
    return this.#count
  }

  /** The topic id to which the number belongs; `undefined`: not known. */
  get topicId(): string | undefined {
    return this.#topicId
  }

  /** Another number was named, which is not believed yet. */
  get isDoubted(): boolean {
    return this.#doubted !== undefined
  }

  /** Notes what a look-up found. */
  told({ topicId, partitions }: TopicMetadata): void {
    const count = partitions.length
    const isSameIncarnation = topicId === undefined || this.#topicId === undefined || topicId === this.#topicId
    if (this.#count === 0 || count === this.#count || (isSameIncarnation && count > this.#count))
      this.#believe(count, topicId)
    else if (topicId !== undefined && topicId === this.#topicId) this.#doubted = undefined
    else this.#doubt(count, topicId)
  }

  #doubt(count: number, topicId: string | undefined): void {
    const { count: countBefore, topicId: idBefore, times } = this.#doubted ?? { times: 0 }
    const isRepeated = countBefore === count && idBefore === topicId
    this.#doubted = { count, topicId, times: isRepeated ? times + 1 : 1 }
    if (this.#doubted.times >= TOLD_BELIEVED) this.#believe(count, topicId)
  }

  /** An answer without an id and with the same number keeps the known id. */
  #believe(count: number, topicId: string | undefined): void {
    const isUnchanged = count === this.#count && topicId === undefined
    if (!isUnchanged) this.#topicId = topicId
    this.#count = count
    this.#doubted = undefined
  }
}
