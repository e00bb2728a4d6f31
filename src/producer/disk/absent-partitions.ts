import { failures } from '../memory/failures.js'
import type { TroubledPartition } from '../memory/topic-view.js'

/** Records that are noted one by one; those beyond are not known to wait for a missing partition. */
const MAX_RECORDS = 10_000
/** So many partitions are named one by one. */
const MAX_NAMED = 5

/** The records of one topic of the log that name a partition which the topic does not have. They wait until it has it. */
export class AbsentPartitions {
  readonly #topic: string
  /** The partition of each record, by its sequence. */
  readonly #bySequence = new Map<number, number>()

  constructor(topic: string) {
    this.#topic = topic
  }

  add(sequence: number, partition: number): void {
    if (this.#bySequence.size < MAX_RECORDS) this.#bySequence.set(sequence, partition)
  }

  delete(sequence: number): void {
    if (this.#bySequence.size > 0) this.#bySequence.delete(sequence)
  }

  /** The topic has another number of partitions. */
  clear(): void {
    this.#bySequence.clear()
  }

  /** Why a record waits; `undefined`: not for a partition that is missing. */
  whyWaiting(sequence: number): string | undefined {
    const partition = this.#bySequence.get(sequence)
    return partition === undefined ? undefined : `${this.#messageOf(partition)}; it waits until there is one`
  }

  /** Some of the partitions that records wait for. */
  get troubled(): TroubledPartition[] {
    return this.#partitions.slice(0, MAX_NAMED).map(partition => ({
      partition,
      state: 'suspended',
      attempts: 1,
      obstacle: { error: 'unknownPartition', message: this.#messageOf(partition) }
    }))
  }

  get count(): number {
    return this.#partitions.length
  }

  get #partitions(): number[] {
    return [...new Set(this.#bySequence.values())]
  }

  #messageOf(partition: number): string {
    return failures.unknownPartition(this.#topic, partition, 'pending').message
  }
}
