import { OverloadedError } from '../../core/errors.js'
import type { InPieces } from '../../core/loop-turns.js'
import { addressOf } from '../exchange/client.js'
import { type Exchange, endTurn } from '../exchange/exchange.js'
import type { ApiContext } from './api.js'

const TOO_LATE = new OverloadedError('the body could not be read in time: too many long requests are read')

/**
 * A long request, whose body is read and whose records are accepted in turns with other requests. Its turn on its
 * connection ends when all its records were handed on and are accepted or refused.
 */
export class RequestTurns {
  readonly #exchange: Exchange
  readonly #context: ApiContext<unknown>
  readonly #broken: (error: unknown) => void
  readonly #startedAt: number
  /** Work that has not ended. */
  #open = 0
  #isHandedOn = false

  /** @param broken called with the error of a bug in work that was begun */
  constructor(exchange: Exchange, context: ApiContext<unknown>, broken: (error: unknown) => void) {
    this.#broken = broken
    this.#exchange = exchange
    this.#context = context
    this.#startedAt = context.clock()
  }

  /** How long the request has been read. */
  get spentMs(): number {
    return this.#context.clock() - this.#startedAt
  }

  /** All records are handed on, except those of work that is not done. */
  handedOn(): void {
    this.#isHandedOn = true
    this.#endIfDone()
  }

  #endIfDone(): void {
    if (this.#open === 0 && this.#isHandedOn) endTurn(this.#exchange)
  }

  run(work: InPieces<void>, isFirst = false): void {
    this.#open++
    this.#context.turns.run(this.#counted(work), addressOf(this.#exchange.request), isFirst)
  }

  *#counted(work: InPieces<void>): InPieces<void> {
    try {
      yield* work
    } catch (error) {
      this.#broken(error)
    } finally {
      this.#open--
      this.#endIfDone()
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
