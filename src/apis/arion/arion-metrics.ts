import type { Socket } from 'node:net'
import { type Cell, counterFamily, gaugeFamily } from '../../core/metrics/family.js'
import { DurationMeter, Histogram, Meter } from '../../core/metrics/meter.js'
import { type PrometheusMetrics, registerFamily } from '../../core/metrics/prometheus.js'
import type { StatsdValue } from '../../core/metrics/statsd.js'
import type { MonotonicClock } from '../../core/model.js'
import type { DurableLogStats } from '../../verbs/verbs.js'
import type { Mode } from './target.js'

/** The queue as Arion describes it, under its names. */
export interface QueueStats {
  readonly 'num-slabs': number
  /** Files that are written to or read from. */
  readonly 'num-active-slabs': number
  /** Messages that came, plus those found in the queue at start. */
  readonly enqueued: number
  /** Messages that were put back. Neither Arion nor Castellan ever puts a message back. */
  readonly retried: number
  /** Messages that no longer have to be kept. */
  readonly completed: number
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

/** Messages of this API that are kept in memory, since the start. */
export interface QueueCounts {
  enqueued: number
  completed: number
}

export const NO_MESSAGES: QueueCounts = { enqueued: 0, completed: 0 }

/** The queues in memory of several processes together. */
export function memoryStats(all: readonly Readonly<QueueCounts>[]): QueueStats {
  const sum = (name: keyof QueueCounts): number => all.reduce((total, counts) => total + counts[name], 0)
  const [enqueued, completed] = [sum('enqueued'), sum('completed')]
  return {
    'num-slabs': 0,
    'num-active-slabs': 0,
    enqueued,
    retried: 0,
    completed,
    'in-progress': enqueued - completed
  }
}

/** Period of rates. If statistics are read less often, rates cover the period since the last reading but one. */
const WINDOW_MS = 10_000

interface MetricsSample {
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
  #before: MetricsSample
  #last: MetricsSample

  constructor(metrics: PrometheusMetrics, clock: MonotonicClock) {
    this.#metrics = metrics
    this.#clock = clock
    this.#before = this.#last = { at: clock(), totals: new Map() }
  }

  async read(): Promise<Readonly<Record<string, number>>> {
    const now: MetricsSample = { at: this.#clock(), totals: await this.#totals() }
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
    for (const { name, values } of await this.#metrics.registry.getMetricsAsJSON()) {
      for (const { value, metricName = name } of values as readonly { value: number; metricName?: string }[]) {
        totals.set(metricName, (totals.get(metricName) ?? 0) + value)
      }
    }
    return totals
  }
}

const round = (value: number): number => Math.round(value * 1_000) / 1_000

const METERS = [
  'start',
  'stop',
  'api.success',
  'api.client_error',
  'api.server_error',
  'api.idle_close',
  'broadcast.attempt',
  'broadcast.error'
] as const
const TIMERS = [
  'broadcast.time',
  'api.connection_duration',
  'api.sync_put_time',
  'api.async_put_time',
  'api.websocket_put_time'
] as const

/**
 * Arion's metrics, under its names for StatsD. Those without a counterpart in Castellan are exported to Prometheus,
 * too.
 */
export class ArionMetrics {
  readonly #clock: MonotonicClock
  readonly meters: Readonly<Record<(typeof METERS)[number], Meter>>
  readonly #timers: Readonly<Record<(typeof TIMERS)[number], DurationMeter>>
  readonly #messageSizes = new Histogram()
  readonly #sent: Cell
  readonly #failed: Cell
  readonly #known = new WeakSet<Socket>()
  /** Open connections that have carried a request. */
  #connections = 0
  /** Messages of websockets that wait for their reply. */
  readonly inFlight: Cell

  constructor({ registry }: PrometheusMetrics, clock: MonotonicClock) {
    this.#clock = clock
    const startedAt = clock()
    this.meters = perName(METERS, () => new Meter(startedAt))
    this.#timers = perName(TIMERS, () => new DurationMeter(startedAt))
    this.meters.start.count++
    const messages = counterFamily('castellan_arion_websocket_messages_total', 'Messages that came by websocket')
    const inFlight = gaugeFamily('castellan_arion_websocket_messages_in_flight', 'Messages that wait for their reply')
    registerFamily(registry, messages)
    this.#sent = messages.series({ outcome: 'sent' })
    this.#failed = messages.series({ outcome: 'failed' })
    this.inFlight = registerFamily(registry, inFlight).series({})
  }

  answered(status: number): void {
    this.meters[status < 400 ? 'api.success' : status < 500 ? 'api.client_error' : 'api.server_error'].count++
  }

  attempted(sizeBytes: number): void {
    this.meters['broadcast.attempt'].count++
    this.#messageSizes.observe(sizeBytes)
  }

  /** Counts an outcome and the time since the message was handed on. */
  settled(isDelivered: boolean, durationMs: number): void {
    if (isDelivered) this.#timers['broadcast.time'].observe(durationMs)
    else this.meters['broadcast.error'].count++
  }

  /** Counts an answered message and the time since its last byte. */
  put(mode: Mode, durationMs: number): void {
    this.#timers[`api.${mode}_put_time`].observe(durationMs)
  }

  websocketAnswered(isSent: boolean): void {
    const cell = isSent ? this.#sent : this.#failed
    cell.value++
  }

  /** Counts the connection that a request came over, and how long it lasts from its first request on. */
  watch(socket: Socket): void {
    if (this.#known.has(socket) || socket.destroyed) return
    this.#known.add(socket)
    this.#connections++
    const startedAt = this.#clock()
    socket.once('close', () => {
      this.#connections--
      this.#timers['api.connection_duration'].observe(this.#clock() - startedAt)
    })
  }

  /** Everything by Arion's names, except the statistics of the queue and of Kafka. */
  toValues(): StatsdValue[] {
    const now = this.#clock()
    return [
      ...Object.entries({ ...this.meters, ...this.#timers }).flatMap(([name, one]) =>
        one.toValues(`arion.${name}`, now)
      ),
      ...this.#messageSizes.toValues('arion.queue.message_size'),
      { name: 'arion.api.connections', value: this.#connections, type: 'g' }
    ]
  }
}

const perName = <Name extends string, Made>(names: readonly Name[], make: () => Made) =>
  Object.fromEntries(names.map(name => [name, make()])) as Record<Name, Made>
