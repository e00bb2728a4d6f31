import { aggregate, countersOf, type MetricsSnapshot, takeSnapshot } from '../metrics/aggregate.js'
import type { PrometheusMetrics } from '../metrics/prometheus.js'

type Registry = PrometheusMetrics['registry']

/** A worker that has much to do is late; what it said last is shown then. */
const WAIT_MS = 75

/** The metrics of this process and of all workers, as those of one. */
export class GatheredMetrics {
  readonly #own: Registry
  readonly #ask: (timeoutMs: number) => Promise<ReadonlyMap<number, unknown>>
  /** By number of the worker. */
  readonly #last = new Map<number, MetricsSnapshot>()
  /** What workers had counted that have ended: sums never go back. */
  #ended: MetricsSnapshot = []

  /** @param ask for a snapshot of each worker, by number */
  constructor(own: Registry, ask: (timeoutMs: number) => Promise<ReadonlyMap<number, unknown>>) {
    this.#own = own
    this.#ask = ask
  }

  get contentType(): Registry['contentType'] {
    return this.#own.contentType
  }

  /** A registry with the values of this moment. */
  async gather(): Promise<Registry> {
    const [own, answers] = await Promise.all([takeSnapshot(this.#own), this.#ask(WAIT_MS)])
    for (const [number, snapshot] of answers) this.#last.set(number, snapshot as MetricsSnapshot)
    return aggregate([own, ...this.#last.values(), this.#ended])
  }

  /** In Prometheus' text format. */
  async metrics(): Promise<string> {
    return (await this.gather()).metrics()
  }

  getMetricsAsJSON(): Promise<MetricsSnapshot> {
    return this.gather().then(takeSnapshot)
  }

  /** A worker tells what it has counted, without having been asked. */
  told(number: number, snapshot: unknown): void {
    this.#last.set(number, snapshot as MetricsSnapshot)
  }

  /** A worker has ended; its successor counts from zero. */
  async ended(number: number): Promise<void> {
    const last = this.#last.get(number)
    this.#last.delete(number)
    if (last !== undefined) this.#ended = await takeSnapshot(aggregate([this.#ended, countersOf(last)]))
  }
}
