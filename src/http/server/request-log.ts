import type { IncomingMessage } from 'node:http'
import type { ErrorCode } from '../../core/errors.js'
import { HeldAmount } from '../../core/held-amount.js'
import { isoOf } from '../../core/instants.js'
import { type Cell, counterFamily, type Durations, durationFamily } from '../../core/metrics/family.js'
import { type PrometheusMetrics, registerFamily, registerGauge } from '../../core/metrics/prometheus.js'
import { type Logger, SECOND_MS } from '../../core/model.js'

/**
 * Limit of lines about single requests per window: while Kafka is away every request fails, and the log must not flood.
 */
const MAX_LINES = 10
const WINDOW_MS = 10_000

/** The logged facts of a request: never a path with values in it, a header or a body. */
export interface RequestFields {
  readonly requestId: string
  /** Absent: the head of the request could not be read. */
  readonly method: string | undefined
  /** The route as registered, such as `/topics/:topic/messages`; absent when none matched. */
  readonly route: string | undefined
  readonly status: number
  readonly durationMs: number
  /** Why the request failed, as a code of docs/errors.md; absent: it did not fail, or no reason was noted. */
  readonly err?: { readonly code: ErrorCode } | undefined
}

/** Requests are logged as slow that take this much longer than their clients have asked to wait, and than they were held. */
export const SLOW_MS = 5_000

/** Logs requests that failed, were slow or had bytes that cannot be served; reports the number of suppressed lines when there were too many. */
export class RequestLog {
  readonly #log: Logger
  readonly #now: () => number
  #windowStartedMs = Number.NEGATIVE_INFINITY
  #written = 0
  #leftOut = 0

  constructor(log: Logger, now: () => number) {
    this.#log = log
    this.#now = now
  }

  /**
   * Asked before an entry is made, so that a request that is not logged costs no object.
   *
   * @param ownMs its duration without the time for which its client has asked to wait, and for which it was held
   */
  wants(status: number, ownMs: number): boolean {
    return status >= 500 || ownMs >= SLOW_MS
  }

  answered(fields: RequestFields): void {
    if (!this.#mayWrite()) return
    this.#log.warn(fields, fields.status >= 500 ? 'request failed' : 'request was slow')
  }

  /** A request was answered because of its bytes, before an API had it. */
  refused(fields: RequestFields & { readonly address: string }): void {
    if (this.#mayWrite()) this.#log.warn(fields, 'request refused: its bytes are no request that can be served')
  }

  #mayWrite(): boolean {
    const now = this.#now()
    if (now - this.#windowStartedMs >= WINDOW_MS) {
      if (this.#leftOut > 0)
        this.#log.warn(
          { count: this.#leftOut },
          'further requests failed, were slow or were refused, and are not logged'
        )
      this.#windowStartedMs = now
      this.#written = 0
      this.#leftOut = 0
    }
    if (this.#written < MAX_LINES) {
      this.#written++
      return true
    }
    this.#leftOut++
    return false
  }
}

/** Methods that are timed separately: those that produce, and those that may wait for a message. */
const TIMED_METHODS: ReadonlySet<string> = new Set(['GET', 'POST'])

interface Series {
  readonly mount: string
  readonly method: string
  readonly status: number | 'aborted'
  readonly cell: Cell
  readonly durations: Durations
  readonly bodies: Durations
}

/** The metrics of the requests of all listeners. One object per process. */
export class HttpMetrics {
  readonly requestsInFlight = new HeldAmount('requests being answered')
  readonly upgradedConnections = new HeldAmount('upgraded connections')
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
    const show = registerGauge.bind(undefined, registry)
    show('castellan_http_requests_in_flight', 'Requests being answered', () => this.requestsInFlight.value)
    show(
      'castellan_http_upgraded_connections',
      'Open connections of HTTP clients that were upgraded to the websocket protocol',
      () => this.upgradedConnections.value
    )
    registerFamily(registry, this.#requests)
    for (const durations of [this.#durations, this.#bodies]) registerFamily(registry, durations)
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
    series.durations.observe(durationMs / SECOND_MS)
    if (bodyMs !== undefined) series.bodies.observe(bodyMs / SECOND_MS)
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

/** The facts of a request in the access log. */
export interface AccessFields extends Omit<RequestFields, 'status' | 'err'> {
  readonly address: string
  readonly api: string
  readonly status: number | 'aborted'
}

export interface AccessLog {
  /** Whether the request that has just ended gets a line. */
  wants(): boolean
  write(fields: AccessFields): void
}

/** The digits of a number behind its point: none, `.001`, …, `.01`. */
const FRACTIONS = Array.from({ length: 1_000 }, (_, thousandths) => String(thousandths / 1_000).slice(1))

/**
 * Lines of JSON. Clients choose only the request id, which is checked; the other values need no escaping. What most lines share
 * with the last one is kept.
 *
 *   {"level":"info","time":"2026-11-20T21:00:00.000Z","requestId":"a1","address":"10.0.0.7","api":"kprf","method":"POST","route":"/kprf/push","status":200,"durationMs":1.25,"msg":"request"}
 */
export class AccessLines {
  #second = Number.NaN
  #start = ''
  #last: AccessFields | undefined
  #middle = ''

  line(nowMs: number, fields: AccessFields): string {
    const { requestId, address, api, method, route, status, durationMs } = fields
    const second = Math.floor(nowMs / SECOND_MS)
    if (second !== this.#second) {
      this.#second = second
      this.#start = `{"level":"info","time":"${isoOf(nowMs)!.slice(0, -'000Z'.length)}`
    }
    const last = this.#last
    if (last?.api !== api || last.method !== method || last.route !== route || last.status !== status) {
      this.#last = fields
      const told = status === 'aborted' ? '"aborted"' : status
      this.#middle = `","api":"${api}","method":${JSON.stringify(method ?? null)},"route":${JSON.stringify(route ?? null)},"status":${told},"durationMs":`
    }
    const micros = Math.round(durationMs * 1_000)
    return (
      `${this.#start}${String(nowMs - second * SECOND_MS).padStart(3, '0')}Z","requestId":${JSON.stringify(requestId)},` +
      `"address":"${address}${this.#middle}${Math.floor(micros / 1_000)}${FRACTIONS[micros % 1_000]},"msg":"request"}\n`
    )
  }
}

/** The header by which a client may name its request; every answer repeats it. */
export const REQUEST_ID_HEADER = 'x-request-id'

// Printable ASCII without space, quote and backslash: safe in a header, in JSON and in a shell.
const ACCEPTABLE = /^[!#-[\]-~]{1,128}$/

/**
 * Names requests: the client's own id when it is short and printable, otherwise `PREFIX-N`.
 *
 * @param prefix differs between processes, so that ids of several instances are distinct in a common log
 */
export function requestIds(prefix: string): (request: Pick<IncomingMessage, 'headers'>) => string {
  let count = 0
  return ({ headers }) => {
    const given = headers[REQUEST_ID_HEADER]
    return typeof given === 'string' && ACCEPTABLE.test(given) ? given : `${prefix}-${(++count).toString(36)}`
  }
}
