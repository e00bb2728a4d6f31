import type { Requester } from '../../core/actor/requester.js'
import type { Due } from '../../router/requests/deadlines.js'
import { ownFailure } from '../../router/requests/failures.js'
import type { ConsumeManyResult, ConsumeResult, MessageLimits } from './consume-result.js'

/** Why no broker can be reached, if none can. */
export type AwayBecause = () => Error | undefined

const NOT_BEGUN = ownFailure('timedOut', 'the group has not begun to read the topic yet: joining it takes long', true)

/** A client waits for a message of a topic, or for several. It gets exactly one answer. */
export class WaitingRequest implements Due {
  deadlineAt: number
  /** `undefined`: it is answered with one message, otherwise with as many as there are within these limits. */
  readonly limits: MessageLimits | undefined
  readonly #requester: Requester<ConsumeResult | ConsumeManyResult>
  readonly #awayBecause: AwayBecause
  next: Due | undefined
  previous: Due | undefined
  settled = false
  #hold: { readonly graceMs: number; readonly wait: () => void; isOver: boolean } | undefined

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
    if (this.#hold === undefined)
      this.answer(reason === undefined ? { type: 'timedOut' } : { type: 'timedOut', reason })
    else if (reason !== undefined) this.answer(ownFailure('brokerUnreachable', reason, true))
    else if (this.#hold.isOver) this.answer(NOT_BEGUN)
    else {
      this.#hold.isOver = true
      this.deadlineAt += this.#hold.graceMs
      this.#hold.wait()
    }
  }

  /**
   * It may not be answered that there is no message until it is released. It fails when that takes `graceMs` longer than it
   * waits, and as soon as its time is over while no broker can be reached.
   *
   * @param wait has it become due once more
   */
  hold(graceMs: number, wait: () => void): void {
    this.#hold = { graceMs, wait, isOver: false }
  }

  releaseRequests(): void {
    if (this.#hold?.isOver) this.deadlineAt -= this.#hold.graceMs
    this.#hold = undefined
  }

  /** Its client went away; nothing is answered any more. */
  cancel(): void {
    this.settled = true
  }
}
