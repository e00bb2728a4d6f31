import type { MetricsLogger } from '../metrics/metrics-logger.js'
import type { AnyAccepted } from '../processors/accepted.js'
import { FetchOffsetProcessor } from '../processors/fetch-offset.js'
import { type FetchTopicMetadataCall, FetchTopicMetadataProcessor } from '../processors/fetch-topic-metadata.js'
import { FindCoordinatorProcessor } from '../processors/find-coordinator.js'
import { InitProducerIdProcessor } from '../processors/init-producer-id.js'
import type { BrokerTags, Intake, QueueProcessor } from '../processors/queue-processor.js'
import type { ReadCache } from '../processors/read-cache.js'
import type { MetadataResponse } from '../wire/broker-client.js'

export interface ControlIntakeOptions {
  readonly callTimeoutMs: number
  readonly metrics: MetricsLogger
  readonly readCache: ReadCache
  readonly admitCreations: (topics: readonly string[]) => readonly string[]
  readonly reports: { metadata(response: MetadataResponse, call: FetchTopicMetadataCall): void }
}

/** The four operations that are asked of a broker as such, and share the control connection, in the order of their turns. */
export class ControlIntake implements Intake {
  readonly processors: readonly QueueProcessor[]
  readonly #fetchOffset: FetchOffsetProcessor
  readonly #fetchTopicMetadata: FetchTopicMetadataProcessor
  readonly #findCoordinator: FindCoordinatorProcessor
  readonly #initProducerId: InitProducerIdProcessor

  constructor({ callTimeoutMs, metrics, readCache, reports, admitCreations }: ControlIntakeOptions, tags: BrokerTags) {
    const options = { callTimeoutMs, metrics, tags }
    this.#fetchOffset = new FetchOffsetProcessor({ ...options, isolationLevel: readCache.isolationLevel })
    this.#fetchTopicMetadata = new FetchTopicMetadataProcessor({
      callTimeoutMs,
      admitCreations,
      onMetadata: (response, call) => reports.metadata(response, call)
    })
    this.#findCoordinator = new FindCoordinatorProcessor(callTimeoutMs)
    this.#initProducerId = new InitProducerIdProcessor(callTimeoutMs)
    this.processors = [this.#fetchOffset, this.#fetchTopicMetadata, this.#findCoordinator, this.#initProducerId]
  }

  answerFromCache(): boolean {
    return false
  }

  addToQueue(request: AnyAccepted): void {
    switch (request.kind) {
      case 'fetchOffset':
        this.#fetchOffset.addToQueue(request)
        break
      case 'fetchTopicMetadata':
        this.#fetchTopicMetadata.addToQueue(request)
        break
      case 'findCoordinator':
        this.#findCoordinator.addToQueue(request)
        break
      case 'initProducerId':
        this.#initProducerId.addToQueue(request)
        break
      case 'fetchConsumerOffset':
      case 'commitConsumerOffset':
      case 'fetchData':
      case 'produceBatch':
        throw new Error(`${request.kind} is not an operation of the control connection`)
    }
  }

  drain(): AnyAccepted[] {
    return [
      ...this.#fetchOffset.drain(),
      ...this.#fetchTopicMetadata.drain(),
      ...this.#findCoordinator.drain(),
      ...this.#initProducerId.drain()
    ]
  }
}
