import { onAbort } from '../../src/core/ending.js'
import type { Release } from '../../src/core/places.js'
import type { Attempt, AttemptResult, AttemptSender } from '../../src/webhooks/endpoint/attempt.js'

export interface SentAttempt extends Attempt {
  /** The values of the headers with these names, in lower case. */
  readonly named: ReadonlyMap<string, string>
  answer(result: AttemptResult | number): void
}

/** An endpoint that the test answers for. */
export class FakeEndpoint implements AttemptSender {
  /** All attempts, in order. */
  readonly attempts: SentAttempt[] = []
  /** Those without an answer. */
  readonly open = new Set<SentAttempt>()
  isClosed = false
  /** Answers an attempt at once. `undefined`: the test does so later. */
  answers: (attempt: SentAttempt) => AttemptResult | number | undefined

  constructor(answers: FakeEndpoint['answers'] = () => undefined) {
    this.answers = answers
  }

  get bodies(): readonly string[] {
    return this.attempts.map(({ body }) => body.toString())
  }

  /** How many attempts may be under way. */
  places = Number.POSITIVE_INFINITY
  /** The most that were under way at once. */
  most = 0
  #taken = 0
  readonly #waiting = new Set<() => void>()

  place(wake: () => void): Release | undefined {
    if (this.#taken >= this.places) {
      this.#waiting.add(wake)
      return undefined
    }
    this.most = Math.max(this.most, ++this.#taken)
    let isFree = false
    return () => {
      if (isFree) return
      isFree = true
      this.#taken--
      const [next] = this.#waiting
      if (next === undefined) return
      this.#waiting.delete(next)
      setImmediate(next)
    }
  }

  /** Number of places that are taken. */
  get taken(): number {
    return this.#taken
  }

  send(attempt: Attempt, signal?: AbortSignal, place: Release = () => undefined): Promise<AttemptResult> {
    return new Promise(resolve => {
      const end = (result: AttemptResult | number): void => {
        this.open.delete(sent)
        leave()
        place()
        resolve(typeof result === 'number' ? status(result) : result)
      }
      const named = new Map(attempt.headers)
      const sent: SentAttempt = { ...attempt, named, answer: end }
      this.attempts.push(sent)
      this.open.add(sent)
      const leave = onAbort(signal, () => end({ kind: 'cut', message: 'aborted' }))
      const answer = this.answers(sent)
      if (answer !== undefined) end(answer)
    })
  }

  close(): void {
    this.isClosed = true
  }
}

export const status = (code: number, retryAfterMs?: number): AttemptResult => ({
  kind: 'status',
  status: code,
  retryAfterMs
})
