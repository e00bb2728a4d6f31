import type { Requester } from '../../core/actor/actor.js'
import type { KafkaRecord, Offset, TopicPartition } from '../../core/model.js'
import type { GroupMembership } from '../../router/messages/operations.js'
import type { Failure, TimedOut } from '../../router/messages/request.js'
import type { OfferId, ParkedHolder } from './offset-tracker.js'
import type { ReadPartition } from './transaction-messages.js'

/** Receives the answer to a request for messages. */
export interface Asker<in Result> extends Requester<Result> {
  /**
   * If the request starts a group, the group counts towards this client's share of `advanced.consumer.maxGroups`.
   * Absent: the group counts towards no share.
   */
  readonly client?: string | undefined
}

/** What each offer of a message has of its own. */
export interface NewOffer {
  /** Number of this offer, which no other offer of the process has. */
  readonly serial: number
  /** Number of the first offer of the message in this process. */
  readonly firstSerial: number
  /** The member and generation that offer it. Absent: another process offers it. */
  readonly member?: GroupMembership | undefined
  /** How often the message was offered before. */
  readonly retries: number
}

/** A message that was offered to a client, with its record. */
export interface AcquiredMessage extends KafkaRecord, TopicPartition, NewOffer {
  readonly groupId: string
  /** The id of the topic that the message is from, as far as brokers have told it. */
  readonly topicId?: string | undefined
}

/**
 * A message that was offered to one client, with its record. Key, value and header values are views, which must be
 * copied to be used after the next message. The message is offered again when it is neither acknowledged nor released
 * in time.
 */
export interface ConsumedMessage extends AcquiredMessage {
  /** Acknowledges the message, which has been processed. A second call does nothing. */
  ack(): void
  /**
   * Releases the message, which was not delivered, so that it is offered next. Does nothing after an acknowledgement.
   */
  release(): void
}

export interface MessageLimits {
  /** At least 1. */
  readonly maxMessages: number
  /** No further message is added when keys, values and headers have this many bytes. Each header counts as 250 more. */
  readonly maxBytes: number
}

export const ONE_MESSAGE: MessageLimits = { maxMessages: 1, maxBytes: 1 }

/** Messages by partition, such as those of a Map. */
export type TakenByPartition = Iterable<readonly [partition: number, messages: readonly AcquiredMessage[]]>

/** Offers by partition, such as those of a Map, without the messages. */
export type OffersByPartition = Iterable<readonly [partition: number, offers: readonly OfferId[]]>

/** See {@link TopicOffers.readAgain}. */
export type ReadAgain = KafkaRecord | 'gone' | 'notNow'

/** An offer of a message, without its record. */
export interface OfferOf extends OfferId {
  readonly partition: number
}

/** The offers of one topic of a group, for clients that settle messages of several answers together. */
export interface TopicOffers {
  /** Acknowledges messages, in a later tick of the group's actor. */
  readonly ackAll: (taken: OffersByPartition) => void
  /** Releases messages, in a later tick of the group's actor. Those of a partition are offered next, in order. */
  readonly releaseAll: (taken: TakenByPartition) => void
  /** Releases messages that are not in memory any more, in a later tick. They are read again, and offered next, in order. */
  readonly releaseUnread: (offers: OffersByPartition) => void
  /**
   * Takes the message of an offer back at once, and has it parked by this holder.
   *
   * @returns the new offer; `undefined`: nothing was changed, since the message is not offered by this one any more, or the
   *   partition offers nothing now
   */
  readonly parkAgain: (offer: OfferOf, holder: ParkedHolder) => NewOffer | undefined
  /** Releases messages at once. */
  readonly releaseNow: (taken: TakenByPartition) => void
  /** A parked message is begun, so its time begins. False: it is not parked any more. */
  readonly begin: (message: OfferOf) => boolean
  /** True while the message is neither settled nor offered again. */
  readonly isOpen: (message: OfferOf) => boolean
  /**
   * Reads the record of a message again for a client that has kept its place only. Other reads go on meanwhile. Calls back
   * once, with a record of its own bytes, unless the partition is read no longer.
   *
   * - `gone`: it is in the log no more
   * - `notNow`: it cannot be read at the moment
   */
  readonly readAgain: (place: OfferOf, onRead: (found: ReadAgain) => void) => void
  /** How far a partition is read now, for transactions. `undefined`: the partition is not read. */
  readonly read: (partition: number) => ReadPartition | undefined
}

/** Messages that were offered to one client together, at least one; those of a partition in order. Their bytes are views. */
export interface ConsumedMessages {
  readonly messages: readonly AcquiredMessage[]
  /** The id of the topic that the messages of each partition are from, as far as brokers have told it. */
  readonly topicIds?: ReadonlyMap<number, string | undefined> | undefined
  /** Settles single messages. Absent: another process offers them. */
  readonly offers?: TopicOffers | undefined
  /** Acknowledges all messages, which have been processed. A second call does nothing. */
  ack(): void
  /** Releases the messages, which were not delivered. Messages that are not acknowledged are offered next. */
  release(): void
  /**
   * Tells that the answer is written, where nothing is acknowledged with it: a later {@link release} does nothing. Absent: the
   * messages are of this process, which need not know.
   */
  delivered?(): void
}

/** An answer without a message: no message came in time, or there was a failure. */
export type NoMessage = TimedOut | Failure

export type ConsumeResult = { readonly type: 'message'; readonly message: ConsumedMessage } | NoMessage

export type ConsumeManyResult = { readonly type: 'messages'; readonly messages: ConsumedMessages } | NoMessage

/** The asker of a request with the limits {@link ONE_MESSAGE}. */
export const askerOfOne = (asker: Asker<ConsumeResult>): Asker<ConsumeManyResult> => ({
  client: asker.client,
  reply: result => {
    if (result.type !== 'messages') asker.reply(result)
    else {
      const given = result.messages
      const settling = { ack: () => given.ack(), release: () => given.release() }
      asker.reply({ type: 'message', message: Object.assign(given.messages[0]!, settling) })
    }
  }
})

export type AckResult =
  /** The message is acknowledged, by this or an earlier call. */
  | { readonly type: 'acked' }
  /** This process has not offered this message, or another member has read the partition since. */
  | { readonly type: 'notOffered' }
  /**
   * This process does not read the partition on behalf of the group, nor does another process that it asked. `topicId`: it
   * reads the partition of the topic with this id, which is another one than the one that was named.
   */
  | { readonly type: 'notRead'; readonly reason?: string; readonly topicId?: string | undefined }
  | Failure

export type SetOffsetsResult =
  /** The outcome for each partition. The group continues to read at the new offsets. */
  | { readonly type: 'set'; readonly outcomes: ReadonlyMap<number, 'committed' | 'unknownTopicOrPartition'> }
  /** This process does not read all of the partitions on behalf of the group at the moment. Nothing has been changed. */
  | { readonly type: 'notRead' }
  | TimedOut
  | Failure

export interface MessageId extends TopicPartition {
  readonly offset: Offset
  /** The message is acknowledged in the topic with this id only. Absent: in the topic that has the name now. */
  readonly topicId?: string | undefined
}

/** Returns the reason why no broker can be reached, if this is so. */
export type AwayBecause = () => Error | undefined
