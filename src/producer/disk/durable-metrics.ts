import { entriesOf, type MetricsLogger, StatsReporter } from '../../core/metrics/metrics-logger.js'
import type { LogStats } from '../log/availability.js'
import type { WalSettings } from '../log/settings.js'
import type { DeliveryCounters } from '../memory/partition-producer-deps.js'

/** Statistics of delivery from the log; counters begin at the start of the process. */
export interface DurableStats extends Readonly<DeliveryCounters> {
  /** Appended to the log. */
  readonly accepted: number
  /** Refused by Kafka for good, and kept as dead letters. */
  readonly deadLettered: number
  /** Topics that have an object: records are delivered to them, or Kafka is asked about them. */
  readonly topics: number
  readonly producers: number
  readonly producersBackingOff: number
  /**
   * Age of the oldest waiting record, divided by the retention of its topic. If this is 1 or more, Kafka deletes the
   * record on arrival.
   */
  readonly retentionShare: number
}

const LOG = 'wal'

const DURABLE = {
  component: 'durable',
  counters: {
    accepted: 'accepted_records',
    delivered: 'delivered_records',
    refused: 'refused_records',
    deadLettered: 'dead_lettered_records',
    retries: 'retried_batches'
  },
  gauges: {
    topics: 'topics',
    producers: 'partitions',
    producersBackingOff: 'partitions_backing_off',
    retentionShare: 'backlog_retention_ratio'
  }
} as const
const logGauges = {
  openEntries: 'open_records',
  deadLetters: 'dead_letters',
  sizeBytes: 'size_bytes',
  segmentCount: 'segments',
  damagedEntries: 'damaged_records',
  quarantinedSegments: 'quarantined_segments',
  outcomeBytes: 'outcome_bytes',
  lostOutcomes: 'lost_outcomes',
  damagedFiles: 'damaged_files'
} as const

/** Reports the statistics of delivery from the log as metrics. */
export const durableReporter = (metrics: MetricsLogger) => new StatsReporter(metrics, DURABLE)

/** Reports the statistics of the log itself, which all clusters share. */
export class LogMetrics {
  readonly #metrics: MetricsLogger
  #syncs = 0

  constructor(metrics: MetricsLogger, { maxBytes, readAheadBytes }: WalSettings) {
    this.#metrics = metrics
    metrics.gauge?.(LOG, 'limit_bytes', {}, maxBytes)
    metrics.gauge?.(LOG, 'read_ahead_limit_bytes', {}, readAheadBytes)
    metrics.count(LOG, 'syncs', {}, 0)
    for (const name of Object.values(logGauges)) metrics.gauge?.(LOG, name, {}, 0)
    this.writable(true)
    this.#waiting(0, 0)
  }

  /** @param oldestAgeMs how long the oldest record has waited for Kafka */
  report(stats: LogStats, oldestAgeMs: number, readAheadBytes: number): void {
    const metrics = this.#metrics
    for (const [name, metric] of entriesOf(logGauges)) metrics.gauge?.(LOG, metric, {}, stats[name])
    this.writable(stats.state === 'ok')
    this.#waiting(oldestAgeMs, readAheadBytes)
    if (stats.syncs > this.#syncs) metrics.count(LOG, 'syncs', {}, stats.syncs - this.#syncs)
    this.#syncs = stats.syncs
  }

  #waiting(oldestAgeMs: number, readAheadBytes: number): void {
    this.#metrics.gauge?.(LOG, 'oldest_record_age_seconds', {}, oldestAgeMs / 1_000)
    this.#metrics.gauge?.(LOG, 'read_ahead_bytes', {}, readAheadBytes)
  }

  /** @param isWritable whether the log takes records, or can be opened to take them */
  writable(isWritable: boolean): void {
    this.#metrics.gauge?.(LOG, 'writable', {}, isWritable ? 1 : 0)
  }
}
