import type { Logger } from '../../core/model.js'
import type { Leaving } from '../engine/engine-user.js'
import type { HttpMetrics } from './request-log.js'

/** Counts and logs the connections that the engine serves in part, or not in its usual way. */
export class EngineReport {
  readonly #metrics: HttpMetrics
  readonly #log: Logger

  constructor(metrics: HttpMetrics, log: Logger) {
    this.#metrics = metrics
    this.#log = log
  }

  /** A connection goes to Node for good. */
  left(reason: Leaving['reason'], address: string | undefined): void {
    this.#metrics.leftToNode(reason)
    this.#log.debug({ reason, address }, `node:http takes a connection over from the engine: ${reason}`)
  }

  /** A connection is not read into the buffer that all connections share. */
  notShared(): void {
    this.#metrics.connectionsNotShared.value++
    this.#log.debug({}, 'a connection cannot use the shared buffer of the engine: this Node.js has no handle for it')
  }
}
