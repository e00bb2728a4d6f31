import type { BrokerClient } from '../../../src/kafka/broker-client.js'
import type { Dispatcher, DispatcherOptions } from '../../../src/router/dispatcher/dispatcher.js'
import type { ReturnReason } from '../../../src/router/processors/queue-processor.js'
import type { OpenRequest } from '../../../src/router/requests/open-requests.js'
import { turns } from '../../support/ticks.js'

/** So many turns a call takes to get to the broker, or its answer back. */
const TURNS = 4

/** A broker that answers one call at a time, when the test says so. */
export class Broker {
  isConnected = false
  closed = 0
  /** Connecting fails. */
  refusal: Error | undefined
  readonly calls: { answer(response: object): void; fail(error: Error): void }[] = []

  async connect(): Promise<void> {
    if (this.refusal) throw this.refusal
    this.isConnected = true
  }
  async close(): Promise<void> {
    this.closed++
  }
  call(): Promise<object> {
    return new Promise((answer, fail) => this.calls.push({ answer, fail }))
  }
}

/** Sends its requests one by one; with a reason to return them, answers do not settle them. */
export class Queue {
  readonly name = 'queue'
  readonly requests: OpenRequest[] = []
  reasonToReturn: ReturnReason | undefined
  topicsInDoubt: readonly string[] = []

  get isEmpty(): boolean {
    return this.requests.length === 0
  }
  nextCall(): OpenRequest | undefined {
    return this.requests.shift()
  }
  send(client: BrokerClient): Promise<object> {
    return (client as unknown as Broker).call()
  }
  processResponse(request: OpenRequest): object[] {
    if (this.reasonToReturn) return [{ reason: this.reasonToReturn, requests: [request] }]
    const { answer } = request as { answer(result: object): boolean }
    answer.call(request, { operation: 'fetchOffset', type: 'success', offset: 7 })
    return []
  }
  callFailed(request: OpenRequest): readonly OpenRequest[] {
    return [request]
  }
  topicsOf(): readonly string[] {
    return this.topicsInDoubt
  }
}

/** Keeps what a dispatcher reports as `[kind, …arguments]`. */
export const reportsTo = (reported: [kind: string, ...unknown[]][]): DispatcherOptions['reports'] => ({
  returned: groups => reported.push(['returned', ...groups]),
  unreachable: (error, requests) => reported.push(['unreachable', error, requests]),
  spoiled: (error, requests) => reported.push(['spoiled', error, requests]),
  crashed: (error, requests) => reported.push(['crashed', error, requests])
})

/** Gives a dispatcher a request, which then is on its way. */
export async function submitTo(dispatcher: Dispatcher, request: OpenRequest): Promise<OpenRequest> {
  dispatcher.submit(request)
  await turns(TURNS)
  return request
}

/** Answers calls of a broker by their number. */
export const answering =
  (broker: () => Broker) =>
  async (call: number, response: object = {}) => {
    broker().calls[call]!.answer(response)
    await turns(TURNS)
  }

export const failing = (broker: () => Broker) => async (call: number, error: unknown) => {
  broker().calls[call]!.fail(error as Error)
  await turns(TURNS)
}
