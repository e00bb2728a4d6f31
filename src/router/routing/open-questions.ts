import type { Requester } from '../../core/actor/actor.js'
import { TimedOutError } from '../../core/errors.js'
import { MAX_TIMER_MS } from '../../core/model.js'

/** An element of the ring of open questions. */
interface Link {
  next: Link
  previous: Link
  /** When the question fails. */
  readonly dueAt: number
  fail(): void
}

class Question<Result> implements Link, Requester<Result> {
  readonly dueAt: number
  next: Link = this
  previous: Link = this
  readonly #open: OpenQuestions
  readonly #what: string
  readonly #timeoutMs: number
  readonly #resolve: (result: Result) => void
  readonly #reject: (error: Error) => void

  constructor(
    open: OpenQuestions,
    what: string,
    timeoutMs: number,
    resolve: (result: Result) => void,
    reject: (error: Error) => void
  ) {
    this.dueAt = performance.now() + timeoutMs
    this.#open = open
    this.#what = what
    this.#timeoutMs = timeoutMs
    this.#resolve = resolve
    this.#reject = reject
  }

  reply(result: Result): void {
    this.#open.remove(this)
    this.#resolve(result)
  }

  fail(error: Error = new TimedOutError(this.#what, this.#timeoutMs)): void {
    this.#open.remove(this)
    this.#reject(error)
  }
}

/**
 * The questions to one Router that have no answer yet, with a single timer while there are any. A timer for each of them
 * would cost more than an answer from the cache.
 */
export class OpenQuestions implements Link {
  readonly dueAt = Number.POSITIVE_INFINITY
  next: Link = this
  previous: Link = this
  #timer: NodeJS.Timeout | undefined
  #wakesAt = Number.POSITIVE_INFINITY

  /**
   * Asks a question and waits for its result.
   *
   * @param send called once, synchronously, with the requester to reply to
   * @throws TimedOutError after `timeoutMs` without a reply
   */
  ask<Result>(what: string, timeoutMs: number, send: (requester: Requester<Result>) => void): Promise<Result> {
    return new Promise((resolve, reject) => {
      const question = new Question(this, what, timeoutMs, resolve, reject)
      this.#add(question)
      try {
        send(question)
      } catch (error) {
        question.fail(error as Error)
      }
    })
  }

  /** Idempotent. */
  remove(question: Link): void {
    question.previous.next = question.next
    question.next.previous = question.previous
    question.next = question.previous = question
    if (this.next !== this) return
    clearTimeout(this.#timer)
    this.#wakesAt = Number.POSITIVE_INFINITY
  }

  fail(): void {}

  #add(question: Link): void {
    const last = this.previous
    question.previous = last
    question.next = this
    last.next = this.previous = question
    if (question.dueAt < this.#wakesAt) this.#wakeAt(question.dueAt)
  }

  #wakeAt(at: number): void {
    clearTimeout(this.#timer)
    this.#wakesAt = at
    const delayMs = Math.ceil(at - performance.now())
    this.#timer = setTimeout(() => this.#wake(), Math.min(Math.max(delayMs, 1), MAX_TIMER_MS))
  }

  /** Fails the questions that are due, and waits for the next ones. */
  #wake(): void {
    const now = performance.now()
    let nextAt = Number.POSITIVE_INFINITY
    for (let question = this.next; question !== this; ) {
      const { next } = question
      if (question.dueAt <= now) question.fail()
      else nextAt = Math.min(nextAt, question.dueAt)
      question = next
    }
    if (this.next !== this) this.#wakeAt(nextAt)
  }
}
