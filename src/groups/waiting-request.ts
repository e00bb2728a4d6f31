import type { Requester } from '../actor/requester.js'
import type { Due } from '../requests/deadlines.js'
import type { ConsumeResult } from './consume-result.js'

/** A client waits for a message of a topic. It gets exactly one answer. */
export class WaitingRequest implements Due {
  readonly deadlineAt: number
  readonly #requester: Requester<ConsumeResult>
  next: Due | undefined
  previous: Due | undefined
  settled = false

  constructor(deadlineAt: number, requester: Requester<ConsumeResult>) {
    this.deadlineAt = deadlineAt
    this.#requester = requester
  }

  /** Returns false, and does nothing, when it has been answered before. */
  answer(result: ConsumeResult): boolean {
    if (this.settled) return false
    this.settled = true
    this.#requester.reply(result)
    return true
  }

  onDue(): void {
    this.answer({ type: 'timedOut' })
  }

  /** Its client went away; nothing is answered any more. */
  cancel(): void {
    this.settled = true
  }
}
