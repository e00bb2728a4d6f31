import type { Requester } from '../actor/requester.js'
import type { Due } from '../requests/deadlines.js'
import type { ConsumeManyResult, ConsumeResult, MessageLimits } from './consume-result.js'

/** Why no broker can be reached, if none can. */
export type AwayBecause = () => Error | undefined

/** A client waits for a message of a topic, or for several. It gets exactly one answer. */
export class WaitingRequest implements Due {
  readonly deadlineAt: number
  /** `undefined`: it is answered with one message, otherwise with as many as there are within these limits. */
  readonly limits: MessageLimits | undefined
  readonly #requester: Requester<ConsumeResult | ConsumeManyResult>
  readonly #awayBecause: AwayBecause
  next: Due | undefined
  previous: Due | undefined
  settled = false

  constructor(deadlineAt: number, requester: Requester<ConsumeResult>, limits?: undefined, awayBecause?: AwayBecause)
  constructor(
    deadlineAt: number,
    requester: Requester<ConsumeManyResult>,
    limits: MessageLimits,
    awayBecause?: AwayBecause
  )
  constructor(
    deadlineAt: number,
    requester: Requester<never>,
    limits?: MessageLimits,
    awayBecause: AwayBecause = () => undefined
  ) {
    this.deadlineAt = deadlineAt
    this.#awayBecause = awayBecause
    this.limits = limits
    this.#requester = requester as Requester<ConsumeResult | ConsumeManyResult>
  }

  /** Returns false, and does nothing, when it has been answered before. */
  answer(result: ConsumeResult | ConsumeManyResult): boolean {
    if (this.settled) return false
    this.settled = true
    this.#requester.reply(result)
    return true
  }

  onDue(): void {
    const reason = this.#awayBecause()?.message
    this.answer(reason === undefined ? { type: 'timedOut' } : { type: 'timedOut', reason })
  }

  /** Its client went away; nothing is answered any more. */
  cancel(): void {
    this.settled = true
  }
}
