import { type Cell, counterFamily, type Durations, durationFamily, gaugeFamily } from '../metrics/family.js'
import { type PrometheusMetrics, registerFamily } from '../metrics/prometheus.js'

const MILLISECONDS_PER_SECOND = 1_000

/** What every listener counts. One object per process. */
export class HttpMetrics {
  readonly bodiesInFlightBytes: Cell
  readonly connections: Cell
  readonly requestsInFlight: Cell
  readonly #requests = counterFamily('castellan_http_requests_total', 'HTTP requests answered')
  readonly #durations = durationFamily('castellan_http_request_seconds', 'From the headers of a request to its end')
  readonly #requestCells = new Map<string, Cell>()
  readonly #durationSeries = new Map<string, Durations>()

  constructor({ registry }: PrometheusMetrics) {
    const bodies = gaugeFamily('castellan_http_bodies_in_flight_bytes', 'Request bodies being received or answered')
    const connections = gaugeFamily('castellan_http_connections', 'Open connections of HTTP clients')
    const inFlight = gaugeFamily('castellan_http_requests_in_flight', 'Requests being answered')
    for (const family of [bodies, connections, inFlight]) registerFamily(registry, family)
    registerFamily(registry, this.#requests)
    registerFamily(registry, this.#durations)
    this.bodiesInFlightBytes = bodies.series({})
    this.connections = connections.series({})
    this.requestsInFlight = inFlight.series({})
  }

  /**
   * @param mount name of the dialect, `none` outside of all
   * @param status as sent; `aborted` when the client left before the end of its answer
   */
  answered(mount: string, method: string, status: number | 'aborted', durationMs: number): void {
    const key = `${mount} ${method} ${status}`
    let cell = this.#requestCells.get(key)
    if (!cell)
      this.#requestCells.set(key, (cell = this.#requests.series({ dialect: mount, method, status: String(status) })))
    cell.value++
    let durations = this.#durationSeries.get(mount)
    if (!durations) this.#durationSeries.set(mount, (durations = this.#durations.series({ dialect: mount })))
    durations.observe(durationMs / MILLISECONDS_PER_SECOND)
  }
}
