import type { BrokerClient, DescribeBrokerConfigsResponse } from '../../kafka/broker-client.js'
import { errorCodes, kafkaErrorOf } from '../../kafka/error-codes.js'
import type { Accepted } from '../requests/accepted.js'
import { reply } from '../requests/answers.js'
import { kafkaFailure } from '../requests/failures.js'
import { describeOperation } from '../requests/operation.js'
import { invalid, isCount } from '../requests/problems.js'
import { OneCallEach } from './one-call-each.js'
import type { ProcessorContext } from './processor-context.js'
import { type Returned, returned } from './queue-processor.js'

type Waiter = Accepted<'describeBrokerConfigs'>

/** Settings of a broker. */
export class DescribeBrokerConfigsProcessor extends OneCallEach<Waiter, DescribeBrokerConfigsResponse> {
  readonly name = 'describeBrokerConfigs'

  send(client: BrokerClient, { request: { nodeId, names } }: Waiter): Promise<DescribeBrokerConfigsResponse> {
    return client.describeBrokerConfigs({ nodeId, names, timeoutMs: this.callTimeoutMs })
  }

  processResponse(waiter: Waiter, { errorCode, configs }: DescribeBrokerConfigsResponse): readonly Returned[] {
    if (errorCode === errorCodes.NONE) reply(waiter, { type: 'success', configs })
    else if (kafkaErrorOf(errorCode).retriable) return returned('retryLater', [waiter])
    else reply(waiter, kafkaFailure(errorCode))
    return []
  }
}

/** A broker tells its own settings only. */
export const describeBrokerConfigs = describeOperation('describeBrokerConfigs', {
  role: 'control',
  target: { type: 'node', nodeId: ({ nodeId }) => nodeId },
  echo: () => ({}),
  problemOf: ({ nodeId }) => (isCount(nodeId) ? undefined : invalid('invalidRequest', `no broker id: ${nodeId}`)),
  createProcessor: ({ callTimeoutMs }: ProcessorContext) => new DescribeBrokerConfigsProcessor(callTimeoutMs)
})
