import {
  aggregate,
  countersOf,
  type MetricsSnapshot,
  type PrometheusMetrics,
  takeSnapshot
} from '../../core/metrics/prometheus.js'
import type { StatsdSource, StatsdSources, StatsdValue } from '../../core/metrics/statsd.js'
import type { Everywhere } from '../../http/api/api.js'
import { callOthers } from '../calls/peers.js'
import type { WorkerPeers } from './worker-peers.js'

type MetricsRegistry = PrometheusMetrics['registry']

/** Time limit for the snapshot of a worker. When a busy worker misses it, its last snapshot is used. */
const WAIT_MS = 75

/** The metrics of the parent and of all workers, combined as if they were one process. */
export class GatheredMetrics {
  readonly #own: MetricsRegistry
  readonly #ask: (timeoutMs: number) => Promise<ReadonlyMap<number, MetricsSnapshot>>
  readonly #last = new Map<number, MetricsSnapshot>()
  /** Counters of exited workers, without their gauges. There are several snapshots until their sum is computed. */
  #ended: readonly MetricsSnapshot[] = []
  readonly #ends = new Map<number, number>()

  /** @param ask asks all workers for a snapshot; the result has the snapshots by number of the worker */
  constructor(own: MetricsRegistry, ask: (timeoutMs: number) => Promise<ReadonlyMap<number, MetricsSnapshot>>) {
    this.#own = own
    this.#ask = ask
  }

  get contentType(): MetricsRegistry['contentType'] {
    return this.#own.contentType
  }

  /** Asks all workers for their metrics. Resolves with a registry of the current values. */
  async gather(): Promise<MetricsRegistry> {
    const endsBefore = new Map(this.#ends)
    const [own, answers] = await Promise.all([takeSnapshot(this.#own), this.#ask(WAIT_MS)])
    for (const [number, snapshot] of answers) {
      // If a worker has ended in the meantime, its counters are already in `#ended`.
      if (this.#ends.get(number) === endsBefore.get(number)) this.reported(number, snapshot)
    }
    return aggregate([own, ...this.#last.values(), ...this.#ended])
  }

  /** The current values in the text format of Prometheus. */
  async metrics(): Promise<string> {
    return (await this.gather()).metrics()
  }

  getMetricsAsJSON(): Promise<MetricsSnapshot> {
    return this.gather().then(takeSnapshot)
  }

  /** Keeps a snapshot that a worker sends without being asked. */
  reported(number: number, snapshot: MetricsSnapshot): void {
    this.#last.set(number, snapshot)
  }

  /**
   * Called when a worker has ended. Its counters are kept, because its successor starts at zero. Resolves when they are
   * added to the counters of other ended workers.
   */
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
    // Another worker may have ended while the sum was computed. Its snapshot is kept beside the sum.
    if (this.#ended[0] === added[0]) this.#ended = [sum, ...this.#ended.slice(added.length)]
  }
}

/** StatsD values that the APIs of a worker report under their own names. The parent asks for these values. */
export function collectedStatsd(): StatsdSources & { values(): Promise<StatsdValue[]> } {
  const sources: StatsdSource[] = []
  return {
    add: source => void sources.push(source),
    values: async () => (await Promise.all(sources.map(source => source()))).flatMap(values => [...values])
  }
}

/**
 * Combines the values of several workers. Gauges are summed, unless each gauge already covers all workers. Other values
 * are passed on, and the StatsD server adds them up.
 */
export function mergeStatsd(answers: ReadonlyMap<number, readonly StatsdValue[]>): StatsdValue[] {
  const gauges = new Map<string, StatsdValue>()
  const others: StatsdValue[] = []
  for (const value of [...answers.values()].flat()) {
    const known = gauges.get(value.name)
    if (value.type !== 'g') others.push(value)
    else if (known === undefined) gauges.set(value.name, value)
    else if (!value.isOfAll) gauges.set(value.name, { ...value, value: known.value + value.value })
  }
  return [...gauges.values(), ...others]
}

const TIMEOUT_MS = 2_000

/** Returns a function that collects values of an API from every worker. */
export const everywhereOf =
  (peers: WorkerPeers) =>
  (api: string): Everywhere =>
  <Value>(name: string, own: () => Value) => {
    const called = `${api} ${name}`
    peers.serve(called, own)
    return async () => [own(), ...((await callOthers(peers, called, undefined, { timeoutMs: TIMEOUT_MS })) as Value[])]
  }

/** Asks the parent for the metrics of all processes, on behalf of a worker. */
export const gatheredFor = async (peers: WorkerPeers): Promise<PrometheusMetrics['registry']> =>
  aggregate([await peers.parent.call('gathered', undefined, TIMEOUT_MS)])
