import type { BrokerClient, DescribeTopicConfigsResponse } from '../../kafka/broker-client.js'
import { errorCodes, kafkaErrorOf } from '../../kafka/error-codes.js'
import type { Accepted } from '../requests/accepted.js'
import { reply } from '../requests/answers.js'
import { kafkaFailure } from '../requests/failures.js'
import { describeOperation } from '../requests/operation.js'
import { invalid, isTopic } from '../requests/problems.js'
import { OneCallEach } from './one-call-each.js'
import type { ProcessorContext } from './processor-context.js'
import { type Returned, returned } from './queue-processor.js'

type Waiter = Accepted<'describeTopicConfigs'>
type TopicAnswer = DescribeTopicConfigsResponse['topics'][number]

/** What topics have for themselves. */
export class DescribeTopicConfigsProcessor extends OneCallEach<Waiter, DescribeTopicConfigsResponse> {
  readonly name = 'describeTopicConfigs'

  send(client: BrokerClient, { request: { topics } }: Waiter): Promise<DescribeTopicConfigsResponse> {
    return client.describeTopicConfigs({ topics, names: null, timeoutMs: this.callTimeoutMs })
  }

  processResponse(waiter: Waiter, { topics }: DescribeTopicConfigsResponse): readonly Returned[] {
    const found = topics.filter(({ errorCode }) => errorCode === errorCodes.NONE)
    const problem = topics.find(({ errorCode }) => !IS_ANSWER.has(errorCode))
    if (problem === undefined) {
      const overrides = new Map(found.map(topic => [topic.topic, overridesOf(topic)]))
      const configs = new Map(found.map(topic => [topic.topic, topic.configs]))
      reply(waiter, { type: 'success', overrides, configs })
    } else if (kafkaErrorOf(problem.errorCode).retriable) return returned('retryLater', [waiter])
    else reply(waiter, kafkaFailure(problem.errorCode))
    return []
  }
}

const IS_ANSWER: ReadonlySet<number> = new Set([errorCodes.NONE, errorCodes.UNKNOWN_TOPIC_OR_PARTITION])

const overridesOf = ({ configs, overrides }: TopicAnswer): ReadonlyMap<string, string> =>
  new Map([...overrides].map(name => [name, configs.get(name) ?? '']))

/** Any broker knows the settings of all topics. */
export const describeTopicConfigs = describeOperation('describeTopicConfigs', {
  role: 'control',
  target: { type: 'any' },
  echo: () => ({}),
  problemOf: ({ topics }) =>
    topics.every(isTopic) ? undefined : invalid('invalidTopic', 'a topic name is not possible'),
  createProcessor: ({ callTimeoutMs }: ProcessorContext) => new DescribeTopicConfigsProcessor(callTimeoutMs)
})
