import type { Release } from '../core/places.js'
import type { Attempt, AttemptResult, AttemptSender } from './endpoint/attempt.js'

/** A sender that another one may follow: it is closed when its own attempts have ended. */
export class ClosingSender implements AttemptSender {
  readonly #sender: AttemptSender
  #underWay = 0
  #isLeft = false

  constructor(sender: AttemptSender) {
    this.#sender = sender
  }

  place(wake: () => void): Release | undefined {
    return this.#sender.place(wake)
  }

  async send(attempt: Attempt, signal?: AbortSignal, place?: Release): Promise<AttemptResult> {
    this.#underWay++
    try {
      return await this.#sender.send(attempt, signal, place)
    } finally {
      this.#underWay--
      this.#closeLeft()
    }
  }

  /** Called when no attempt begins any more. */
  leave(): void {
    this.#isLeft = true
    this.#closeLeft()
  }

  #closeLeft(): void {
    if (this.#isLeft && this.#underWay === 0) this.close()
  }

  close(): void {
    this.#sender.close()
  }
}
