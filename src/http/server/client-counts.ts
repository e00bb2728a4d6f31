import type { CastellanError, OverloadedError } from '../../core/errors.js'
import type { PrometheusMetrics } from '../../core/metrics/prometheus.js'
import type { Logger, MonotonicClock } from '../../core/model.js'
import { Refusals } from '../../core/refusals.js'
import type { AddressUse } from '../engine/client-addresses.js'
import { Connections, type ReceivingBody } from '../engine/connections.js'
import type { CountedCall, CountedCalls } from '../exchange/other-protocols.js'
import { LoadShedder } from './load-shedder.js'
import { HttpMetrics } from './request-log.js'
import type { HttpSettings } from './settings.js'

/** A call of another protocol, counted in the books of HTTP's connections. */
class Call implements CountedCall, ReceivingBody {
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
    address.requests++
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
    this.address.requests--
  }
}

/** The counts of clients of all ports, including clients of other protocols. */
export interface ClientCounts {
  readonly metrics: HttpMetrics
  readonly connections: Connections
  readonly shedder: LoadShedder
  readonly calls: CountedCalls
  /** Requests that are refused, by reason. */
  readonly refusals: Refusals
}

export function createClientCounts(options: {
  readonly http: HttpSettings
  readonly metrics: PrometheusMetrics
  readonly log: Logger
  readonly now: MonotonicClock
  /** Default: of its own. */
  readonly refusals?: Refusals | undefined
}): ClientCounts {
  const { http, log, now, refusals = new Refusals(now) } = options
  const metrics = new HttpMetrics(options.metrics)
  const limits = {
    ...http,
    headersTimeoutMs: Math.min(http.headersTimeoutMs, http.requestTimeoutMs),
    // A request that waits to be admitted is not read meanwhile.
    requestTimeoutMs: http.requestTimeoutMs + http.admissionWaitMs
  }
  const connections = new Connections(limits, { metrics: options.metrics, refusals, log, now })
  const shedder = new LoadShedder(http, { metrics: options.metrics, log, clock: now })
  const calls: CountedCalls = {
    maxHeaderBytes: http.maxHeaderBytes,
    connection: socket => {
      const address = connections.enter(socket)
      return { addressKey: address.key, begin: onRefused => new Call(connections, shedder, address, onRefused) }
    },
    refusedConnection: () => connections.refused('grpc')
  }
  return { metrics, connections, shedder, calls, refusals }
}
