import type { Report } from './attributes.js'
import { ProblemError } from './event-answers.js'

const MAX_LISTED = 20

interface Defect {
  /** The place of the event in its batch, from 0; absent: the request is one event. */
  readonly event?: number
  readonly message: string
}

export class Defects {
  readonly #listed: Defect[] = []
  #count = 0

  get areMany(): boolean {
    return this.#count > MAX_LISTED
  }

  /** @param event the place of the event in its batch, from 0; absent: the request is one event */
  of(event?: number): Report {
    return message => {
      if (++this.#count <= MAX_LISTED) this.#listed.push({ ...(event !== undefined && { event }), message })
    }
  }

  /** @throws ProblemError if there are any */
  throwIfAny(): void {
    if (this.#count === 0) return
    const lines = this.#listed.map(({ event, message }) =>
      event === undefined ? message : `event ${event}: ${message}`
    )
    if (this.areMany) lines.push('and more')
    throw new ProblemError(400, lines.join('; '), this.#listed)
  }
}
