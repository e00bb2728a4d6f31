import type { ProduceRecord } from '../../core/model.js'
import type { LoggedRecord } from '../log/logged-record.js'
import type { PartitionProducer } from '../memory/partition-producer.js'
import { type Partitioner, partitioners } from '../memory/partitioners.js'
import type { TopicProducers } from '../memory/topic-producers.js'
import { roughSizeOf } from '../memory/waiting-records.js'
import type { CursorCapacity } from './cursor-capacity.js'
import { ANY_PARTITION } from './partition-cursors.js'
import { partitionerOfNumber } from './partitioner-numbers.js'
import type { FormerBatches } from './superseded-batches.js'

export interface ProducerChoiceOptions {
  readonly topic: string
  readonly partitionCount: () => number
  readonly producers: TopicProducers
  readonly capacity: CursorCapacity
  readonly former: FormerBatches
}

/** Which partition of a topic a record of the log goes to, when it has room. */
export class ProducerChoice {
  readonly #options: ProducerChoiceOptions

  constructor(options: ProducerChoiceOptions) {
    this.#options = options
  }

  /** A partition, or {@link ANY_PARTITION}. */
  cursorOf(record: LoggedRecord): number {
    const { topic, partitionCount } = this.#options
    const choice = record.partition ?? partitionerOf(record)(record.key, partitionCount(), topic)
    return typeof choice === 'number' ? choice : ANY_PARTITION
  }

  /** Where a record of the cursor goes; `undefined`: it has to wait. */
  producerFor(record: LoggedRecord, cursor: number): PartitionProducer | undefined {
    const { topic, capacity, former, producers } = this.#options
    const bytes = roughSizeOf(toProduceRecord(record))
    const partition = cursor === ANY_PARTITION ? this.#anyWithCapacity(record, bytes) : cursor
    if (partition === undefined || !capacity.hasCapacity(partition, bytes)) {
      capacity.lacks(cursor, bytes)
      return undefined
    }
    if (record.partition === undefined && former.holdsUp(record.key, partition, partitionerOf(record), topic)) {
      capacity.holdUp(cursor)
      return undefined
    }
    capacity.had(cursor)
    return producers.of(partition)
  }

  /** The partition that is chosen for records that may go anywhere, or the next one that has room. */
  #anyWithCapacity(record: LoggedRecord, bytes: number): number | undefined {
    const { producers, capacity, partitionCount } = this.#options
    return capacity.firstWithCapacity(
      producers.partitionOf(toProduceRecord(record), partitionerOf(record), partitionCount()),
      bytes
    )
  }
}

const partitionerOf = ({ partitioner }: LoggedRecord): Partitioner => partitioners[partitionerOfNumber(partitioner)]

/** The topic is that of the partition. */
export const toProduceRecord = ({ key, value, headers, timestampMs, isTimeGiven }: LoggedRecord): ProduceRecord => ({
  topic: '',
  key,
  value,
  headers,
  timestampMs: isTimeGiven ? timestampMs : undefined
})
