import type { Logger, MonotonicClock, RecordFailure } from '../../core/model.js'
import type { Tracing } from '../../core/tracing/tracing.js'
import type { BatchBufferPool } from '../../kafka/record-batch-writer.js'
import type { Batch } from './batch.js'
import type { PartitionBudget } from './budget.js'
import type { WrittenBatches } from './log-search.js'
import type { Numbers } from './numbering.js'
import type { OwnTime } from './own-time.js'
import type { Schedule, ScheduledProducer } from './partition-schedule.js'
import type { SenderSettings } from './settings.js'

/**
 * The states of one partition's producer.
 *
 *   idle ─ a record ─▶ ready ─ flush ─▶ awaiting ─ acknowledged or failed ─▶ idle, or ready when more is waiting
 *                        ▲                 │ not now
 *                        └── time ── backingOff
 *
 * A batch that may have been written, and that brokers may not recognise any more, is `sought` in the log first.
 *
 * A partition of the durable log that has nowhere to send its records, or whose record is becoming a dead letter, is
 * `suspended` instead of failing them.
 */
export type PartitionProducerState = 'idle' | 'ready' | 'awaiting' | 'backingOff' | 'sought' | 'suspended'

/** Counts of records since the start. */
export interface DeliveryCounters {
  delivered: number
  /** Failed because of Kafka or a deadline, or given up, also at the close; withdrawn records are not included. */
  failed: number
  /** Removed unsent: at their deadline, or because the `signal` of their call was aborted. */
  withdrawn: number
  /** Refused, not accepted. */
  refused: number
  /** Failed attempts of batches that are sent again. */
  retries: number
}

export const newCounters = (): DeliveryCounters => ({ delivered: 0, failed: 0, withdrawn: 0, refused: 0, retries: 0 })

/** Owns the records of partitions that must not lose any: those of the durable log. */
export interface BatchOwner {
  /**
   * Kafka refuses this record for good. Resolves with true when the record is a dead letter; false: it must be sent
   * again.
   */
  deadLetter(index: number, failure: RecordFailure): Promise<boolean>
  /** Kafka refuses records of the topic at present. */
  refused?(topic: string, failure: RecordFailure): void
  delayed(producer: ScheduledProducer): void
  /** The partition waits until it is woken, because it cannot send its records anywhere. */
  suspended(producer: ScheduledProducer, failure: RecordFailure): void
}

/** Settings and state that the partitions of one topic share. */
export interface Siblings {
  /** Limit of the size of a batch before compression. */
  readonly batchMaxBytes: number
  /** A batch of several records was refused because of its size. */
  batchRefused(bytes: number): void
  /** A batch is sealed or full, or in trouble: records without a key may go elsewhere. */
  batchClosed(partition: number): void
  /** The topic has no such partition; what was placed in it may be taken away in this call. */
  misplaced(partition: number): void
}

/** The cluster that partitions write to. */
export interface ClusterState {
  /** Id of the Kafka cluster that producer ids belong to; `undefined`: not known yet. */
  readonly clusterId: string | undefined
  /**
   * Why nothing can be written: no broker can be reached, or they give no producer id; `undefined`: it can, or the reason is
   * unknown.
   */
  readonly awayBecause: string | undefined
}

/** Settings and state that all partitions of one delivery share. */
export interface SharedByPartitions {
  /** Records of a partition whose `timeoutMs` is infinite never expire. */
  readonly settings: SenderSettings
  readonly clock: MonotonicClock
  readonly random: () => number
  readonly log: Logger
  readonly counters: DeliveryCounters
  readonly batchBuffers: BatchBufferPool
  /** Objects of delivered small batches. Thousands of partitions, few of which have a batch at a time, need none of their own. */
  readonly spareBatches: Batch[]
  readonly cluster: ClusterState
  readonly schedule: Schedule
  readonly numbers: Numbers
  readonly ownTime: OwnTime
  /** Absent: Kafka's log is never searched, because brokers recognise each batch that is sent again. */
  readonly written?: WrittenBatches | undefined
  /** Records spans of batches. Absent: nothing does. */
  readonly tracing?: Tracing | undefined
}

export interface PartitionProducerDeps extends SharedByPartitions {
  readonly budget: PartitionBudget
  /** Epoch milliseconds: the timestamp that records get when they are sent. Absent: they keep their own. */
  readonly sendTimeMs?: (() => number) | undefined
  /** Called when a batch is sent for the first time, with the time that its oldest record has waited. */
  readonly waitedInPartition?: ((waitedMs: number) => void) | undefined
  /** Absent: records may be given up, and waiting requests get a failure. */
  readonly owner?: BatchOwner | undefined
}
