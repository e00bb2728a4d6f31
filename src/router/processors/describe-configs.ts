import type { DescribeTopicConfigsResponse } from '../../kafka/broker-client.js'
import { errorCodes, kafkaErrorOf } from '../../kafka/error-codes.js'
import type { Failure } from '../messages/operations.js'
import { invalid, isCount, isTopic, kafkaFailure } from '../requests/failures.js'
import { describeOperation } from '../requests/operation.js'
import { OneCallEach } from './one-call-each.js'
import type { ProcessorContext } from './queue-processor.js'

export const describeTopicConfigs = describeOperation('describeTopicConfigs', {
  role: 'control',
  target: { type: 'any' },
  echo: () => ({}),
  problemOf: ({ topics }) => (topics.every(isTopic) ? undefined : invalid('invalidTopic', 'a topic name is not legal')),
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    new OneCallEach('describeTopicConfigs', {
      send: (client, { topics }) => client.describeTopicConfigs({ topics, names: null, timeoutMs: callTimeoutMs }),
      outcomeOf({ topics }: DescribeTopicConfigsResponse) {
        const problem = topics.find(({ errorCode }) => !answers.has(errorCode))
        if (problem !== undefined) return outcomeOfError(problem.errorCode)
        const found = topics.filter(({ errorCode }) => errorCode === errorCodes.NONE)
        return {
          type: 'success',
          overrides: new Map(found.map(topic => [topic.topic, overridesOf(topic)])),
          configs: new Map(found.map(topic => [topic.topic, topic.configs]))
        }
      }
    })
})

export const describeBrokerConfigs = describeOperation('describeBrokerConfigs', {
  role: 'control',
  target: { type: 'node', nodeId: ({ nodeId }) => nodeId },
  echo: () => ({}),
  problemOf: ({ nodeId }) => (isCount(nodeId) ? undefined : invalid('invalidRequest', `not a broker id: ${nodeId}`)),
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    new OneCallEach('describeBrokerConfigs', {
      send: (client, { nodeId, names }) => client.describeBrokerConfigs({ nodeId, names, timeoutMs: callTimeoutMs }),
      outcomeOf: ({ errorCode, configs }) =>
        errorCode === errorCodes.NONE ? { type: 'success', configs } : outcomeOfError(errorCode)
    })
})

const answers: ReadonlySet<number> = new Set([errorCodes.NONE, errorCodes.UNKNOWN_TOPIC_OR_PARTITION])

const overridesOf = ({
  configs,
  overrides
}: DescribeTopicConfigsResponse['topics'][number]): ReadonlyMap<string, string> =>
  new Map([...overrides].map(name => [name, configs.get(name) ?? '']))

const outcomeOfError = (errorCode: number): Failure | 'retryLater' =>
  kafkaErrorOf(errorCode).retriable ? 'retryLater' : kafkaFailure(errorCode)
