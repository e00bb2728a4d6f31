import type { BrokerClient } from '../../kafka/broker-client.js'
import type { AnyAccepted } from '../requests/accepted.js'

/** Why requests are returned to the Router unanswered. */
export type ReturnReason =
  /** Another broker leads: refresh the topic, route again. */
  | 'notLeader'
  /** The broker does not know the partition: confirm by one refresh, then answer. */
  | 'unknownTopicOrPartition'
  /** Another broker coordinates the group: find it again. */
  | 'notCoordinator'
  /** The same request may succeed soon at the same broker. */
  | 'retryLater'
  /** As retryLater, and the metadata of the topic may be outdated. */
  | 'staleTopic'

/** Requests that this broker could not answer. The Router routes them again; their deadlines stay. */
export interface Returned {
  readonly reason: ReturnReason
  readonly requests: readonly AnyAccepted[]
  /** The topic whose metadata is to be refreshed, where `requests` is empty. */
  readonly topic?: string
  readonly partition?: number
}

/**
 * What to ask Kafka for one operation, and what the answers mean. It belongs to one dispatcher, and is synchronous except for
 * `send`. A call carries its own requests, so answers need no correlation.
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
   * The call failed. Returns its requests, to be routed again.
   *
   * @param sent false: not one byte left
   */
  callFailed(call: Call, error: Error, sent: boolean): readonly AnyAccepted[]
  /** The topics whose leaders are in doubt when the call is not answered and none of its requests is returned. */
  topicsOf?(call: Call): readonly string[]
}

/** The processor of one operation, with a queue of its own. */
export interface OperationProcessor extends QueueProcessor {
  addToQueue(request: AnyAccepted): void
  /** Empties the queue. */
  drain(): AnyAccepted[]
}

/** Takes the requests of one dispatcher for its processors. */
export interface Admission {
  /** Answers a request without Kafka, if possible. True when it has been answered. */
  answerFromCache(request: AnyAccepted): boolean
  addToQueue(request: AnyAccepted): void
  /** Sets the function to call when a request may be sent that could not be sent before. */
  onReady?(look: () => void): void
  /** The key under which a request is counted (a group id): one key may use at most half of the queue. */
  shareOf?(request: AnyAccepted): string | undefined
  /** Places are short, and one more is needed: answers a request that has had its turn, if there is one. */
  makeCapacity?(): void
  /** Empties all queues. The Router routes these requests again. */
  drain(): AnyAccepted[]
}

/** The tags of a broker in metrics, as Castle names them. */
export interface BrokerTags {
  readonly broker_host: string
  readonly [tag: string]: string
}

/** Those of these requests that have no answer yet. */
export const stillOpen = <Request extends AnyAccepted>(requests: readonly Request[]): Request[] =>
  requests.filter(request => !request.settled)

/** Open requests with the reason for which they are returned; an empty list when none is open. */
export function returned(reason: ReturnReason, requests: readonly AnyAccepted[]): Returned[] {
  const open = stillOpen(requests)
  return open.length === 0 ? [] : [{ reason, requests: open }]
}
