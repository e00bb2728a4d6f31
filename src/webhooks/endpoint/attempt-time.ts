import { onAbort } from '../../core/ending.js'
import { AttemptFailure } from './attempt-failure.js'

/** The time of one attempt: it runs also while the attempt waits for a turn among others of this process. */
export class AttemptTime {
  readonly #timer: NodeJS.Timeout
  readonly #leaves: readonly (() => void)[]
  /** Why it is over; `undefined`: it is not. */
  #failure: AttemptFailure | undefined
  /** Made when it is asked for: one for each attempt over an open connection would cost a tenth of all. */
  #controller: AbortController | undefined
  #whenOver: (() => void) | undefined

  /** @param left signals, each of which ends the attempt early */
  constructor(timeoutMs: number, left: readonly (AbortSignal | undefined)[]) {
    this.#timer = setTimeout(() => this.#over('late', `no answer within ${timeoutMs} ms`), timeoutMs)
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

  end(): void {
    clearTimeout(this.#timer)
    for (const leave of this.#leaves) leave()
  }

  #over(kind: 'late' | 'cut', message: string): void {
    if (this.isOver) return
    this.#failure = new AttemptFailure(kind, message)
    this.#controller?.abort(this.#failure)
    this.#whenOver?.()
  }
}
