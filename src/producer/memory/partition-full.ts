import type { RecordFailure } from '../../core/model.js'
import type { Budget } from './budget.js'
import { failures } from './failures.js'
import type { PartitionProducer } from './partition-producer.js'

/** What a record of so many bytes is told for which a partition has no room: the limit that holds at the moment. */
export function partitionFull(
  producer: PartitionProducer,
  bytes: number,
  budget: Budget,
  maxPartitionBytes: number
): RecordFailure {
  const { topic, partition, charge } = producer
  if (!charge.isStuck || budget.mayStick(bytes)) {
    const limits = 'delivery.maxPartitionBytes, delivery.maxBytes'
    return failures.overloaded(
      `the buffer of ${topic}/${partition} is`,
      Math.floor(budget.shareOf(maxPartitionBytes)),
      limits
    )
  }
  const what = `the part of the buffer for partitions that are stuck, as ${topic}/${partition} is, is`
  return failures.overloaded(what, budget.stuckPartitionsMaxBytes, 'a half of delivery.maxBytes')
}
