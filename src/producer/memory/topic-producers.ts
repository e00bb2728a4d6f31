import type { ProduceRecord } from '../../core/model.js'
import { BatchLimit } from './batch-limit.js'
import { PartitionChoice } from './partition-choice.js'
import { PartitionProducer } from './partition-producer.js'
import type { PartitionProducerDeps } from './partition-producer-deps.js'
import type { Partitioner } from './partitioners.js'
import type { OutcomeReceiver } from './pending-produce.js'
import { roughSizeOf } from './waiting-records.js'

/** The producers of one topic, by partition, and which of them a record goes to. */
export class TopicProducers {
  /** `undefined`: nothing has been written to the partition. */
  readonly all: (PartitionProducer | undefined)[] = []
  readonly #topic: string
  readonly #deps: PartitionProducerDeps
  readonly #limit: BatchLimit
  readonly #choice: PartitionChoice

  constructor(topic: string, deps: PartitionProducerDeps) {
    this.#topic = topic
    this.#deps = deps
    this.#limit = new BatchLimit(deps.settings.batchMaxBytes, deps.clock)
    this.#choice = new PartitionChoice(topic, this.all, deps.random)
  }

  of(partition: number): PartitionProducer {
    return (this.all[partition] ??= new PartitionProducer(this.#topic, partition, this.#deps, this.#limit, () =>
      this.#choice.batchClosed(partition)
    ))
  }

  /** The partition that the record names, or that its partitioner chooses. */
  partitionOf({ partition, key }: ProduceRecord, partitioner: Partitioner, count: number): number {
    return partition ?? this.#choice.of(key, partitioner, count)
  }

  /** The producer of the record's partition, or, where that is full and any partition will do, the one with the least to do. */
  withCapacity(
    record: ProduceRecord,
    partitioner: Partitioner,
    count: number,
    pendingProduce: OutcomeReceiver
  ): PartitionProducer | undefined {
    const { partition, key } = record
    const producer = this.of(this.partitionOf(record, partitioner, count))
    const bytes = roughSizeOf(record)
    if (producer.charge.allows(bytes, pendingProduce)) return producer
    const elsewhere = partition === undefined ? this.#choice.elsewhere(key, partitioner, count) : undefined
    if (elsewhere === undefined) return undefined
    const other = this.of(elsewhere)
    return other.charge.allows(bytes, pendingProduce) ? other : undefined
  }
}
