import type { ActorRef } from '../../core/actor/actor.js'
import type { LoopTurns } from '../../core/loop-turns.js'
import { type MetricsLogger, NANOSECONDS_PER_MILLISECOND, StatsReporter } from '../../core/metrics/metrics-logger.js'
import type { ClusterChange, Logger, MonotonicClock, ProduceRecord } from '../../core/model.js'
import type { Notice } from '../../core/notice.js'
import type { TraceContext, Tracing } from '../../core/tracing/tracing.js'
import type { Produce, RouterMessage } from '../../router/messages/operations.js'
import type { ReceiptHolder } from '../receipts/receipts.js'
import type { BufferCapacity } from './budget.js'
import type { Losses } from './losses.js'
import type { MemoryReceipts } from './memory-receipts.js'
import type { IdRefusal } from './numbering.js'
import type { DeliveryCounters } from './partition-producer-deps.js'
import type { PartitionerFunction, PartitionerName } from './partitioners.js'
import type { KeyTag, PendingProduce } from './pending-produce.js'
import type { DeliverySettings } from './settings.js'
import type { TopicView, TroubledPartition } from './topic-view.js'

/** Where accepted records are kept until Kafka has them: in memory, lost with the process, or in the durable log. */
export type Durability = 'memory' | 'disk'

export interface ProduceOptions {
  /** Records on disk take no function: they may get their partition after the process has ended. */
  readonly partitioner: PartitionerName | PartitionerFunction
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
   * How long records in memory wait, in order, while the producer of their partition is full; `isWaiting` of the
   * pending produce is then true. Default 0: they are refused at once.
   */
  readonly capacityWaitMs?: number | undefined
  /**
   * After the first record in memory that finds no capacity, all later records of the call are refused too, so that the
   * caller can send the refused ones again in their order. Default false.
   */
  readonly stopsWhereFull?: boolean | undefined
  /** Default: `memory`. */
  readonly durability?: Durability | undefined
  /**
   * The API that answers its client when the records are accepted, without waiting for their outcomes. Accepted records
   * that do not reach Kafka are counted as lost by this API. With `stopsWhereFull` the API has answered before the
   * call, so records that are refused after waiting for capacity, or for another reason than a full buffer, are counted,
   * too. Absent: the caller waits for the outcomes.
   */
  readonly answeredBy?: string | undefined
  /** Key, value and headers of one record; absent: `delivery.maxRecordBytes`. */
  readonly maxRecordBytes?: number | undefined
  /**
   * Records in memory that are not sent yet fail when it is aborted (`aborted`, `persisted: no`); what is under way keeps
   * its outcome. On disk it ends the wait only (`persisted: pending`).
   */
  readonly signal?: AbortSignal | undefined
  /** The trace to which the batches of the records are linked. Absent: none. */
  readonly trace?: TraceContext | undefined
}

export interface DeliveryDeps {
  readonly router: ActorRef<RouterMessage>
  readonly settings?: Partial<DeliverySettings> | undefined
  /**
   * Memory for records that wait for capacity, in addition to `delivery.maxBytes`. Default and minimum: the same amount. A
   * caller that limits the memory of all its requests passes that limit: a single request may then be larger than the
   * whole buffer, and its later records wait until its earlier ones are sent.
   */
  readonly waitingMaxBytes?: number | undefined
  readonly clock: MonotonicClock
  /** Epoch milliseconds, for records without a timestamp. */
  readonly now: () => number
  /** [0, 1) */
  readonly random: () => number
  readonly log: Logger
  readonly metrics: MetricsLogger
  /** Lets records that have waited for their topic enter it in turns with other long work. Default: in turns of their own. */
  readonly turns?: Pick<LoopTurns, 'run'> | undefined
  /** Counts records that were accepted and are lost. Default: an account of its own. */
  readonly losses?: Losses | undefined
  /** Gives receipts for records whose caller does not wait for them. Absent: none are given. */
  readonly receipts?: MemoryReceipts | undefined
  /** Records spans of batches. Absent: nothing does. */
  readonly tracing?: Tracing | undefined
  /** Why no broker can be reached; `undefined`: a broker can be reached, or the reason is unknown. */
  readonly awayBecause?: (() => Error | undefined) | undefined
}

export interface DeliveryStats extends Readonly<DeliveryCounters> {
  readonly bufferedRecords: number
  /** Memory of the buffered records, bookkeeping included; at most `delivery.maxBytes` and one record. */
  readonly bufferedBytes: number
  /** The part of these bytes that belongs to stuck partitions and to topics that are being looked up. */
  readonly stuckBytes: number
  /** Age of the oldest record that waits for Kafka; 0: none waits. */
  readonly oldestRecordAgeMs: number
  /** Topics that are being looked up, that are missing, or whose absence is remembered. */
  readonly unknownTopics: number
  readonly producers: number
  readonly producersBackingOff: number
}

/** Takes records that are to be written to Kafka. */
export interface Acceptor {
  /**
   * Takes records in order and copies their bytes; see PendingProduce.
   *
   * @param holder gets the receipt; absent: none is given
   * @param tag the request with a key that brings the records; absent: it has none
   */
  accept(
    records: readonly ProduceRecord[],
    options: ProduceOptions,
    holder?: ReceiptHolder,
    tag?: KeyTag
  ): PendingProduce
}

/** Delivers records to Kafka: in order per partition, once, until their deadline. */
export interface Delivery extends Acceptor {
  /** The memory of accepted records. */
  readonly capacity: BufferCapacity
  /** Warnings for operators. */
  readonly warnings: readonly Notice[]
  /** How far the clock of this machine is ahead of that of a broker, in milliseconds; `undefined`: no broker has told. */
  readonly clockAheadMs: number | undefined
  /** Why brokers give no producer id, so that no record can be written; `undefined`: they do, or were not asked for a minute. */
  readonly idRefusal: IdRefusal | undefined
  /** The id of the Kafka cluster that is connected; `undefined`: no broker has reported it yet. */
  readonly clusterId: string | undefined
  /**
   * The Router's Produce operation, for actors: with Java's partitioner and a time limit of 30 s unless the request
   * names others.
   */
  produce(request: Produce): void
  /** Called by the Router when another Kafka cluster is connected. */
  clusterChanged(change: ClusterChange): void
  /** Forgets that the topic or a partition of it was missing, because it has been created. */
  topicChanged(topic: string): void
  stats(): DeliveryStats
  /** The part of {@link stats} that costs the same whatever the number of topics. */
  counts(): Omit<DeliveryStats, 'oldestRecordAgeMs' | 'producers' | 'producersBackingOff'>
  /** Waiting records of each topic; `undefined`: none. Computed while it is read, so a reader can pause between two topics. */
  topicViews(): Iterable<TopicView | undefined>
  /** Some of the partitions of a topic whose records do not flow. */
  troubledIn(topic: string): readonly TroubledPartition[]
  /** Waits until no record is held, or for `timeoutMs`. Resolves with the number of records that are still held. */
  flush(timeoutMs: number): Promise<number>
  /**
   * Takes no more records, flushes, and fails the records that are left.
   *
   * @returns how many accepted records were lost since the start, including those that fail now
   */
  close(timeoutMs: number): Promise<number>
}

const COMPONENT = 'delivery'
const NO_TAGS = {}
const NAMES = {
  component: COMPONENT,
  counters: {
    delivered: 'delivered_records',
    failed: 'failed_records',
    withdrawn: 'withdrawn_records',
    refused: 'refused_records',
    retries: 'retried_batches'
  },
  gauges: {
    bufferedRecords: 'buffered_records',
    bufferedBytes: 'buffered_bytes',
    stuckBytes: 'stuck_bytes',
    unknownTopics: 'unknown_topics',
    producers: 'partitions',
    producersBackingOff: 'partitions_backing_off',
    oldestRecordAgeSeconds: 'oldest_record_age_seconds'
  }
} as const

/** Reports the statistics of delivery as metrics, from time to time instead of for each record. */
export class DeliveryMetrics {
  readonly #metrics: MetricsLogger
  readonly #stats: StatsReporter<keyof typeof NAMES.counters, keyof typeof NAMES.gauges>

  constructor(metrics: MetricsLogger, maxBytes: number) {
    this.#metrics = metrics
    this.#stats = new StatsReporter(metrics, NAMES)
    metrics.gauge?.(COMPONENT, 'buffer_limit_bytes', {}, maxBytes)
  }

  waitedForCapacity(waitedMs: number): void {
    this.#metrics.time(COMPONENT, 'capacity_wait', NO_TAGS, waitedMs * NANOSECONDS_PER_MILLISECOND)
  }

  waitedInPartition(waitedMs: number): void {
    this.#metrics.time(COMPONENT, 'partition_wait', NO_TAGS, waitedMs * NANOSECONDS_PER_MILLISECOND)
  }

  report(stats: DeliveryStats): void {
    this.#stats.report({ ...stats, oldestRecordAgeSeconds: stats.oldestRecordAgeMs / 1_000 })
  }
}
