import type { Socket } from 'node:net'
import type { MonotonicClock } from '../../core/model.js'
import type { ArionMetrics } from './arion-metrics.js'

/** Counts the connections that requests come over, and how long they last from the first request on. */
export class ConnectionTimes {
  readonly #metrics: ArionMetrics
  readonly #clock: MonotonicClock
  readonly #known = new WeakSet<Socket>()

  constructor(metrics: ArionMetrics, clock: MonotonicClock) {
    this.#metrics = metrics
    this.#clock = clock
  }

  watch(socket: Socket): void {
    if (this.#known.has(socket) || socket.destroyed) return
    this.#known.add(socket)
    this.#metrics.connections++
    const startedAt = this.#clock()
    socket.once('close', () => this.#metrics.connectionEnded(this.#clock() - startedAt))
  }
}
