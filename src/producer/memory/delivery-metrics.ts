import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { DeliveryStats } from './delivery.js'

const COMPONENT = 'delivery'
const NO_TAGS = {}
const NANOSECONDS_PER_MILLISECOND = 1e6
/** Metric name by what delivery counts. */
const counted = {
  delivered: 'delivered_records',
  failed: 'failed_records',
  withdrawn: 'withdrawn_records',
  refused: 'refused_records',
  retries: 'retried_batches'
} as const
const gauged = {
  bufferedRecords: 'buffered_records',
  bufferedBytes: 'buffered_bytes',
  stuckBytes: 'stuck_bytes',
  unknownTopics: 'unknown_topics',
  producers: 'partitions',
  producersBackingOff: 'partitions_backing_off'
} as const
const keysOf = <Key extends string>(object: Record<Key, string>): Key[] => Object.keys(object) as Key[]

/** Tells the metrics what delivery has counted, now and then rather than for every record. */
export class DeliveryMetrics {
  readonly #metrics: MetricsLogger
  #last: DeliveryStats | undefined

  /** @param maxBytes the bound of what is buffered */
  constructor(metrics: MetricsLogger, maxBytes: number) {
    this.#metrics = metrics
    metrics.gauge(COMPONENT, 'buffer_limit_bytes', {}, maxBytes)
  }

  waitedForCapacity(waitedMs: number): void {
    this.#metrics.time(COMPONENT, 'capacity_wait', NO_TAGS, waitedMs * NANOSECONDS_PER_MILLISECOND)
  }

  waitedInPartition(waitedMs: number): void {
    this.#metrics.time(COMPONENT, 'partition_wait', NO_TAGS, waitedMs * NANOSECONDS_PER_MILLISECOND)
  }

  report(stats: DeliveryStats): void {
    for (const name of keysOf(counted)) {
      const more = stats[name] - (this.#last?.[name] ?? 0)
      if (more > 0) this.#metrics.count(COMPONENT, counted[name], {}, more)
    }
    for (const name of keysOf(gauged)) {
      if (stats[name] !== this.#last?.[name]) this.#metrics.gauge(COMPONENT, gauged[name], {}, stats[name])
    }
    const { oldestRecordAgeMs } = stats
    if (oldestRecordAgeMs !== this.#last?.oldestRecordAgeMs) {
      this.#metrics.gauge(COMPONENT, 'oldest_record_age_seconds', {}, oldestRecordAgeMs / 1_000)
    }
    this.#last = stats
  }
}
