import type { BrokerClient } from '../../kafka/broker-client.js'
import type { AskedKind } from '../messages/operations.js'
import { type OpenRequest, reply, stillOpen } from '../requests/open-requests.js'
import type { Outcome, RequestFor } from '../requests/operation.js'
import { type OperationProcessor, type Returned, type ReturnReason, returned } from './queue-processor.js'

interface SingleCall<Kind extends AskedKind, Response> {
  send(client: BrokerClient, request: RequestFor<Kind>): Promise<Response>
  /** The outcome of a response, or the reason why the Router must ask again. */
  outcomeOf(response: Response, asked: OpenRequest<Kind>): Outcome<Kind> | RetryReason
  /** Called when a call had no answer, although it may have reached the broker. */
  unanswered?(asked: OpenRequest<Kind>): void
}

export type RetryReason = Extract<ReturnReason, 'notCoordinator' | 'notController' | 'retryLater'>
export const isRetryReason = (outcome: unknown): outcome is RetryReason => typeof outcome === 'string'

/** Makes a call of its own for each request, in order of arrival. */
export class OneCallEach<Kind extends AskedKind, Response> implements OperationProcessor {
  readonly name: Kind
  readonly #call: SingleCall<Kind, Response>
  #waiting: OpenRequest<Kind>[] = []

  constructor(name: Kind, call: SingleCall<Kind, Response>) {
    this.name = name
    this.#call = call
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0
  }

  addToQueue(request: OpenRequest<Kind>): void {
    this.#waiting.push(request)
  }

  nextCall(): OpenRequest<Kind> | undefined {
    this.#waiting = stillOpen(this.#waiting)
    return this.#waiting.shift()
  }

  send(client: BrokerClient, { request }: OpenRequest<Kind>): Promise<Response> {
    return this.#call.send(client, request)
  }

  processResponse(asked: OpenRequest<Kind>, response: Response): readonly Returned[] {
    const outcome = this.#call.outcomeOf(response, asked)
    if (isRetryReason(outcome)) return returned(outcome, [asked])
    reply(asked, outcome)
    return []
  }

  callFailed(asked: OpenRequest<Kind>, _error: Error, sent: boolean): readonly OpenRequest[] {
    if (sent) this.#call.unanswered?.(asked)
    return stillOpen([asked])
  }

  drain(): OpenRequest[] {
    const waiting = stillOpen(this.#waiting)
    this.#waiting = []
    return waiting
  }
}
