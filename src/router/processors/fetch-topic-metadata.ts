import type { BrokerClient, MetadataResponse, TopicMetadata } from '../../kafka/broker-client.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { Accepted, AnyAccepted } from '../requests/accepted.js'
import { reply } from '../requests/answers.js'
import { describeOperation } from '../requests/operation.js'
import { invalid, isTopic } from '../requests/problems.js'
import type { ProcessorContext, TopicLookUp } from './processor-context.js'
import { type QueueProcessor, type Returned, stillOpen } from './queue-processor.js'

type Waiter = Accepted<'fetchTopicMetadata'>

export interface FetchTopicMetadataCall extends TopicLookUp {
  readonly waiters: readonly Waiter[]
}

export type FetchTopicMetadataOptions = Pick<ProcessorContext, 'callTimeoutMs' | 'admitCreations' | 'onMetadata'>

/** Requests that wait together share a call up to this number of names. */
const MAX_NAMES_PER_CALL = 2_000

/**
 * Metadata that users of the Router ask for. Requests that wait together share one call, and each gets what it asked for.
 * No request joins a call in flight, because the answer may lack a topic that was created before the request was made.
 *
 *   look-up    asks for all names and creates nothing, so that existing topics are found at once, however many others
 *              are invented; it answers the requests
 *   creation   then asks again for names that were missing, where the requester may have them created and the budget
 *              allows it; Kafka creates them in a moment, and a later request finds them
 */
export class FetchTopicMetadataProcessor implements QueueProcessor<FetchTopicMetadataCall, MetadataResponse> {
  readonly name = 'fetchTopicMetadata'
  readonly #options: FetchTopicMetadataOptions
  #queue: Waiter[] = []
  #toCreate = new Set<string>()

  constructor(options: FetchTopicMetadataOptions) {
    this.#options = options
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0 && this.#toCreate.size === 0
  }

  addToQueue(request: Waiter): void {
    this.#queue.push(request)
  }

  nextCall(): FetchTopicMetadataCall | undefined {
    const toCreate = this.#toCreate
    if (toCreate.size > 0) {
      this.#toCreate = new Set()
      return { topics: toCreate, allowAutoTopicCreation: true, waiters: [] }
    }
    const waiting = stillOpen(this.#queue)
    const all = waiting.filter(({ request }) => !request.topics)
    const waiters = all.length > 0 ? all : takeNamed(waiting)
    const taken = new Set(waiters)
    this.#queue = waiting.filter(waiter => !taken.has(waiter))
    if (waiters.length === 0) return undefined
    const topics = all.length > 0 ? null : new Set(waiters.flatMap(({ request }) => request.topics ?? []))
    return { topics, allowAutoTopicCreation: false, waiters }
  }

  send(client: BrokerClient, call: FetchTopicMetadataCall): Promise<MetadataResponse> {
    return client.metadata({
      topics: call.topics && [...call.topics],
      allowAutoTopicCreation: call.allowAutoTopicCreation,
      timeoutMs: this.#options.callTimeoutMs
    })
  }

  processResponse(call: FetchTopicMetadataCall, response: MetadataResponse): readonly Returned[] {
    const { admitCreations, onMetadata } = this.#options
    onMetadata?.(response, call)
    const found = new Map(response.topics.map(topic => [topic.topic, topic]))
    const missing = new Set<string>()
    for (const waiter of call.waiters) {
      const { topics, allowAutoTopicCreation } = waiter.request
      if (allowAutoTopicCreation) for (const topic of topics ?? []) if (isMissing(found.get(topic))) missing.add(topic)
      reply(waiter, { type: 'success', brokers: response.brokers, topics: topics ? pick(found, topics) : found })
    }
    if (missing.size > 0) for (const topic of admitCreations([...missing])) this.#toCreate.add(topic)
    return []
  }

  callFailed(call: FetchTopicMetadataCall): readonly AnyAccepted[] {
    return stillOpen(call.waiters)
  }

  drain(): AnyAccepted[] {
    const waiting = stillOpen(this.#queue)
    this.#queue = []
    return waiting
  }
}

/** The first requests that together do not name too many topics; at least one. */
function takeNamed(waiting: readonly Waiter[]): Waiter[] {
  let names = 0
  const end = waiting.findIndex(({ request }, at) => {
    names += request.topics?.length ?? 0
    return at > 0 && names > MAX_NAMES_PER_CALL
  })
  return end < 0 ? [...waiting] : waiting.slice(0, end)
}

const isMissing = (topic: TopicMetadata | undefined): boolean =>
  !topic || topic.errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION

/** Every named topic is present; one that the broker left out has the code UNKNOWN_TOPIC_OR_PARTITION. */
function pick(
  found: ReadonlyMap<string, TopicMetadata>,
  topics: readonly string[]
): ReadonlyMap<string, TopicMetadata> {
  return new Map(topics.map(topic => [topic, found.get(topic) ?? missingTopic(topic)]))
}

export const missingTopic = (topic: string): TopicMetadata => ({
  errorCode: errorCodes.UNKNOWN_TOPIC_OR_PARTITION,
  topic,
  topicId: undefined,
  isInternal: false,
  partitions: []
})

export const fetchTopicMetadata = describeOperation('fetchTopicMetadata', {
  role: 'control',
  deadline: 'Deadline of FetchTopicMetadata',
  target: { type: 'any' },
  echo: ({ requestId }) => ({ operation: 'fetchTopicMetadata', requestId }),
  problemOf: ({ topics }) =>
    topics?.every(isTopic) === false ? invalid('invalidTopic', 'a topic name is not possible') : undefined,
  createProcessor: (context: ProcessorContext) => new FetchTopicMetadataProcessor(context)
})
