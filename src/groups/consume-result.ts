import type { KafkaRecord, Offset, TopicPartition } from '../model.js'
import type { Failure, TimedOut } from '../operations/request.js'

/**
 * A message that was offered to one client, with its record. Key, value and header values are views: copy what outlives the
 * next message. It is offered again when it is neither acknowledged nor given back in time.
 */
export interface ConsumedMessage extends KafkaRecord, TopicPartition {
  readonly groupId: string
  /** How often it was offered before. */
  readonly retries: number
  /** It has been processed. Calling it again does nothing. */
  ack(): void
  /** It was not delivered: it is the next message to be offered. Does nothing once it is acknowledged. */
  giveBack(): void
}

export type ConsumeResult =
  | { readonly type: 'message'; readonly message: ConsumedMessage }
  /** There was no message in time. */
  | TimedOut
  | Failure

export type AckResult =
  /** Also when it had been acknowledged before. */
  | { readonly type: 'acked' }
  /** This process has not offered such a message, or another member read the partition meanwhile. */
  | { readonly type: 'notOffered' }
  /** This process does not read the partition on behalf of the group. */
  | { readonly type: 'notRead' }
  | Failure

/** Which message a client acknowledges. */
export interface MessageId extends TopicPartition {
  readonly offset: Offset
}
