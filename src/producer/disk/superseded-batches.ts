import type { Bytes } from '../../core/model.js'
import type { Partitioner } from '../memory/partitioners.js'

interface Former {
  readonly partitionCount: number
  readonly open: Set<number>
}

/**
 * Batches that were sealed when their topic had another number of partitions, and are not in Kafka yet. Records of the keys
 * that belonged to those partitions wait for them, though they go elsewhere now: so the records of a key are appended in
 * order, whatever their partitions are.
 */
export class FormerBatches {
  readonly #byPartition = new Map<number, Former>()

  get isEmpty(): boolean {
    return this.#byPartition.size === 0
  }

  /** The number of partitions when the batch of this partition was sealed; `undefined`: the present one. */
  countOf(partition: number): number | undefined {
    return this.#byPartition.get(partition)?.partitionCount
  }

  add(partition: number, partitionCount: number, sequences: readonly number[]): void {
    if (sequences.length > 0 && !this.#byPartition.has(partition)) {
      this.#byPartition.set(partition, { partitionCount, open: new Set(sequences) })
    }
  }

  /** True when this was the last record of a former batch: the partition that waits for that batch may go on. */
  settled(sequence: number): boolean {
    for (const [partition, { open }] of this.#byPartition) {
      if (open.delete(sequence)) return open.size === 0 && this.#byPartition.delete(partition)
    }
    return false
  }

  forget(partition: number): void {
    this.#byPartition.delete(partition)
  }

  clear(): void {
    this.#byPartition.clear()
  }

  /** Whether a record with this key, which goes to `partition` now, would overtake one that is on its way elsewhere. */
  holdsUp(key: Bytes, partition: number, partitioner: Partitioner, topic: string): boolean {
    for (const [former, { partitionCount }] of this.#byPartition) {
      if (former !== partition && partitioner(key, partitionCount, topic) === former) return true
    }
    return false
  }
}
