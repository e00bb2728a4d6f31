import type { ProduceRecord, RecordBatch } from '../model.js'
import type { RecordFailure, RecordOutcome } from '../operations.js'

/** How a record without a partition finds one. Each gives the same partition as the system it is named after. */
export type PartitionerName =
  | 'murmur2' // Java client
  | 'crc32' // librdkafka consistent_random, kprf
  | 'fnv1a' // Sarama hash, Kafka-Pixy
  | 'javaHashCode' // Arion
  | 'phash2' // kafboy
  | 'random'
  | 'roundRobin'

export interface ProduceOptions {
  readonly partitioner: PartitionerName
  /** How long the caller waits for outcomes. A record not sealed into a batch by then is withdrawn (`persisted: no`). */
  readonly deadlineMs: number
}

/** The synchronous answer to produce: which records were taken, and a way to learn what became of them. */
export interface ProduceTicket {
  /** `undefined`: all accepted. Else one entry per record, `undefined` for an accepted one. */
  readonly refused: readonly (RecordFailure | undefined)[] | undefined
  /** One outcome per record, in order, refused ones included; resolves within the deadline, never rejects. */
  outcomes(): Promise<readonly RecordOutcome[]>
}

/** What the process can do, in the words of no particular API. */
export interface Gateway {
  /**
   * Takes records in order. Keys and values are copied before it returns, so their buffers are free at once.
   * Records of one partition keep the order of the calls, awaited or not.
   */
  produce(records: readonly ProduceRecord[], options: ProduceOptions): ProduceTicket
  /** True once any broker has answered and until all are gone. */
  readonly isReady: boolean
}

export type { RecordBatch }
