import { onAbort } from '../../core/ending.js'
import type { MonotonicClock } from '../../core/model.js'
import { AttemptFailure } from './attempt-failure.js'

/**
 * The time that an endpoint has for one attempt. It runs for what is the endpoint's: its name, the connection, TLS, the answer. It
 * stands still while the attempt waits for what is ours: a place, or a turn among others of this process.
 */
export class AttemptTime {
  readonly #timeoutMs: number
  readonly #clock: MonotonicClock
  readonly #leaves: readonly (() => void)[]
  #leftMs: number
  /** Since when it runs; `undefined`: it stands still. */
  #since: number | undefined
  #timer: NodeJS.Timeout | undefined
  /** Why it is over; `undefined`: it is not. */
  #failure: AttemptFailure | undefined
  /** Made when it is asked for: one for each attempt over an open connection would cost a tenth of all. */
  #controller: AbortController | undefined
  #whenOver: (() => void) | undefined

  /** @param left signals, each of which ends the attempt early */
  constructor(timeoutMs: number, clock: MonotonicClock, left: readonly (AbortSignal | undefined)[]) {
    this.#timeoutMs = timeoutMs
    this.#leftMs = timeoutMs
    this.#clock = clock
    this.#leaves = left.map(signal => onAbort(signal, () => this.#over('cut', 'the attempt was ended')))
  }

  /** Aborted, with an {@link AttemptFailure}, when the time is over. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#failure !== undefined) this.#controller.abort(this.#failure)
    return this.#controller.signal
  }

  get isOver(): boolean {
    return this.#failure !== undefined
  }

  /** @throws AttemptFailure when it is over */
  throwIfOver(): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  /** @param call called when it is over, maybe at once; it takes the place of the one before */
  whenOver(call: () => void): void {
    this.#whenOver = call
    if (this.isOver) call()
  }

  /** A step of the endpoint begins, or goes on. */
  run(): void {
    if (this.#since !== undefined || this.isOver) return
    this.#since = this.#clock()
    // Sockets are read behind timers: an answer that has come while this process stood still is in time.
    this.#timer = setTimeout(() => setImmediate(() => this.#late()), this.#leftMs)
  }

  /** Stands still until something of ours has come. Arrow, since it is passed on. */
  readonly ours = async <Result>(wait: Promise<Result>): Promise<Result> => {
    this.#stand()
    try {
      return await wait
    } finally {
      this.run()
    }
  }

  #late(): void {
    if (this.#since !== undefined) this.#over('late', `no answer within ${this.#timeoutMs} ms`)
  }

  #stand(): void {
    clearTimeout(this.#timer)
    if (this.#since !== undefined) this.#leftMs = Math.max(0, this.#leftMs - (this.#clock() - this.#since))
    this.#since = undefined
  }

  end(): void {
    clearTimeout(this.#timer)
    for (const leave of this.#leaves) leave()
    // Nothing runs behind the end.
    this.#failure ??= new AttemptFailure('cut', 'the attempt has ended')
  }

  #over(kind: 'late' | 'cut', message: string): void {
    if (this.isOver) return
    this.#failure = new AttemptFailure(kind, message)
    this.#controller?.abort(this.#failure)
    this.#whenOver?.()
  }
}
