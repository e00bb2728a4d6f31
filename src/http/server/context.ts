import { randomBytes } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { performanceClock } from '../../core/clocks.js'
import type { CastellanError, OverloadedError } from '../../core/errors.js'
import type { PrometheusMetrics } from '../../core/metrics/prometheus.js'
import type { Logger, MonotonicClock } from '../../core/model.js'
import type { RecordBudget } from '../../core/record-budget.js'
import { RefusalCounts } from '../../core/refusals.js'
import type { Tracing } from '../../core/tracing/tracing.js'
import type { RequestAccess } from '../access/request-access.js'
import type { AddressUse } from '../engine/client-addresses.js'
import { Connections, type ReceivingBody } from '../engine/connections.js'
import type { RefusedHead } from '../engine/open-requests.js'
import type { SilenceLimit } from '../engine/silence-limit.js'
import { BodyThreads } from '../exchange/body-threads.js'
import { ForeignHosts } from '../exchange/browser-guard.js'
import { AnswerCompression, type ContentCodings } from '../exchange/compressed-answer.js'
import type { CountedCall, CountedCalls } from '../exchange/other-protocols.js'
import { LoadShedder } from './load-shedder.js'
import { type AccessLog, HttpMetrics, RequestLog, requestIds } from './request-log.js'
import type { HttpSettings } from './settings.js'

/** A call of another protocol, counted in the books of HTTP's connections. */
class ForeignCall implements CountedCall, ReceivingBody {
  readonly #connections: Connections
  readonly #shedder: LoadShedder
  readonly #onRefused: (refusal: OverloadedError) => void
  #isOver = false
  readonly address: AddressUse
  heldBytes = 0

  constructor(
    connections: Connections,
    shedder: LoadShedder,
    address: AddressUse,
    onRefused: (refusal: OverloadedError) => void
  ) {
    this.#connections = connections
    this.#shedder = shedder
    this.address = address
    this.#onRefused = onRefused
    address.requests.add(1)
    connections.receives(this)
  }

  refusal(): CastellanError | undefined {
    return this.#connections.requestRefusal(this) ?? this.#shedder.refusal()
  }

  refuse(refusal: OverloadedError): void {
    this.give(this.heldBytes)
    this.received()
    this.#onRefused(refusal)
  }

  take(sizeBytes: number): OverloadedError | undefined {
    return this.#isOver ? undefined : this.#connections.take(this, sizeBytes)
  }

  give(sizeBytes: number): void {
    this.#connections.give(this, Math.min(sizeBytes, this.heldBytes))
  }

  received(): void {
    this.#connections.hasReceived(this)
  }

  end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.received()
    this.give(this.heldBytes)
    this.address.requests.release(1)
  }
}

/** Parts that the servers of a process share. */
interface ContextOptions {
  readonly http: HttpSettings
  readonly metrics: PrometheusMetrics
  readonly log: Logger
  /** The budget of all large answers. Absent: none are counted. */
  readonly records?: RecordBudget | undefined
  /** Absent: no access rules are configured. */
  readonly requestAccess?: RequestAccess | undefined
  readonly accessLog?: AccessLog | undefined
  /** Absent: nothing records spans. */
  readonly tracing?: Tracing | undefined
  readonly now?: MonotonicClock
  /** Counts requests that are refused, by reason. Default: of its own. */
  readonly refusals?: RefusalCounts | undefined
  /** Begins the ids of requests that bring none. Default: at random. */
  readonly idPrefix?: string
}

/** The parts that all servers of a process share. */
export interface HttpContext extends Omit<ContextOptions, 'idPrefix'> {
  readonly now: MonotonicClock
  readonly connections: Connections
  readonly shedder: LoadShedder
  readonly codings: ContentCodings
  /** Counts clients of other protocols together with those of HTTP. */
  readonly calls: CountedCalls
  readonly requests: HttpMetrics
  readonly refusals: RefusalCounts
  readonly requestLog: RequestLog
  readonly foreignHosts: ForeignHosts
  readonly nextRequestId: ReturnType<typeof requestIds>
  /** Time limits for silence by API, for APIs that set one. */
  readonly silences: Map<string, SilenceLimit>
  isDraining: boolean
  /** Quotas do not apply to its requests. Default: they apply. */
  readonly isExempt?: boolean | undefined
  /** Requests that need a known `Host` on every listener. Default: none. */
  readonly needsHost?: ((request: FastifyRequest) => boolean) | undefined
  /** True once every answer closes its connection. */
  isLeaving: boolean
}

const NO_HEAD = { headers: {} }

export function createHttpContext(options: ContextOptions): HttpContext {
  const { http, metrics, log, now = performanceClock, idPrefix = randomBytes(4).toString('hex') } = options
  const { refusals = new RefusalCounts(now) } = options
  const limits = {
    ...http,
    headersTimeoutMs: Math.min(http.headersTimeoutMs, http.requestTimeoutMs),
    // A request that waits to be admitted is not read meanwhile.
    requestTimeoutMs: http.requestTimeoutMs + http.admissionWaitMs
  }
  const requests = new HttpMetrics(metrics)
  const requestLog = new RequestLog(log, now)
  const nextRequestId = requestIds(idPrefix)
  const onRefusedHead = ({ address: { key: address }, status, durationMs, request }: RefusedHead): void => {
    const requestId = nextRequestId(request ?? NO_HEAD)
    const fields = { requestId, address, method: request?.method, route: undefined, status, durationMs }
    if (options.accessLog?.wants()) options.accessLog.write({ ...fields, api: 'none' })
    requestLog.refused(fields)
  }
  const connections = new Connections(limits, { metrics, refusals, log, now, records: options.records, onRefusedHead })
  const shedder = new LoadShedder(http, { metrics, log, clock: now })
  const calls: CountedCalls = {
    maxHeaderBytes: http.maxHeaderBytes,
    connection: socket => {
      const address = connections.enter(socket)
      return { addressKey: address.key, begin: onRefused => new ForeignCall(connections, shedder, address, onRefused) }
    },
    refusedConnection: () => connections.refused('grpc')
  }
  return {
    ...options,
    now,
    connections,
    shedder,
    codings: { bodies: new BodyThreads(), answers: new AnswerCompression() },
    calls,
    requests,
    refusals,
    requestLog,
    foreignHosts: new ForeignHosts(log),
    nextRequestId,
    silences: new Map(),
    isDraining: false,
    isLeaving: false
  }
}
