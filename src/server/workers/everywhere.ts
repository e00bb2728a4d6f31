import { aggregate } from '../../core/metrics/aggregate.js'
import type { PrometheusMetrics } from '../../core/metrics/prometheus.js'
import type { Everywhere } from '../../http/api/api.js'
import type { Peers } from './peers.js'

const TIMEOUT_MS = 2_000

/** What an API has in every worker. */
export const everywhereOf =
  (peers: Peers) =>
  (api: string): Everywhere =>
  <Value>(name: string, own: () => Value) => {
    const called = `${api} ${name}`
    peers.serve(called, own)
    return async () => [own(), ...((await peers.callOthers(called, undefined, TIMEOUT_MS)) as Value[])]
  }

/** The metrics of all processes, in one of the workers. */
export const gatheredFor = async (peers: Peers): Promise<PrometheusMetrics['registry']> =>
  aggregate([await peers.parent.call('gathered', undefined, TIMEOUT_MS)])
