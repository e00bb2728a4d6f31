import { type PrometheusMetrics, wholeRegistry } from '../../core/metrics/prometheus.js'
import type { MonotonicClock } from '../../core/model.js'

/** Rates are over this long, or over the time since the last but one question when that is longer. */
const WINDOW_MS = 10_000

interface Sample {
  readonly at: number
  readonly totals: ReadonlyMap<string, number>
}

/**
 * What Arion's clients read about its Kafka producer, under the names of the Java client, as far as Castellan measures it.
 * The numbers are those of all APIs of the process.
 */
export class KafkaStats {
  readonly #metrics: PrometheusMetrics
  readonly #clock: MonotonicClock
  #before: Sample
  #last: Sample

  constructor(metrics: PrometheusMetrics, clock: MonotonicClock) {
    this.#metrics = metrics
    this.#clock = clock
    this.#before = this.#last = { at: clock(), totals: new Map() }
  }

  async read(): Promise<Readonly<Record<string, number>>> {
    const now: Sample = { at: this.#clock(), totals: await this.#totals() }
    if (now.at - this.#last.at >= WINDOW_MS) {
      this.#before = this.#last
      this.#last = now
    }
    const total = (name: string): number => now.totals.get(name) ?? 0
    const seconds = Math.max(1, now.at - this.#before.at) / 1_000
    const rate = (name: string): number => round((total(name) - (this.#before.totals.get(name) ?? 0)) / seconds)
    const mean = (sum: string, count: string): number => round(total(count) === 0 ? 0 : total(sum) / total(count))
    const buffered = total('castellan_delivery_buffered_bytes')
    const limit = total('castellan_delivery_buffer_limit_bytes')
    return {
      'connection-count': total('castellan_cluster_brokers_up'),
      'record-send-rate': rate('castellan_delivery_delivered_records_total'),
      'record-error-rate': rate('castellan_delivery_failed_records_total'),
      'record-retry-rate': rate('castellan_delivery_retried_batches_total'),
      'record-queue-time-max': round(total('castellan_delivery_oldest_record_age_seconds') * 1_000),
      'request-rate': rate('castellan_router_request_latency_seconds_count'),
      'request-latency-avg': round(
        1_000 * mean('castellan_router_request_latency_seconds_sum', 'castellan_router_request_latency_seconds_count')
      ),
      'metadata-refresh-rate': rate('castellan_router_metadata_refreshes_total'),
      'buffer-total-bytes': limit,
      'buffer-available-bytes': Math.max(0, limit - buffered),
      'records-buffered': total('castellan_delivery_buffered_records'),
      'waiting-threads': 0
    }
  }

  /** The sum of all series of each metric. */
  async #totals(): Promise<ReadonlyMap<string, number>> {
    const totals = new Map<string, number>()
    for (const { name, values } of await (await wholeRegistry(this.#metrics)).getMetricsAsJSON()) {
      for (const { value, metricName = name } of values as readonly { value: number; metricName?: string }[]) {
        totals.set(metricName, (totals.get(metricName) ?? 0) + value)
      }
    }
    return totals
  }
}

const round = (value: number): number => Math.round(value * 1_000) / 1_000
