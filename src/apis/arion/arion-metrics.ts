import type { Socket } from 'node:net'
import { type Cell, counterFamily, gaugeFamily } from '../../core/metrics/family.js'
import { Histogram, Meter, Timer } from '../../core/metrics/meter.js'
import { type PrometheusMetrics, registerFamily, wholeRegistry } from '../../core/metrics/prometheus.js'
import type { StatsdValue } from '../../core/metrics/statsd.js'
import type { MonotonicClock } from '../../core/model.js'
import type { DurableLogStats } from '../../gateway/gateway.js'
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

/**
 * Arion's metrics, under its names for StatsD. Those without a counterpart in Castellan are exported to Prometheus,
 * too.
 */
export class ArionMetrics {
  readonly #now: MonotonicClock
  readonly #startedAt: number
  readonly #meters = new Map<string, Meter>()
  readonly #timers = new Map<string, Timer>()
  readonly #success: Meter
  readonly #clientErrors: Meter
  readonly #serverErrors: Meter
  readonly #idleCloses: Meter
  readonly #stops: Meter
  readonly #attempts: Meter
  readonly #broadcastErrors: Meter
  readonly #broadcastTimes: Timer
  readonly #connectionTimes: Timer
  readonly #putTimes: Readonly<Record<Mode, Timer>>
  readonly #messageSizes = new Histogram()
  readonly #websocketMessages: { readonly sent: Cell; readonly failed: Cell }
  /** Open connections that have carried a request. */
  connections = 0
  /** Messages of websockets that wait for their reply. */
  readonly inFlight: Cell

  constructor({ registry }: PrometheusMetrics, now: MonotonicClock) {
    this.#now = now
    this.#startedAt = now()
    this.#meter('start').count++
    this.#stops = this.#meter('stop')
    this.#success = this.#meter('api.success')
    this.#clientErrors = this.#meter('api.client_error')
    this.#serverErrors = this.#meter('api.server_error')
    this.#idleCloses = this.#meter('api.idle_close')
    this.#attempts = this.#meter('broadcast.attempt')
    this.#broadcastErrors = this.#meter('broadcast.error')
    this.#broadcastTimes = this.#timer('broadcast.time')
    this.#connectionTimes = this.#timer('api.connection_duration')
    this.#putTimes = {
      sync: this.#timer('api.sync_put_time'),
      async: this.#timer('api.async_put_time'),
      websocket: this.#timer('api.websocket_put_time')
    }
    const messages = counterFamily('castellan_arion_websocket_messages_total', 'Messages that came by websocket')
    const inFlight = gaugeFamily(
      'castellan_arion_websocket_messages_in_flight',
      'Messages that wait for their reply',
      'sum'
    )
    registerFamily(registry, messages)
    registerFamily(registry, inFlight)
    const [sent, failed] = ['sent', 'failed'].map(outcome => messages.series({ outcome }))
    this.#websocketMessages = { sent: sent!, failed: failed! }
    this.inFlight = inFlight.series({})
  }

  #meter(name: string): Meter {
    const meter = new Meter(this.#startedAt)
    this.#meters.set(name, meter)
    return meter
  }

  #timer(name: string): Timer {
    const timer = new Timer(this.#startedAt)
    this.#timers.set(name, timer)
    return timer
  }

  answered(status: number): void {
    if (status < 400) this.#success.count++
    else if (status < 500) this.#clientErrors.count++
    else this.#serverErrors.count++
  }

  attempted(sizeBytes: number): void {
    this.#attempts.count++
    this.#messageSizes.observe(sizeBytes)
  }

  /** Counts an outcome and the time since the message was handed on. */
  settled(isDelivered: boolean, durationMs: number): void {
    if (isDelivered) this.#broadcastTimes.observe(durationMs)
    else this.#broadcastErrors.count++
  }

  /** Counts an answered message and the time since its last byte. */
  put(mode: Mode, durationMs: number): void {
    this.#putTimes[mode].observe(durationMs)
  }

  websocketAnswered(isSent: boolean): void {
    if (isSent) this.#websocketMessages.sent.value++
    else this.#websocketMessages.failed.value++
  }

  connectionEnded(durationMs: number): void {
    this.connections--
    this.#connectionTimes.observe(durationMs)
  }

  closedForSilence(): void {
    this.#idleCloses.count++
  }

  stopped(): void {
    this.#stops.count++
  }

  /** Everything by Arion's names, except the statistics of the queue and of Kafka. */
  toValues(): StatsdValue[] {
    const now = this.#now()
    return [
      ...[...this.#meters].flatMap(([name, meter]) => meter.toValues(`arion.${name}`, now)),
      ...[...this.#timers].flatMap(([name, timer]) => timer.toValues(`arion.${name}`, now)),
      ...this.#messageSizes.toValues('arion.queue.message_size'),
      { name: 'arion.api.connections', value: this.connections, type: 'g' }
    ]
  }
}

/** Counts the connections that requests come over, and how long they last from the first request on. */
export class ConnectionTimes {
  readonly #metrics: ArionMetrics
  readonly #clock: MonotonicClock
  readonly #known = new WeakSet<Socket>()

  constructor(metrics: ArionMetrics, clock: MonotonicClock) {
    this.#metrics = metrics
    this.#clock = clock
  }

  watch(socket: Socket): void {
    if (this.#known.has(socket) || socket.destroyed) return
    this.#known.add(socket)
    this.#metrics.connections++
    const startedAt = this.#clock()
    socket.once('close', () => this.#metrics.connectionEnded(this.#clock() - startedAt))
  }
}
