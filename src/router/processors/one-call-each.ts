import type { BrokerClient } from '../../kafka/broker-client.js'
import type { AnyAccepted } from '../requests/accepted.js'
import { type QueueProcessor, type Returned, stillOpen } from './queue-processor.js'
import { WaitingList } from './waiting-list.js'

/** For operations that few ask for: one call for each request, in order of arrival. */
export abstract class OneCallEach<Waiter extends AnyAccepted, Response> implements QueueProcessor<Waiter, Response> {
  abstract readonly name: string
  protected readonly callTimeoutMs: number
  readonly #queue = new WaitingList<Waiter>()

  constructor(callTimeoutMs: number) {
    this.callTimeoutMs = callTimeoutMs
  }

  abstract send(client: BrokerClient, waiter: Waiter): Promise<Response>
  abstract processResponse(waiter: Waiter, response: Response): readonly Returned[]

  get isEmpty(): boolean {
    return this.#queue.isEmpty
  }

  addToQueue(request: Waiter): void {
    this.#queue.add(request)
  }

  nextCall(): Waiter | undefined {
    return this.#queue.takeFirst()
  }

  callFailed(waiter: Waiter): readonly AnyAccepted[] {
    return stillOpen([waiter])
  }

  drain(): AnyAccepted[] {
    return this.#queue.takeAll()
  }
}
