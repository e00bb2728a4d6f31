import type { PushRecord } from './push-request.js'
import type { Limits } from './rate-limiter.js'
import { noLimits, type SharedLimits } from './shared-limits.js'

/** Calls one of both, once, in a later turn of the event loop. */
type Turn = (serve: (limits: Limits) => void, fail: (error: unknown) => void) => void

/** Pushes whose limits have to be asked for are served in the order in which they came over their connection. */
export class LimitTurns {
  readonly #limits: SharedLimits
  /** By connection: when the last push that waits is served. */
  readonly #last = new WeakMap<object, Promise<void>>()

  constructor(limits: SharedLimits) {
    this.#limits = limits
  }

  /**
   * Asks whether records may pass.
   *
   * @returns `undefined`: they may pass at once, since no topic has a limit and no earlier push of the connection waits
   */
  take(connection: object, records: readonly PushRecord[]): Turn | undefined {
    const permits = this.#limits.permits(records)
    const before = this.#last.get(connection)
    if (permits === undefined && before === undefined) return undefined
    // It is awaited below, behind others: a failure before that would count as unhandled.
    permits?.catch(() => undefined)
    return (serve, fail) => {
      const served = (before ?? Promise.resolve())
        .then(() => permits ?? noLimits)
        .then(serve)
        .catch(fail)
        .finally(() => {
          if (this.#last.get(connection) === served) this.#last.delete(connection)
        })
      this.#last.set(connection, served)
    }
  }
}
