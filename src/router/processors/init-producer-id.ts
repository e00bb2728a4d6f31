import type { BrokerClient, InitProducerIdResponse } from '../../kafka/broker-client.js'
import type { Accepted } from '../requests/accepted.js'
import { kafkaFailure } from '../requests/failures.js'
import { describeOperation } from '../requests/operation.js'
import { anyBrokerAction } from './error-actions.js'
import { OneCallEach } from './one-call-each.js'
import type { ProcessorContext } from './processor-context.js'
import { type Returned, returned } from './queue-processor.js'

type Waiter = Accepted<'initProducerId'>

/** Producer ids. Each requester gets its own id, by its own call. */
export class InitProducerIdProcessor extends OneCallEach<Waiter, InitProducerIdResponse> {
  readonly name = 'initProducerId'

  send(client: BrokerClient): Promise<InitProducerIdResponse> {
    return client.initProducerId({ timeoutMs: this.callTimeoutMs })
  }

  processResponse(waiter: Waiter, response: InitProducerIdResponse): readonly Returned[] {
    const { errorCode, producerId, producerEpoch } = response
    switch (anyBrokerAction(errorCode)) {
      case 'success':
        // A broker that has just come up answers with id -1: batches sent with it would not be de-duplicated.
        if (producerId < 0n || producerEpoch < 0) return returned('retryLater', [waiter])
        waiter.answer({ type: 'success', producerId, producerEpoch })
        return []
      case 'retryLater':
        return returned('retryLater', [waiter])
      case 'fail':
        waiter.answer(kafkaFailure(errorCode))
        return []
    }
  }
}

export const initProducerId = describeOperation('initProducerId', {
  role: 'control',
  deadline: 'Deadline of a request for a producer id, which delivery makes',
  target: { type: 'any' },
  echo: () => ({}),
  problemOf: () => undefined,
  createProcessor: ({ callTimeoutMs }: ProcessorContext) => new InitProducerIdProcessor(callTimeoutMs)
})
