import type { Requester } from '../actor/requester.js'
import type { Due } from '../requests/deadlines.js'
import { ownFailure } from '../requests/failures.js'
import type { Failure } from '../operations.js'
import type { ConsumeManyResult, ConsumeResult, MessageLimits } from './consume-result.js'

/** Why no broker can be reached, if none can. */
export type AwayBecause = () => Error | undefined

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
  #heldMs = 0

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
    if (this.#heldMs > 0) this.answer(notBegun(reason))
    else this.answer(reason === undefined ? { type: 'timedOut' } : { type: 'timedOut', reason })
  }

  /** It may not be answered `timedOut` until it is released; it fails when that takes `graceMs` longer than it waits. */
  hold(graceMs: number): void {
    this.deadlineAt += graceMs
    this.#heldMs += graceMs
  }

  release(): void {
    this.deadlineAt -= this.#heldMs
    this.#heldMs = 0
  }

  /** Its client went away; nothing is answered any more. */
  cancel(): void {
    this.settled = true
  }
}

const notBegun = (reason = 'joining it takes long'): Failure =>
  ownFailure('timedOut', `the group has not begun to read the topic yet: ${reason}`, true)
