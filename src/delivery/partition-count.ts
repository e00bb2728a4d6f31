import type { TopicMetadata } from '../wire/broker-client.js'

/** What is told so often in a row is believed. */
const TOLD_BELIEVED = 3

/**
 * How many partitions a topic has. Keys go where this number sends them, so an answer of a broker that lags behind must
 * not change it.
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

  /** Something else was told, and it takes further answers to know. */
  get isDoubted(): boolean {
    return this.#doubted !== undefined
  }

  /** What a look-up found. */
  told({ topicId, partitions }: TopicMetadata): void {
    const count = partitions.length
    const isSameLife = topicId === undefined || this.#topicId === undefined || topicId === this.#topicId
    if (this.#count === 0 || count === this.#count || (isSameLife && count > this.#count)) this.#believe(count, topicId)
    else if (topicId !== undefined && topicId === this.#topicId) this.#doubted = undefined
    else this.#doubt(count, topicId)
  }

  /** The topic is gone, or the cluster that had it. */
  forget(): void {
    this.#count = 0
    this.#topicId = undefined
    this.#doubted = undefined
  }

  #doubt(count: number, topicId: string | undefined): void {
    const { count: countBefore, topicId: idBefore, times } = this.#doubted ?? { times: 0 }
    const isRepeated = countBefore === count && idBefore === topicId
    this.#doubted = { count, topicId, times: isRepeated ? times + 1 : 1 }
    if (this.#doubted.times >= TOLD_BELIEVED) this.#believe(count, topicId)
  }

  /** An older broker that tells no id does not undo the one that is known of the same number of partitions. */
  #believe(count: number, topicId: string | undefined): void {
    const isUnchanged = count === this.#count && topicId === undefined
    if (!isUnchanged) this.#topicId = topicId
    this.#count = count
    this.#doubted = undefined
  }
}
