import { type CastellanError, OverloadedError } from '../../core/errors.js'
import type { PrometheusMetrics } from '../../core/metrics/prometheus.js'
import type { Logger, MonotonicClock } from '../../core/model.js'
import { Refusals } from '../../core/refusals.js'
import type { CountedCall, CountedCalls } from '../exchange/other-protocols.js'
import { type AddressUse, BodyBudget } from './client-addresses.js'
import { Connections, type ReceivingBody } from './connections.js'
import { LoadShedder } from './load-shedder.js'
import { HttpMetrics } from './request-log.js'
import type { HttpSettings } from './settings.js'

/** A call of another protocol, counted in the books of HTTP's connections. */
class Call implements CountedCall, ReceivingBody {
  readonly #counts: Pick<ClientCounts, 'connections' | 'shedder'>
  readonly #onRefused: (refusal: OverloadedError) => void
  #isOver = false
  readonly address: AddressUse
  heldBytes = 0

  constructor(
    counts: Pick<ClientCounts, 'connections' | 'shedder'>,
    address: AddressUse,
    onRefused: (refusal: OverloadedError) => void
  ) {
    this.#counts = counts
    this.address = address
    this.#onRefused = onRefused
    address.requests++
    counts.connections.receives(this)
  }

  refusal(): CastellanError | undefined {
    return this.#counts.connections.requestRefusal(this) ?? this.#counts.shedder.refusal()
  }

  refuse(refusal: OverloadedError): void {
    this.give(this.heldBytes)
    this.received()
    this.#onRefused(refusal)
  }

  take(sizeBytes: number): OverloadedError | undefined {
    return this.#isOver ? undefined : this.#counts.connections.take(this, sizeBytes)
  }

  give(sizeBytes: number): void {
    this.#counts.connections.give(this, Math.min(sizeBytes, this.heldBytes))
  }

  received(): void {
    this.#counts.connections.hasReceived(this)
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
  const budget = new BodyBudget(http.maxBodiesInFlightBytes, metrics.bodiesInFlightBytes)
  const connections = new Connections(http, budget, metrics.connections, now)
  metrics.showUnread(options.metrics, () => connections.unreadBytes)
  connections.onBodyRefused = refusal => refusals.note(refusal)
  connections.onConnectionRefused = limit => {
    metrics.connectionRefused(limit)
    refusals.note(beyondLimit[limit])
  }
  connections.onEndedUnread = ({ socket: { remoteAddress: address }, unreadBytes }) => {
    metrics.connectionsEndedUnread.value++
    log.debug({ address, unreadBytes }, 'a connection was ended whose client does not read its answers')
  }
  const shedder = new LoadShedder(http, { metrics: options.metrics, log, clock: now })
  const calls: CountedCalls = {
    maxHeaderBytes: http.maxHeaderBytes,
    connection: socket => {
      const address = connections.enter(socket)
      return { addressKey: address.key, begin: onRefused => new Call({ connections, shedder }, address, onRefused) }
    },
    refusedConnection: () => connections.onConnectionRefused('grpc')
  }
  return { metrics, connections, shedder, calls, refusals }
}

/** What the status tells of connections that are closed at once. */
const beyondLimit = {
  all: new OverloadedError('a port has more of them than http.maxConnections'),
  address: new OverloadedError('an address has more of them than http.perAddress.maxConnections'),
  grpc: new OverloadedError('the gRPC port has more of them than advanced.apis.kafka-pixy.grpcMaxConnections')
}
