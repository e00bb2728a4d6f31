import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { BrokerClient, IsolationLevel, MetadataResponse } from '../../kafka/broker-client.js'
import type { DecompressionLimits } from '../../kafka/packed-records.js'
import { type OpenRequest, stillOpen } from '../requests/open-requests.js'

/** Why requests are returned to the Router unanswered. */
export type ReturnReason =
  /** Another broker leads: refresh the topic, route again. */
  | 'notLeader'
  /** The broker does not know the partition: confirm by one refresh, then answer. */
  | 'unknownTopicOrPartition'
  /** Another broker coordinates the group: find it again. */
  | 'notCoordinator'
  /** Another broker is the controller: look the brokers up again. */
  | 'notController'
  /** The same request may succeed soon at the same broker. */
  | 'retryLater'
  /** Like `retryLater`, but the metadata of the topic may be outdated. */
  | 'staleTopic'

/** Requests that this broker could not answer. The Router routes them again without changing their deadlines. */
export interface Returned {
  readonly reason: ReturnReason
  readonly requests: readonly OpenRequest[]
  /** The topic whose metadata must be refreshed. Set only when `requests` is empty. */
  readonly topic?: string
  readonly partition?: number
}

/**
 * Makes the calls of one operation, and reads the responses. It belongs to one dispatcher, and is synchronous except
 * for `send`. A call object has the requests that it answers, so responses need no correlation.
 * Source: Box-Castle/router 1.0.3, kafkadispatcher/QueueProcessors.scala.
 */
export interface QueueProcessor<Call = unknown, Response = unknown> {
  readonly name: string
  readonly isEmpty: boolean
  /** Takes the requests for one call; `undefined` when all queued requests have been answered meanwhile. */
  nextCall(): Call | undefined
  send(client: BrokerClient, call: Call): Promise<Response>
  /** Answers requests, and returns those that this broker could not answer. */
  processResponse(call: Call, response: Response): readonly Returned[]
  /**
   * Handles a failed call. Returns the requests that must be routed again.
   *
   * @param sent false: no byte was sent
   */
  callFailed(call: Call, error: Error, sent: boolean): readonly OpenRequest[]
  /** The topics whose leaders are in doubt when the call gets no answer and `callFailed` returns no requests. */
  topicsOf?(call: Call): readonly string[]
}

export interface OperationProcessor extends QueueProcessor {
  addToQueue(request: OpenRequest): void
  drain(): OpenRequest[]
}

export interface DispatcherAdmission {
  /** Answers a request from a cache, if possible. Returns true when it was answered. */
  answerFromCache?(request: OpenRequest): boolean
  addToQueue(request: OpenRequest): void
  /** Sets the function to call when a request that could not be sent before may be sent now. */
  onReady?(look: () => void): void
  /** The key under which a request is counted, such as a group id. One key may use at most half of the queue. */
  shareOf?(request: OpenRequest): string | undefined
  /** Called when few places are left: answers a reader that has waited long enough, if there is one. */
  answerOldestReader?(): void
  /** Empties all queues. The Router routes these requests again. */
  drain(): OpenRequest[]
}

/** The tags of a broker in metrics, as Castle names them. */
export interface BrokerTags {
  readonly broker_host: string
  readonly [tag: string]: string
}

/** Returns the open requests with the reason; an empty list when no request is open. */
export function returned(reason: ReturnReason, requests: readonly OpenRequest[]): Returned[] {
  const open = stillOpen(requests)
  return open.length === 0 ? [] : [{ reason, requests: open }]
}

export interface TopicLookUp {
  /** `null`: all. */
  readonly topics: ReadonlySet<string> | null
  /**
   * True: the call asks brokers to create topics that an earlier look-up did not find. No request waits for its
   * response.
   */
  readonly allowAutoTopicCreation: boolean
}

export interface ProcessorContext {
  readonly callTimeoutMs: number
  readonly metrics: MetricsLogger
  readonly tags: BrokerTags
  readonly isolationLevel: IsolationLevel
  readonly decompression?: DecompressionLimits | undefined
  /** Returns those of the missing topics that brokers may be asked to create now. */
  readonly admitCreations: (topics: readonly string[]) => readonly string[]
  /** Whether a missing topic, which may be created, still waits for that. */
  readonly waitsForCreation: (topic: string) => boolean
  /** Called with every metadata response, which is then applied to the routing tables. */
  readonly onMetadata?: ((response: MetadataResponse, call: TopicLookUp) => void) | undefined
}
