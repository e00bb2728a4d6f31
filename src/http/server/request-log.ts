import type { ErrorCode } from '../../core/errors.js'
import type { Logger } from '../../core/model.js'

/**
 * Most lines about single requests per window: while Kafka is away every request fails, and the log must not be
 * flooded.
 */
const MAX_LINES = 10
const WINDOW_MS = 10_000

/** The logged facts of a request: never a path with values in it, a header or a body. */
export interface RequestFields {
  readonly requestId: string
  readonly method: string
  /** The route as registered, such as `/topics/:topic/messages`; absent when none matched. */
  readonly route: string | undefined
  readonly status: number
  readonly durationMs: number
  /** Why it failed, in a code of docs/errors.md; absent: it did not, or no reason was noted. */
  readonly err?: { readonly code: ErrorCode } | undefined
}

/** Logs requests that failed or were slow; reports the number of suppressed lines when there were too many. */
export class RequestLog {
  readonly #log: Logger
  readonly #slowRequestMs: number
  readonly #now: () => number
  #windowStartedMs = Number.NEGATIVE_INFINITY
  #written = 0
  #leftOut = 0

  constructor(log: Logger, slowRequestMs: number, now: () => number) {
    this.#log = log
    this.#slowRequestMs = slowRequestMs
    this.#now = now
  }

  /** Asked before an entry is made, so that a request that is not logged costs no object. */
  wants(status: number, durationMs: number): boolean {
    return status >= 500 || durationMs >= this.#slowRequestMs
  }

  answered(fields: RequestFields): void {
    if (!this.#mayWrite()) return
    this.#log.warn(fields, fields.status >= 500 ? 'request failed' : 'request was slow')
  }

  #mayWrite(): boolean {
    const now = this.#now()
    if (now - this.#windowStartedMs >= WINDOW_MS) {
      if (this.#leftOut > 0)
        this.#log.warn({ count: this.#leftOut }, 'further requests failed or were slow and are not logged')
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
