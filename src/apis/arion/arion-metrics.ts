import type { Socket } from 'node:net'
import { type Cell, counterFamily, gaugeFamily } from '../../core/metrics/family.js'
import { Histogram, Meter, Timer } from '../../core/metrics/meter.js'
import { type PrometheusMetrics, registerFamily } from '../../core/metrics/prometheus.js'
import type { StatsdValue } from '../../core/metrics/statsd.js'
import type { MonotonicClock } from '../../core/model.js'
import type { Mode } from './target.js'

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

  /** A message has been handed on. */
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
