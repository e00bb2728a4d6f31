import { CastellanError, InvalidRequestError, KafkaError } from '../../core/errors.js'
import { addTo } from '../../core/maps.js'
import type { BrokerClient } from '../../kafka/broker-client.js'
import type { AskedKind } from '../messages/operations.js'
import { type OpenRequest, replyAll, stillOpen } from '../requests/open-requests.js'
import {
  type AskedParts,
  describeOperation,
  type EchoPart,
  type Outcome,
  type RequestFor
} from '../requests/operation.js'
import {
  type OperationProcessor,
  type ProcessorContext,
  type Returned,
  type ReturnReason,
  returned
} from './queue-processor.js'

interface SharedCall<Kind extends AskedKind, Response> {
  /** Requests with the same key have the same answer. Absent: each request has a call of its own. */
  keyOf?(request: RequestFor<Kind>): string
  send(client: BrokerClient, request: RequestFor<Kind>, timeoutMs: number, context: ProcessorContext): Promise<Response>
  /** The outcome of a response, or the reason why the Router must ask again. */
  outcomeOf(response: Response, asked: OpenRequest<Kind>, context: ProcessorContext): Outcome<Kind> | RetryReason
  /**
   * Called when a call had no answer, although it may have reached the broker, and may still reach it. An outcome answers
   * the requests, which are then not sent again.
   */
  unanswered?(asked: OpenRequest<Kind>): Outcome<Kind> | undefined
}

/** Describes an operation whose requests have calls of their own, or share one with others that have the same answer. */
export const describeCall = <Kind extends AskedKind, Response, Parts extends AskedParts<Kind>>(
  kind: Kind,
  parts: Parts & EchoPart<Kind> & SharedCall<Kind, Response>
) => ({
  ...describeOperation<Kind, Parts>(kind, parts),
  createProcessor: (context: ProcessorContext): OperationProcessor => new SharedCalls(kind, parts, context)
})

/** The answer to a request that is not sent again: the first attempt may arrive later, after changes that others make meanwhile. */
export const IN_DOUBT = { type: 'timedOut', reason: 'an attempt had no answer' } as const
export const inDoubt = () => IN_DOUBT

type RetryReason = Exclude<ReturnReason, 'staleTopic'>
/** No byte of such a call is written: the broker does not speak it, or it cannot be expressed. */
const isRefusedHere = (error: Error): boolean =>
  !(error instanceof CastellanError) || error instanceof KafkaError || error instanceof InvalidRequestError
const isRetryReason = (outcome: unknown): outcome is RetryReason => typeof outcome === 'string'

/**
 * Makes one call for all waiting requests that have the same answer, in the order of the first requests. No request joins
 * a call in flight, because the answer may not show a change that was made before the request.
 */
class SharedCalls<Kind extends AskedKind, Response> implements OperationProcessor {
  readonly name: Kind
  readonly #call: SharedCall<Kind, Response>
  readonly #context: ProcessorContext
  readonly #waiting = new Map<unknown, OpenRequest<Kind>[]>()

  constructor(name: Kind, call: SharedCall<Kind, Response>, context: ProcessorContext) {
    this.name = name
    this.#call = call
    this.#context = context
  }

  get isEmpty(): boolean {
    return this.#waiting.size === 0
  }

  addToQueue(request: OpenRequest<Kind>): void {
    addTo(this.#waiting, this.#call.keyOf?.(request.request) ?? request, request)
  }

  nextCall(): readonly OpenRequest<Kind>[] | undefined {
    for (const [key, waiting] of this.#waiting) {
      this.#waiting.delete(key)
      const waiters = stillOpen(waiting)
      if (waiters.length > 0) return waiters
    }
    return undefined
  }

  send(client: BrokerClient, [first]: readonly OpenRequest<Kind>[]): Promise<Response> {
    return this.#call.send(client, first!.request, this.#context.callTimeoutMs, this.#context)
  }

  processResponse(waiters: readonly OpenRequest<Kind>[], response: Response): readonly Returned[] {
    const outcome = this.#call.outcomeOf(response, waiters[0]!, this.#context)
    if (isRetryReason(outcome)) return returned(outcome, waiters)
    replyAll(waiters, outcome)
    return []
  }

  callFailed(waiters: readonly OpenRequest<Kind>[], error: Error, sent: boolean): readonly OpenRequest[] {
    const outcome = sent && !isRefusedHere(error) ? this.#call.unanswered?.(waiters[0]!) : undefined
    if (outcome !== undefined) replyAll(waiters, outcome)
    return stillOpen(waiters)
  }

  drain(): OpenRequest[] {
    const waiting = stillOpen([...this.#waiting.values()].flat())
    this.#waiting.clear()
    return waiting
  }
}
