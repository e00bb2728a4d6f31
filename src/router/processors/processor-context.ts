import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { IsolationLevel, MetadataResponse } from '../../kafka/broker-client.js'
import type { DecompressionLimits } from '../../kafka/decompression-allowance.js'
import type { BrokerTags } from './queue-processor.js'

/** A look-up of topics that a user of the Router asked for. */
export interface TopicLookUp {
  /** `null`: all. */
  readonly topics: ReadonlySet<string> | null
  /** It asks to create topics that a look-up has missed; no request waits for the answer. */
  readonly allowAutoTopicCreation: boolean
}

/** What the processors of one broker need; each uses a part of it. */
export interface ProcessorContext {
  readonly callTimeoutMs: number
  readonly metrics: MetricsLogger
  readonly tags: BrokerTags
  readonly isolationLevel: IsolationLevel
  /** Of each Fetch response. */
  readonly decompression?: DecompressionLimits | undefined
  /** Which of these missing topics brokers may be asked to create now. */
  readonly admitCreations: (topics: readonly string[]) => readonly string[]
  /** Called with every metadata response, so that the routing tables can take it in. */
  readonly onMetadata?: ((response: MetadataResponse, call: TopicLookUp) => void) | undefined
}
