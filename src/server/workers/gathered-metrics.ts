import { aggregate, countersOf, type MetricsSnapshot, takeSnapshot } from '../../core/metrics/aggregate.js'
import type { PrometheusMetrics } from '../../core/metrics/prometheus.js'

type Registry = PrometheusMetrics['registry']

/** A worker that has much to do is late; what it said last is shown then. */
const WAIT_MS = 75

/** The metrics of this process and of all workers, as those of one. */
export class GatheredMetrics {
  readonly #own: Registry
  readonly #ask: (timeoutMs: number) => Promise<ReadonlyMap<number, MetricsSnapshot>>
  /** By number of the worker. */
  readonly #last = new Map<number, MetricsSnapshot>()
  /** What workers had counted that have ended: sums never go back. Several until they are added up. */
  #ended: readonly MetricsSnapshot[] = []
  /** How often a worker has ended, by number. */
  readonly #ends = new Map<number, number>()

  /** @param ask for a snapshot of each worker, by number */
  constructor(own: Registry, ask: (timeoutMs: number) => Promise<ReadonlyMap<number, MetricsSnapshot>>) {
    this.#own = own
    this.#ask = ask
  }

  get contentType(): Registry['contentType'] {
    return this.#own.contentType
  }

  /** A registry with the values of this moment. */
  async gather(): Promise<Registry> {
    const endsBefore = new Map(this.#ends)
    const [own, answers] = await Promise.all([takeSnapshot(this.#own), this.#ask(WAIT_MS)])
    for (const [number, snapshot] of answers) {
      // What a worker counted that has ended meanwhile is counted already.
      if (this.#ends.get(number) === endsBefore.get(number)) this.told(number, snapshot)
    }
    return aggregate([own, ...this.#last.values(), ...this.#ended])
  }

  /** In Prometheus' text format. */
  async metrics(): Promise<string> {
    return (await this.gather()).metrics()
  }

  getMetricsAsJSON(): Promise<MetricsSnapshot> {
    return this.gather().then(takeSnapshot)
  }

  /** A worker tells what it has counted, without having been asked. */
  told(number: number, snapshot: MetricsSnapshot): void {
    this.#last.set(number, snapshot)
  }

  /** A worker has ended; its successor counts from zero. Resolves when its counts are added to those of others. */
  async ended(number: number): Promise<void> {
    const last = this.#last.get(number)
    this.#last.delete(number)
    this.#ends.set(number, (this.#ends.get(number) ?? 0) + 1)
    if (last === undefined) return
    this.#ended = [...this.#ended, countersOf(last)]
    await this.#addUp()
  }

  async #addUp(): Promise<void> {
    const added = this.#ended
    const sum = await takeSnapshot(aggregate(added))
    // When several workers end at the same time, each adds up; the first result is kept, and those that ended since.
    if (this.#ended[0] === added[0]) this.#ended = [sum, ...this.#ended.slice(added.length)]
  }
}
