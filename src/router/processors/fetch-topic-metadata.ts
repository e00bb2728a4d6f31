import type { BrokerClient, MetadataResponse, TopicMetadata } from '../../kafka/broker-client.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { invalid, isTopic } from '../requests/failures.js'
import { type OpenRequest, reply, stillOpen } from '../requests/open-requests.js'
import { describeOperation } from '../requests/operation.js'
import type { ProcessorContext, QueueProcessor, Returned, TopicLookUp } from './queue-processor.js'

type Waiter = OpenRequest<'fetchTopicMetadata'>

export interface FetchTopicMetadataCall extends TopicLookUp {
  readonly waiters: readonly Waiter[]
}

export type FetchTopicMetadataOptions = Pick<
  ProcessorContext,
  'callTimeoutMs' | 'admitCreations' | 'waitsForCreation' | 'onMetadata'
>

/** Limit of names in one call that waiting requests share. */
const MAX_NAMES_PER_CALL = 2_000

/**
 * Asks for metadata for users of the Router. Waiting requests share one call, and each gets the topics that it named.
 * Requests for all topics and requests that name topics take turns, so that neither waits for all of the others.
 * No request joins a call in flight, because the answer may lack a topic that was created before the request.
 *
 *   look-up    asks for all names and creates nothing, so that existing topics are found at once, however many others
 *              are invented; it answers the requests
 *   creation   then asks again for names that were missing, where the requester may have them created and the budget
 *              allows it; Kafka creates them in a moment, and a later request finds them
 */
export class FetchTopicMetadataProcessor implements QueueProcessor<FetchTopicMetadataCall, MetadataResponse> {
  readonly name = 'fetchTopicMetadata'
  readonly #options: FetchTopicMetadataOptions
  #waiting: Waiter[] = []
  #toCreate = new Set<string>()
  /** The last look-up was for all topics: requests that name topics have the next turn. */
  #wasForAll = false

  constructor(options: FetchTopicMetadataOptions) {
    this.#options = options
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0 && this.#toCreate.size === 0
  }

  addToQueue(request: Waiter): void {
    this.#waiting.push(request)
  }

  nextCall(): FetchTopicMetadataCall | undefined {
    const toCreate = this.#toCreate
    if (toCreate.size > 0) {
      this.#toCreate = new Set()
      return { topics: toCreate, allowAutoTopicCreation: true, waiters: [] }
    }
    const waiting = stillOpen(this.#waiting)
    const all = waiting.filter(({ request }) => !request.topics)
    const named = waiting.filter(({ request }) => request.topics)
    const isForAll = all.length > 0 && (named.length === 0 || !this.#wasForAll)
    this.#wasForAll = isForAll
    const waiters = isForAll ? all : takeNamed(named)
    const taken = new Set(waiters)
    this.#waiting = waiting.filter(waiter => !taken.has(waiter))
    if (waiters.length === 0) return undefined
    const topics = isForAll ? null : new Set(waiters.flatMap(({ request }) => request.topics ?? []))
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
    const { admitCreations, waitsForCreation, onMetadata } = this.#options
    onMetadata?.(response, call)
    const found = new Map(response.topics.map(topic => [topic.topic, topic]))
    const missing = new Set<string>()
    for (const waiter of call.waiters) {
      const { topics, allowAutoTopicCreation } = waiter.request
      if (allowAutoTopicCreation) for (const topic of topics ?? []) if (isMissing(found.get(topic))) missing.add(topic)
      const waits = (topic: string): boolean => allowAutoTopicCreation === true && waitsForCreation(topic)
      reply(waiter, { type: 'success', brokers: response.brokers, topics: topics ? pick(found, topics, waits) : found })
    }
    if (missing.size > 0) for (const topic of admitCreations([...missing])) this.#toCreate.add(topic)
    return []
  }

  callFailed(call: FetchTopicMetadataCall): readonly OpenRequest[] {
    return stillOpen(call.waiters)
  }

  drain(): OpenRequest[] {
    const waiting = stillOpen(this.#waiting)
    this.#waiting = []
    return waiting
  }
}

/** Returns the first requests that fit into one call; at least one. */
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

/** Returns an entry for every named topic. A topic that the broker left out has the code UNKNOWN_TOPIC_OR_PARTITION. */
function pick(
  found: ReadonlyMap<string, TopicMetadata>,
  topics: readonly string[],
  waits: (topic: string) => boolean
): ReadonlyMap<string, TopicMetadata> {
  const entryOf = (topic: string): TopicMetadata => {
    const entry = found.get(topic) ?? missingTopic(topic)
    return isMissing(entry) && waits(topic) ? { ...entry, creationWaits: true } : entry
  }
  return new Map(topics.map(topic => [topic, entryOf(topic)]))
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
  target: { type: 'any' },
  echo: ({ requestId }) => ({ operation: 'fetchTopicMetadata', requestId }),
  problemOf: ({ topics }) =>
    topics?.every(isTopic) === false ? invalid('invalidTopic', 'a topic name is not legal') : undefined,
  createProcessor: (context: ProcessorContext) => new FetchTopicMetadataProcessor(context)
})
