import { onAbort } from '../../core/ending.js'
import type { MonotonicClock } from '../../core/model.js'
import { AttemptFailure } from './attempt-failure.js'

/** The time of one attempt. It stands still while the attempt waits for a turn among others of this process. */
export class AttemptTime {
  readonly #end = new AbortController()
  readonly #clock: MonotonicClock
  readonly #timeoutMs: number
  readonly #leaves: readonly (() => void)[]
  #leftMs: number
  #runsSince = 0
  #timer: NodeJS.Timeout | undefined

  /** @param left each of them ends it before */
  constructor(timeoutMs: number, clock: MonotonicClock, left: readonly (AbortSignal | undefined)[]) {
    this.#clock = clock
    this.#leftMs = this.#timeoutMs = timeoutMs
    this.#run()
    const leave = (): void => this.#end.abort(new AttemptFailure('cut', 'the attempt was ended'))
    this.#leaves = left.map(signal => onAbort(signal, leave))
  }

  /** Aborted, with an {@link AttemptFailure}, when the time is over. */
  get signal(): AbortSignal {
    return this.#end.signal
  }

  /** @param wait ends when the signal is aborted */
  async withoutCounting<Value>(wait: Promise<Value>): Promise<Value> {
    this.#leftMs -= this.#clock() - this.#runsSince
    clearTimeout(this.#timer)
    try {
      return await wait
    } finally {
      this.#run()
    }
  }

  end(): void {
    clearTimeout(this.#timer)
    for (const leave of this.#leaves) leave()
  }

  #run(): void {
    this.#runsSince = this.#clock()
    this.#timer = setTimeout(() => {
      this.#end.abort(new AttemptFailure('late', `no answer within ${this.#timeoutMs} ms`))
    }, this.#leftMs)
  }
}
