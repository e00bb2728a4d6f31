import type { BrokerClient, MetadataResponse, TopicMetadata } from '../wire/broker-client.js'
import type { Accepted, AnyAccepted } from './accepted.js'
import { reply } from './answers.js'
import { type QueueProcessor, type Returned, stillOpen } from './queue-processor.js'

type Waiter = Accepted<'fetchTopicMetadata'>

export interface FetchTopicMetadataCall {
  /** `null`: all. */
  readonly topics: ReadonlySet<string> | null
  readonly allowAutoTopicCreation: boolean
  readonly waiters: readonly Waiter[]
}

/**
 * Metadata asked by users of the Router: requests that wait together share one call, each gets what it asked for. None
 * joins a call on its way, whose answer may not know a topic that was created before the request was made.
 */
export class FetchTopicMetadataProcessor implements QueueProcessor<FetchTopicMetadataCall, MetadataResponse> {
  readonly name = 'fetchTopicMetadata'
  readonly #callTimeoutMs: number
  readonly #onMetadata: (response: MetadataResponse, call: FetchTopicMetadataCall) => void
  #queue: Waiter[] = []

  /** @param onMetadata told every response, so that the Router's tables profit */
  constructor(
    callTimeoutMs: number,
    onMetadata: (response: MetadataResponse, call: FetchTopicMetadataCall) => void = () => {}
  ) {
    this.#callTimeoutMs = callTimeoutMs
    this.#onMetadata = onMetadata
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0
  }

  addToQueue(request: Waiter): void {
    this.#queue.push(request)
  }

  nextCall(): FetchTopicMetadataCall | undefined {
    const waiting = stillOpen(this.#queue)
    this.#queue = []
    const first = waiting[0]
    if (!first) return undefined
    const allowAutoTopicCreation = first.request.allowAutoTopicCreation === true
    const waiters = waiting.filter(other => (other.request.allowAutoTopicCreation === true) === allowAutoTopicCreation)
    this.#queue = waiting.filter(other => !waiters.includes(other))
    const all = waiters.some(waiter => !waiter.request.topics)
    const topics = all ? null : new Set(waiters.flatMap(waiter => waiter.request.topics ?? []))
    return { topics, allowAutoTopicCreation, waiters }
  }

  send(client: BrokerClient, call: FetchTopicMetadataCall): Promise<MetadataResponse> {
    const topics = call.topics && [...call.topics]
    return client.metadata({
      topics,
      allowAutoTopicCreation: call.allowAutoTopicCreation,
      timeoutMs: this.#callTimeoutMs
    })
  }

  processResponse(call: FetchTopicMetadataCall, response: MetadataResponse): readonly Returned[] {
    this.#onMetadata(response, call)
    const found = new Map(response.topics.map(topic => [topic.topic, topic]))
    for (const waiter of call.waiters) {
      const { topics } = waiter.request
      reply(waiter, { type: 'success', brokers: response.brokers, topics: topics ? pick(found, topics) : found })
    }
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

/** Every named topic is present, a missing one with code 3, whatever the broker left out. */
function pick(
  found: ReadonlyMap<string, TopicMetadata>,
  topics: readonly string[]
): ReadonlyMap<string, TopicMetadata> {
  return new Map(topics.map(topic => [topic, found.get(topic) ?? missingTopic(topic)]))
}

export const missingTopic = (topic: string): TopicMetadata => ({
  errorCode: 3,
  topic,
  topicId: undefined,
  isInternal: false,
  partitions: []
})
