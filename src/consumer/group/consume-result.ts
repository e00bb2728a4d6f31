import type { Requester } from '../../core/actor/requester.js'
import type { KafkaRecord, Offset, TopicPartition } from '../../core/model.js'
import type { Failure, TimedOut } from '../../router/messages/request.js'

/** The requester of messages. */
export interface Asker<in Result> extends Requester<Result> {
  /** The client whose share of `consumer.maxGroups` a group takes that is begun by this request. Absent: none. */
  readonly client?: string | undefined
}

/** A message that was offered to a client, with its record. */
export interface AcquiredMessage extends KafkaRecord, TopicPartition {
  readonly groupId: string
  /** How often it was offered before. */
  readonly retries: number
}

/**
 * A message that was offered to one client, with its record. Key, value and header values are views: copy what outlives the
 * next message. It is offered again when it is neither acknowledged nor given back in time.
 */
export interface ConsumedMessage extends AcquiredMessage {
  /** It has been processed. Calling it again does nothing. */
  ack(): void
  /** It was not delivered: it is the next message to be offered. Does nothing once it is acknowledged. */
  release(): void
}

/** How many messages a client takes at once. */
export interface MessageLimits {
  /** At least 1. */
  readonly maxMessages: number
  /** Bytes of keys, values and headers, from which on no further message is added. */
  readonly maxBytes: number
}

/** Messages that were offered to one client together, at least one; those of a partition in order. Their bytes are views. */
export interface ConsumedMessages {
  readonly messages: readonly AcquiredMessage[]
  /** All of them have been processed. Calling it again does nothing. */
  ack(): void
  /** They were not delivered: they are the next messages to be offered, but for those that are acknowledged. */
  release(): void
}

/** Why there is no message: there was none in time, or a failure. */
export type NoMessage = TimedOut | Failure

export type ConsumeResult = { readonly type: 'message'; readonly message: ConsumedMessage } | NoMessage

export type ConsumeManyResult = { readonly type: 'messages'; readonly messages: ConsumedMessages } | NoMessage

export type AckResult =
  /** Also when it had been acknowledged before. */
  | { readonly type: 'acked' }
  /** This process has not offered such a message, or another member read the partition meanwhile. */
  | { readonly type: 'notOffered' }
  /** This process does not read the partition on behalf of the group. */
  | { readonly type: 'notRead' }
  | Failure

export type SetOffsetsResult =
  /** By partition. The group goes on from there. */
  | { readonly type: 'set'; readonly outcomes: ReadonlyMap<number, 'committed' | 'unknownTopicOrPartition'> }
  /** This process does not read all of the partitions on behalf of the group at the moment. Nothing has been changed. */
  | { readonly type: 'notRead' }
  | TimedOut
  | Failure

/** Which message a client acknowledges. */
export interface MessageId extends TopicPartition {
  readonly offset: Offset
}
