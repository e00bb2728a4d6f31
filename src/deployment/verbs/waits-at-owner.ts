import type { Failure } from '../../router/messages/operations.js'
import { ownFailure } from '../../router/requests/failures.js'
import { isUnanswered, type PeerError } from '../calls/peers.js'
import { BegunByOthers } from './begun-by-others.js'

/** Pause before a request is sent again to an owner that has ended. */
export const RETRY_MS = 200
/**
 * Added to the time limit of the call, so that an answer that comes after the end of the request can still be released. A process
 * that stands still for longer is ended.
 */
const OUTLAST_MS = 60_000
/** Time limit for calls to the owner whose result no client waits for. */
export const TELL_TIMEOUT_MS = 10_000

/**
 * The failure when the owner does not answer. It is not `{ type: 'timedOut' }`, because that result promises that the
 * group gets records written from now on.
 */
const AWAY = ownFailure('timedOut', 'the worker that reads for the group does not answer', true)

/** A request that waits for messages at the owner of its group. */
export interface WaitingAtOwner<Result> {
  readonly waitMs: number
  /** Extra time within which the owner answers after the request's wait. */
  readonly graceMs: number
  /**
   * Asks the owner.
   *
   * @returns `undefined`: the owner has just been started, and serves nothing yet
   * @throws PeerError
   */
  ask(leftMs: number, timeoutMs: number): Promise<Result | undefined>
  /** Tells the owner that the request has ended. */
  end(): void
  /** Gives back what has come after the end. */
  release(result: Result): void
}

/** Has the owner answer a request. Where it has ended, its successor is asked, until the request is over. */
export class WaitAtOwner<Result> {
  readonly #request: WaitingAtOwner<Result | Failure>
  readonly #reply: (result: Result | Failure) => void
  readonly #endsAt: number
  readonly #late: NodeJS.Timeout
  #isOver = false

  /** Asks the owner. @param reply called once, unless the request is cancelled */
  constructor(request: WaitingAtOwner<Result | Failure>, reply: (result: Result | Failure) => void) {
    const { waitMs, graceMs } = request
    this.#request = request
    this.#reply = reply
    this.#endsAt = performance.now() + waitMs
    this.#late = setTimeout(() => {
      this.#end(AWAY)
      request.end()
    }, waitMs + graceMs)
    void this.#ask()
  }

  /** The client is gone. */
  cancel(): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#late)
    this.#request.end()
  }

  #end(result: Result | Failure): void {
    this.#isOver = true
    clearTimeout(this.#late)
    this.#reply(result)
  }

  async #ask(): Promise<void> {
    const { waitMs, graceMs } = this.#request
    const leftMs = Math.max(1, Math.ceil(this.#endsAt - performance.now()))
    try {
      const result = await this.#request.ask(leftMs, waitMs + graceMs + OUTLAST_MS)
      if (result === undefined) this.#askAgain()
      else if (this.#isOver) this.#request.release(result)
      else this.#end(result)
    } catch (error) {
      if (isUnanswered(error)) this.#askAgain()
      else if (!this.#isOver) this.#end(failureOf(error as PeerError))
    }
  }

  #askAgain(): void {
    if (this.#isOver) return
    if (performance.now() + RETRY_MS < this.#endsAt) setTimeout(() => this.#isOver || void this.#ask(), RETRY_MS)
    else this.#end(AWAY)
  }
}

const failureOf = ({ cause, message }: PeerError): Failure =>
  ownFailure('overloaded', cause === undefined ? AWAY.message : message, true)

/** The requests of other workers that wait at this one, which owns their groups. Each call gets one answer. */
export class WaitsOfOthers<Answer> {
  readonly #ended: Answer
  readonly #begun = new BegunByOthers<void>()

  /** @param ended the answer to a request whose asker has ended it */
  constructor(ended: Answer) {
    this.#ended = ended
  }

  /**
   * Waits for the answer to a request.
   *
   * @param id unique at the worker that has asked
   * @param begin may reply at once; @returns a function after which there is no reply
   */
  answer(from: unknown, id: number, begin: (reply: (answer: Answer) => void) => () => void): Promise<Answer> {
    return new Promise(resolve => {
      let leave = (): void => undefined
      const end = (): void => {
        leave()
        resolve(this.#ended)
      }
      const reply = (answer: Answer): void => {
        this.#begun.over(from, id)
        resolve(answer)
      }
      if (this.#begun.begin(from, id, end)) leave = begin(reply)
      else end()
    })
  }

  /** Ends a request, also one that comes later. */
  end(from: unknown, id: number): void {
    this.#begun.end(from, id)
  }

  /** Ends the requests of a worker that has ended. */
  endAllOf(worker: unknown): void {
    this.#begun.endAllOf(worker)
    this.#begun.forget(worker)
  }
}
