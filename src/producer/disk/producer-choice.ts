import type { ProduceRecord } from '../../core/model.js'
import type { LoggedRecord } from '../log/logged-record.js'
import type { Lane } from '../memory/partition-producer.js'
import { type Partitioner, partitioners } from '../memory/partitioners.js'
import type { TopicLanes } from '../memory/topic-producers.js'
import { roughSizeOf } from '../memory/waiting-records.js'
import type { FlowRoom } from './cursor-capacity.js'
import { ANY_PARTITION } from './partition-cursors.js'
import { partitionerOfNumber } from './partitioner-numbers.js'
import type { FormerBatches } from './superseded-batches.js'

export interface LaneChoiceOptions {
  readonly topic: string
  readonly partitionCount: () => number
  readonly lanes: TopicLanes
  readonly room: FlowRoom
  readonly former: FormerBatches
}

/** Which lane of a topic a record of the log goes to, when it has room. */
export class LaneChoice {
  readonly #options: LaneChoiceOptions

  constructor(options: LaneChoiceOptions) {
    this.#options = options
  }

  /** A partition, or {@link ANY_PARTITION}. */
  flowOf(record: LoggedRecord): number {
    const { topic, partitionCount } = this.#options
    const choice = record.partition ?? partitionerOf(record)(record.key, partitionCount(), topic)
    return typeof choice === 'number' ? choice : ANY_PARTITION
  }

  /** Where a record of the flow goes; `undefined`: it has to wait. */
  laneFor(record: LoggedRecord, flow: number): Lane | undefined {
    const { topic, room, former, lanes } = this.#options
    const bytes = roughSizeOf(toProduceRecord(record))
    const partition = flow === ANY_PARTITION ? this.#anyWithRoom(record, bytes) : flow
    if (partition === undefined || !room.hasRoom(partition, bytes)) {
      room.lacks(flow, bytes)
      return undefined
    }
    if (record.partition === undefined && former.holdsUp(record.key, partition, partitionerOf(record), topic)) {
      room.holdUp(flow)
      return undefined
    }
    room.had(flow)
    return lanes.of(partition)
  }

  /** The partition that is chosen for records that may go anywhere, or the next one that has room. */
  #anyWithRoom(record: LoggedRecord, bytes: number): number | undefined {
    const { lanes, room, partitionCount } = this.#options
    return room.firstWithRoom(
      lanes.partitionOf(toProduceRecord(record), partitionerOf(record), partitionCount()),
      bytes
    )
  }
}

const partitionerOf = ({ partitioner }: LoggedRecord): Partitioner => partitioners[partitionerOfNumber(partitioner)]

/** The topic is that of the lane. */
export const toProduceRecord = ({ key, value, headers, timestampMs, isTimeGiven }: LoggedRecord): ProduceRecord => ({
  topic: '',
  key,
  value,
  headers,
  timestampMs: isTimeGiven ? timestampMs : undefined
})
