import { type PrometheusMetrics, wholeRegistry } from '../../core/metrics/prometheus.js'
import type { MonotonicClock } from '../../core/model.js'
import type { DurableLogStats } from '../../gateway/gateway.js'

/** The queue as Arion describes it, under its names. */
export interface QueueStats {
  /** Files that hold messages. */
  readonly 'num-slabs': number
  /** Files that are written to or read from. */
  readonly 'num-active-slabs': number
  /** Messages that came, plus those found in the queue at start. */
  readonly enqueued: number
  /** Messages that were put back. Neither Arion nor Castellan ever puts a message back. */
  readonly retried: number
  /** Messages that no longer have to be kept. */
  readonly completed: number
  /** Messages that still have to be kept. */
  readonly 'in-progress': number
  /** Messages that Kafka has refused for good. Arion did not have them. */
  readonly 'dead-letters'?: number
}

/** The queue on disk. Its numbers cover all APIs that keep records there. */
export const diskStats = (log: DurableLogStats): QueueStats => ({
  'num-slabs': log.segmentCount,
  'num-active-slabs': Math.min(log.segmentCount, 1),
  enqueued: log.enqueued,
  retried: 0,
  completed: log.completed,
  'in-progress': log.openEntries,
  'dead-letters': log.deadLetters
})

/** The queue before its first message. */
export const NO_MESSAGES: QueueStats = {
  'num-slabs': 0,
  'num-active-slabs': 0,
  enqueued: 0,
  retried: 0,
  completed: 0,
  'in-progress': 0
}

/** The queues of several processes together; `undefined`: none of them had a message. */
export function sumOf(all: readonly (QueueStats | undefined)[]): QueueStats | undefined {
  const used = all.filter(stats => stats !== undefined)
  if (used.length === 0) return undefined
  const sum = (name: keyof QueueStats): number => used.reduce((total, stats) => total + (stats[name] ?? 0), 0)
  return {
    ...NO_MESSAGES,
    enqueued: sum('enqueued'),
    completed: sum('completed'),
    'in-progress': sum('in-progress')
  }
}

/** Counts the messages of this API that are kept in memory. */
export class QueueCounts {
  #enqueued = 0
  #completed = 0

  enqueued(messages: number): void {
    this.#enqueued += messages
  }

  completed(messages: number): void {
    this.#completed += messages
  }

  /** `undefined` before the first message. */
  get stats(): QueueStats | undefined {
    if (this.#enqueued === 0) return undefined
    return {
      ...NO_MESSAGES,
      enqueued: this.#enqueued,
      completed: this.#completed,
      'in-progress': this.#enqueued - this.#completed
    }
  }
}

/** Period of rates. If statistics are read less often, rates cover the period since the last reading but one. */
const WINDOW_MS = 10_000

interface Sample {
  readonly at: number
  readonly totals: ReadonlyMap<string, number>
}

/**
 * Statistics of the Kafka producer under the names of the Java client, as far as Castellan measures them.
 * The numbers cover all APIs of the process.
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
