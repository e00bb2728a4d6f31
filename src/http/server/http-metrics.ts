import { type Cell, counterFamily, type Durations, durationFamily, gaugeFamily } from '../../core/metrics/family.js'
import { type PrometheusMetrics, registerFamily } from '../../core/metrics/prometheus.js'

const MILLISECONDS_PER_SECOND = 1_000
/** Methods whose requests are timed apart: those that produce, and those that may wait for a message. */
const TIMED_METHODS: ReadonlySet<string> = new Set(['GET', 'POST'])

/** The counters of requests with the same labels. */
interface Series {
  readonly mount: string
  readonly method: string
  readonly status: number | 'aborted'
  readonly cell: Cell
  readonly durations: Durations
  readonly bodies: Durations
}

/** The metrics of all listeners. One object per process. */
export class HttpMetrics {
  readonly bodiesInFlightBytes: Cell
  readonly connections: Cell
  readonly requestsInFlight: Cell
  readonly upgradedConnections: Cell
  readonly #requests = counterFamily('castellan_http_requests_total', 'HTTP requests answered')
  readonly #durations = durationFamily('castellan_http_request_seconds', 'From the headers of a request to its end')
  readonly #bodies = durationFamily(
    'castellan_http_body_seconds',
    'From the headers of a request to the end of its body'
  )
  readonly #series = new Map<string, Series>()
  /** Consecutive requests mostly have the same labels, and comparing is cheaper than building a key. */
  #last: Series | undefined

  constructor({ registry }: PrometheusMetrics) {
    const bodies = gaugeFamily(
      'castellan_http_bodies_in_flight_bytes',
      'Bytes of request bodies and messages of gRPC that have come and whose requests are not answered',
      'sum'
    )
    const connections = gaugeFamily('castellan_http_connections', 'Open connections of HTTP clients', 'sum')
    const inFlight = gaugeFamily('castellan_http_requests_in_flight', 'Requests being answered', 'sum')
    const upgraded = gaugeFamily(
      'castellan_http_upgraded_connections',
      'Open connections of HTTP clients that were upgraded to the websocket protocol',
      'sum'
    )
    for (const family of [bodies, connections, inFlight, upgraded]) registerFamily(registry, family)
    registerFamily(registry, this.#requests)
    for (const durations of [this.#durations, this.#bodies]) registerFamily(registry, durations)
    this.bodiesInFlightBytes = bodies.series({})
    this.connections = connections.series({})
    this.requestsInFlight = inFlight.series({})
    this.upgradedConnections = upgraded.series({})
  }

  /**
   * @param mount name of the API, `none` outside of all
   * @param status as sent; `aborted` when the client left before the end of its answer
   * @param bodyMs from the headers to the end of the body; `undefined`: it has not come as a whole
   */
  answered(
    mount: string,
    method: string,
    status: number | 'aborted',
    durationMs: number,
    bodyMs: number | undefined
  ): void {
    const last = this.#last
    const series =
      last?.mount === mount && last.method === method && last.status === status
        ? last
        : this.#find(mount, method, status)
    series.cell.value++
    series.durations.observe(durationMs / MILLISECONDS_PER_SECOND)
    if (bodyMs !== undefined) series.bodies.observe(bodyMs / MILLISECONDS_PER_SECOND)
  }

  #find(mount: string, method: string, status: number | 'aborted'): Series {
    const key = `${mount} ${method} ${status}`
    let series = this.#series.get(key)
    if (!series) {
      const cell = this.#requests.series({ api: mount, method, status: String(status) })
      const durations = this.#durations.series({ api: mount, method: TIMED_METHODS.has(method) ? method : 'other' })
      const bodies = this.#bodies.series({ api: mount })
      this.#series.set(key, (series = { mount, method, status, cell, durations, bodies }))
    }
    this.#last = series
    return series
  }
}
