import type { MonotonicClock } from '../../core/model.js'
import { isFullDisk, type Refusal, refuse } from './log-error.js'

export type LogState = 'ok' | 'full' | 'failed' | 'closed'

const RETRY_AFTER_FULL_MS = 1_000
const RETRY_AFTER_FAILURE_MS = 10_000

/** Whether the log takes appends now; after a failure it is tried again after a while. */
export class Availability {
  readonly #clock: MonotonicClock
  #state: LogState = 'ok'
  #retryAt = 0
  #lastError = ''

  constructor(clock: MonotonicClock) {
    this.#clock = clock
  }

  get state(): LogState {
    return this.#state
  }

  /** Why nothing is even tried. */
  get refusal(): Refusal | undefined {
    if (this.#state === 'closed') return refuse('closed', 'the durable log is closed')
    if (this.#state === 'ok' || this.#clock() >= this.#retryAt) return undefined
    return refuse(this.#state, this.#lastError)
  }

  /** Something could not be written; the log may still go on. */
  failed(error: unknown): string {
    this.#lastError = `the durable log could not be written: ${(error as Error).message}`
    return this.#lastError
  }

  /** Nothing is tried for a while: `error` stands in the way. */
  pause(error: unknown): void {
    const isFull = isFullDisk(error)
    this.#state = isFull ? 'full' : 'failed'
    this.#retryAt = this.#clock() + (isFull ? RETRY_AFTER_FULL_MS : RETRY_AFTER_FAILURE_MS)
  }

  resume(): void {
    this.#state = 'ok'
  }

  close(): void {
    this.#state = 'closed'
  }
}
