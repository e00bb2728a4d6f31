import type { BrokerClient } from '../wire/broker-client.js'
import type { AnyAccepted } from './accepted.js'

/** Why requests come back to the Router unanswered. */
export type ReturnReason =
  /** Another broker leads: refresh the topic, route again. */
  | 'notLeader'
  /** The broker does not know the partition: confirm by one refresh, then answer. */
  | 'unknownTopicOrPartition'
  /** Another broker coordinates the group: find it again. */
  | 'notCoordinator'
  /** The same request may succeed soon at the same broker. */
  | 'retryLater'
  /** As retryLater, and what we know of the topic may be old. */
  | 'staleTopic'

/** Requests that could not be answered here; the Router routes them again, deadlines kept. */
export interface Returned {
  readonly reason: ReturnReason
  readonly requests: readonly AnyAccepted[]
  /** Whose metadata to refresh where `requests` is empty: the news is for the Router's tables only. */
  readonly topic?: string
  readonly partition?: number
}

/**
 * What to ask Kafka for one operation and what its answers mean. Owned by a proxy, used by one dispatcher,
 * synchronous but for `send`. The call in flight carries its own waiters, so there is no correlation to forget.
 * Source: Box-Castle/router 1.0.3, kafkadispatcher/QueueProcessors.scala.
 */
export interface QueueProcessor<Call = unknown, Response = unknown> {
  readonly name: string
  readonly isEmpty: boolean
  /** Takes what can go out in one call; `undefined` when everything queued has been answered meanwhile. */
  nextCall(): Call | undefined
  send(client: BrokerClient, call: Call): Promise<Response>
  /** Answers, and gives back what this broker could not answer. */
  processResponse(call: Call, response: Response): readonly Returned[]
  /**
   * The call came to nothing. Gives back its requests to be routed again.
   *
   * @param sent false: not one byte left
   */
  callFailed(call: Call, error: Error, sent: boolean): readonly AnyAccepted[]
  /** Whose leaders are in doubt when the call is not answered, where no request is given back to tell. */
  topicsOf?(call: Call): readonly string[]
}

/** The door to the processors of one dispatcher. */
export interface Intake {
  /** Answers without Kafka. True when the requester has its result. */
  answerFromCache(request: AnyAccepted): boolean
  addToQueue(request: AnyAccepted): void
  /** Given the way to say that something may be sent now that could not before. */
  onReady?(look: () => void): void
  /** The key under which a request is counted (a group id): one key may use at most half of the queue. */
  shareOf?(request: AnyAccepted): string | undefined
  /** Empties all queues: the Router will route these again. */
  drain(): AnyAccepted[]
}

/** How a broker names itself in metrics; Castle's tag. */
export interface BrokerTags {
  readonly broker_host: string
  readonly [tag: string]: string
}

/** Waiting requests that have not been answered meanwhile (by their deadline). */
export const stillOpen = <Request extends AnyAccepted>(requests: readonly Request[]): Request[] =>
  requests.filter(request => !request.settled)

/** Gives requests back with a reason, or nothing where none is left. */
export function returned(reason: ReturnReason, requests: readonly AnyAccepted[]): Returned[] {
  const open = stillOpen(requests)
  return open.length === 0 ? [] : [{ reason, requests: open }]
}
