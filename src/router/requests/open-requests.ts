import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { Logger, MonotonicClock } from '../../core/model.js'
import type { RoutedKind } from '../messages/operations.js'
import { Accepted, type AnyAccepted, type OpenRequestList } from './accepted.js'
import { Deadlines } from './deadlines.js'
import type { OperationDescriptor, RequestFor } from './operation.js'

export interface OpenRequestsOptions {
  readonly now: MonotonicClock
  readonly metrics: MetricsLogger
  readonly log: Logger
  /** Called for every request whose time has run out. */
  readonly onExpired: (request: AnyAccepted) => void
}

/** The book of accepted requests: which are open, and when each must be answered at the latest. */
export class OpenRequests implements OpenRequestList {
  readonly now: MonotonicClock
  readonly log: Logger
  readonly deadlines: Deadlines
  readonly #metrics: MetricsLogger
  readonly #onExpired: (request: AnyAccepted) => void
  #accepted = 0
  #settled = 0

  constructor(options: OpenRequestsOptions) {
    this.now = options.now
    this.log = options.log
    this.#metrics = options.metrics
    this.#onExpired = options.onExpired
    this.deadlines = new Deadlines(options.now)
  }

  /** Requests accepted and not yet answered. */
  get open(): number {
    return this.#accepted - this.#settled
  }
  get accepted(): number {
    return this.#accepted
  }

  accept<Kind extends RoutedKind>(
    operation: OperationDescriptor<Kind>,
    request: RequestFor<Kind>,
    timeoutMs: number,
    now: number
  ): Accepted<Kind> {
    this.#accepted++
    return new Accepted(this, operation, request, now, now + timeoutMs)
  }

  /**
   * Starts watching the deadline of a request. Called when a request begins to wait, so that a request that is answered from
   * the cache takes no place among the deadlines.
   */
  watch(request: AnyAccepted): void {
    if (!request.settled) this.deadlines.add(request)
  }

  settle(request: AnyAccepted): void {
    this.#settled++
    this.deadlines.remove(request)
    const nanoSeconds = (this.now() - request.acceptedAt) * 1_000_000
    this.#metrics.time('router', 'request_latency', request.operation.tags, nanoSeconds)
  }

  expire(request: AnyAccepted): void {
    if (!request.settled) this.#onExpired(request)
  }

  /** All requests that wait, to be answered before the Router stops. */
  waiting(): AnyAccepted[] {
    return this.deadlines.all().filter(item => item instanceof Accepted) as unknown as AnyAccepted[]
  }
}
