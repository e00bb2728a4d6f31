import type { ActorRef } from '../../core/actor/actor.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { ClusterChange, Logger, MonotonicClock, ProduceRecord } from '../../core/model.js'
import type { Produce, RouterMessage } from '../../router/messages/operations.js'
import type { BufferCapacity } from './budget.js'
import type { Losses } from './losses.js'
import type { DeliveryCounters } from './partition-producer-deps.js'
import type { PartitionerName } from './partitioners.js'
import type { PendingProduce } from './pending-produce.js'
import type { DeliverySettings } from './settings.js'

/** Where accepted records are kept until Kafka has them: lost with the process, or in the durable log. */
export type Durability = 'memory' | 'disk'

export interface ProduceOptions {
  readonly partitioner: PartitionerName
  /**
   * How long the caller waits for outcomes.
   *
   * In memory at most `delivery.timeoutMs`; a record that no broker can have written by then is withdrawn (`persisted: no`).
   *
   * On disk a record never expires: the deadline ends the wait only, and the outcome is `timedOut` with `persisted: pending`.
   * 0: the request does not wait; outcomes are `pending` as soon as the records are accepted. `Infinity` waits as long as it takes.
   */
  readonly deadlineMs: number
  /**
   * How long records in memory wait for room where the producer of their partition is full, in order; the pending produce says so.
   * Default 0: they are refused at once.
   */
  readonly capacityWaitMs?: number | undefined
  /**
   * Behind the first record in memory that finds no room all others of the call are refused, too: what was refused may be
   * handed in again in its order. Default false.
   */
  readonly stopsWhereFull?: boolean | undefined
  /** Default: `memory`. */
  readonly durability?: Durability | undefined
  /**
   * The API that answers its client as soon as the records are accepted, and not when their outcomes are known. Those that do
   * not reach Kafka are lost, and are counted for it; with `stopsWhereFull` it has answered before, so that each record counts
   * that is refused for another reason, or after having waited for room. Absent: the caller waits for the outcomes, and is told by them.
   */
  readonly answeredBy?: string | undefined
  /** Key, value and headers of one record; absent: `delivery.maxRecordBytes`. */
  readonly maxRecordBytes?: number | undefined
}

export interface DeliveryDeps {
  readonly router: ActorRef<RouterMessage>
  readonly settings?: Partial<DeliverySettings> | undefined
  /**
   * Memory for records that wait for room, beside `delivery.maxBytes`. Default, and least: as much as that. Where requests
   * are counted elsewhere until they are answered, it is what they may hold together: a single request may then be larger
   * than the whole buffer, and its records wait for the room that its earlier ones free.
   */
  readonly waitingMaxBytes?: number | undefined
  readonly clock: MonotonicClock
  /** Epoch milliseconds, for records without a timestamp. */
  readonly now: () => number
  /** [0, 1) */
  readonly random: () => number
  readonly log: Logger
  readonly metrics: MetricsLogger
  /** Counts records that were accepted and are lost. Default: an account of its own. */
  readonly losses?: Losses | undefined
  /** Why no broker can be reached, if none can. Default: nothing is known. */
  readonly awayBecause?: (() => Error | undefined) | undefined
}

export interface DeliveryStats extends Readonly<DeliveryCounters> {
  readonly bufferedRecords: number
  /** Bookkeeping included; never more than `delivery.maxBytes` and one record. */
  readonly bufferedBytes: number
  /** Of these bytes: records of partitions that do not move, and of topics that are being looked up. */
  readonly stuckBytes: number
  /** How long the oldest record that waits for Kafka has waited; 0: none waits. */
  readonly oldestRecordAgeMs: number
  /** Topics that are being looked up, that are missing, or whose absence is remembered. */
  readonly unknownTopics: number
  readonly producers: number
  readonly producersBackingOff: number
}

/** Brings records to Kafka: in order per partition, once, as long as their time allows. */
export interface Delivery {
  /** The memory that records take which are accepted. */
  readonly capacity: BufferCapacity
  /** Takes records in order and copies their bytes; see PendingProduce. */
  accept(records: readonly ProduceRecord[], options: ProduceOptions): PendingProduce
  /** The Router's Produce operation, for actors: Java's partitioner, 30 s unless the request says else. */
  produce(request: Produce): void
  /** Told by the Router which Kafka cluster is connected, whenever that changes. */
  clusterChanged(change: ClusterChange): void
  stats(): DeliveryStats
  /** Resolves when nothing is held any more, or after `timeoutMs`, with the records that are held then. */
  flush(timeoutMs: number): Promise<number>
  /**
   * Takes nothing more, flushes, and fails what is left.
   *
   * @returns the records that had been accepted since the start and were lost, those included that are failed now
   */
  close(timeoutMs: number): Promise<number>
}
