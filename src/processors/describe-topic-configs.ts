import type { Accepted, AnyAccepted } from '../requests/accepted.js'
import { reply } from '../requests/answers.js'
import { kafkaFailure } from '../requests/failures.js'
import { describeOperation } from '../requests/operation.js'
import { invalid, isTopic } from '../requests/problems.js'
import type { BrokerClient, DescribeTopicConfigsResponse } from '../wire/broker-client.js'
import { errorCodes, kafkaErrorOf } from '../wire/error-codes.js'
import type { ProcessorContext } from './processor-context.js'
import { type QueueProcessor, type Returned, returned, stillOpen } from './queue-processor.js'
import { WaitingList } from './waiting-list.js'

type Waiter = Accepted<'describeTopicConfigs'>
type TopicAnswer = DescribeTopicConfigsResponse['topics'][number]

/** What topics have for themselves. One call for each request, since few ask. */
export class DescribeTopicConfigsProcessor implements QueueProcessor<Waiter, DescribeTopicConfigsResponse> {
  readonly name = 'describeTopicConfigs'
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

  send(client: BrokerClient, { request: { topics } }: Waiter): Promise<DescribeTopicConfigsResponse> {
    return client.describeTopicConfigs({ topics, names: null, timeoutMs: this.#callTimeoutMs })
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

  callFailed(waiter: Waiter): readonly AnyAccepted[] {
    return stillOpen([waiter])
  }

  drain(): AnyAccepted[] {
    return this.#queue.takeAll()
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
  createProcessor: (context: ProcessorContext) => new DescribeTopicConfigsProcessor(context)
})
