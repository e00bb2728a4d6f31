import type { ErrorCode } from '../../core/errors.js'
import { type Cell, counterFamily, gaugeFamily } from '../../core/metrics/family.js'
import { type PrometheusMetrics, registerFamily } from '../../core/metrics/prometheus.js'

/** What access checks count. One object per process. */
export class AccessMetrics {
  /** Requests that are counted in by a quota of their principal or address. */
  readonly requestsInFlight: Cell
  readonly #refused = counterFamily('castellan_access_refused_requests_total', 'Requests that were not let in')

  constructor({ registry }: PrometheusMetrics) {
    const inFlight = gaugeFamily(
      'castellan_access_quota_requests_in_flight',
      'Requests counted in by quotas, once per principal and once per address',
      'sum'
    )
    registerFamily(registry, inFlight)
    registerFamily(registry, this.#refused)
    this.requestsInFlight = inFlight.series({})
  }

  refused(reason: ErrorCode): void {
    this.#refused.series({ reason }).value++
  }
}
