import { OverloadedError } from '../../core/errors.js'
import type { InPieces } from '../../core/loop-turns.js'
import { addressOf } from '../exchange/client.js'
import type { Exchange } from '../exchange/exchange.js'
import type { ApiContext } from './api.js'

const TOO_LATE = new OverloadedError('the body could not be read in time: too many long requests are read')

/** A long request: its body is read, and its records are accepted, in turns with others. */
export class RequestTurns {
  /** Resolves when all its records are accepted or refused: then those of the next request of the connection may come. */
  readonly whenTaken: Promise<void>
  readonly #exchange: Exchange
  readonly #context: Pick<ApiContext<unknown>, 'turns' | 'clock'>
  readonly #broken: (error: unknown) => void
  readonly #startedAt: number
  #resolve: () => void = () => undefined
  #open = 0

  /** @param broken called with the error of a bug in work that was begun */
  constructor(
    exchange: Exchange,
    context: Pick<ApiContext<unknown>, 'turns' | 'clock'>,
    broken: (error: unknown) => void
  ) {
    this.#broken = broken
    this.#exchange = exchange
    this.#context = context
    this.#startedAt = context.clock()
    this.whenTaken = new Promise(resolve => (this.#resolve = resolve))
  }

  /** How long the request has been read. */
  get spentMs(): number {
    return this.#context.clock() - this.#startedAt
  }

  /** Something is left to do before its records are handed on, until {@link release} is called as often. */
  hold(): void {
    this.#open++
  }

  release(): void {
    if (--this.#open === 0) this.#resolve()
  }

  run(work: InPieces<void>, isFirst = false): void {
    this.hold()
    this.#context.turns.run(this.#released(work), addressOf(this.#exchange.request), isFirst)
  }

  *#released(work: InPieces<void>): InPieces<void> {
    try {
      yield* work
    } catch (error) {
      this.#broken(error)
    } finally {
      this.release()
    }
  }

  /**
   * Work that ends when the client has left.
   *
   * @returns `undefined`: the client has left
   * @throws OverloadedError when it takes longer than `limitMs`
   */
  *reading<Result>(limitMs: number, work: InPieces<Result>): InPieces<Result | undefined> {
    while (!this.#exchange.response.destroyed) {
      const piece = work.next()
      if (piece.done === true) return piece.value
      yield piece.value
      if (this.spentMs > limitMs) throw TOO_LATE
    }
    return undefined
  }
}
