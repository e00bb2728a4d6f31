import type { Accepted, AnyAccepted } from '../requests/accepted.js'
import { reply } from '../requests/answers.js'
import { kafkaFailure } from '../requests/failures.js'
import { describeOperation } from '../requests/operation.js'
import { invalid, isCount } from '../requests/problems.js'
import type { BrokerClient, DescribeBrokerConfigsResponse } from '../wire/broker-client.js'
import { errorCodes, kafkaErrorOf } from '../wire/error-codes.js'
import type { ProcessorContext } from './processor-context.js'
import { type QueueProcessor, type Returned, returned, stillOpen } from './queue-processor.js'
import { WaitingList } from './waiting-list.js'

type Waiter = Accepted<'describeBrokerConfigs'>

/** Settings of a broker. One call for each request, since few ask. */
export class DescribeBrokerConfigsProcessor implements QueueProcessor<Waiter, DescribeBrokerConfigsResponse> {
  readonly name = 'describeBrokerConfigs'
  readonly #callTimeoutMs: number
  readonly #queue = new WaitingList<Waiter>()

  constructor({ callTimeoutMs }: Pick<ProcessorContext, 'callTimeoutMs'>) {
    this.#callTimeoutMs = callTimeoutMs
  }

  get isEmpty(): boolean {
    return this.#queue.isEmpty
  }

  addToQueue(request: Waiter): void {
    this.#queue.add(request)
  }

  nextCall(): Waiter | undefined {
    return this.#queue.takeFirst()
  }

  send(client: BrokerClient, { request: { nodeId, names } }: Waiter): Promise<DescribeBrokerConfigsResponse> {
    return client.describeBrokerConfigs({ nodeId, names, timeoutMs: this.#callTimeoutMs })
  }

  processResponse(waiter: Waiter, { errorCode, configs }: DescribeBrokerConfigsResponse): readonly Returned[] {
    if (errorCode === errorCodes.NONE) reply(waiter, { type: 'success', configs })
    else if (kafkaErrorOf(errorCode).retriable) return returned('retryLater', [waiter])
    else reply(waiter, kafkaFailure(errorCode))
    return []
  }

  callFailed(waiter: Waiter): readonly AnyAccepted[] {
    return stillOpen([waiter])
  }

  drain(): AnyAccepted[] {
    return this.#queue.takeAll()
  }
}

/** A broker tells its own settings only. */
export const describeBrokerConfigs = describeOperation('describeBrokerConfigs', {
  role: 'control',
  target: { type: 'node', nodeId: ({ nodeId }) => nodeId },
  echo: () => ({}),
  problemOf: ({ nodeId }) => (isCount(nodeId) ? undefined : invalid('invalidRequest', `no broker id: ${nodeId}`)),
  createProcessor: (context: ProcessorContext) => new DescribeBrokerConfigsProcessor(context)
})
