import type { Requester } from '../../core/actor/actor.js'
import type { KafkaRecord, Offset, TopicPartition } from '../../core/model.js'
import type { TraceOfRequest } from '../../core/tracing/tracing.js'
import type { GroupMembership } from '../../router/messages/operations.js'
import type { Failure, TimedOut } from '../../router/messages/request.js'
import type { Due } from '../../router/requests/deadlines.js'
import { ownFailure } from '../../router/requests/failures.js'
import type { OfferId, ParkedHolder } from './offset-tracker.js'
import type { ReadPartition } from './transaction-messages.js'

/** Receives the answer to a request for messages. */
export interface Asker<in Result> extends Requester<Result> {
  /**
   * If the request starts a group, the group counts towards this client's share of `advanced.consumer.maxGroups`.
   * Absent: the group counts towards no share.
   */
  readonly client?: string | undefined
  /** The trace of the client's request. Absent: it is not traced. */
  readonly trace?: TraceOfRequest | undefined
}

/** A message that was offered to a client, with its record. */
export interface AcquiredMessage extends KafkaRecord, TopicPartition {
  readonly groupId: string
  /** The id of the topic that the message is from, as far as brokers have told it. */
  readonly topicId?: string | undefined
  /** Number of this offer, which no other offer of the process has. */
  readonly serial: number
  /** Number of the first offer of the message in this process. */
  readonly firstSerial: number
  /** The member and generation that offer it. Absent: another process offers it. */
  readonly member?: GroupMembership | undefined
  /** How often the message was offered before. */
  readonly retries: number
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

export type TakenByPartition = ReadonlyMap<number, readonly AcquiredMessage[]>

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
  readonly parkAgain: (message: AcquiredMessage, holder: ParkedHolder) => AcquiredMessage | undefined
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
  readonly readAgain: (place: Pick<OfferOf, 'partition' | 'offset'>, onRead: (found: ReadAgain) => void) => void
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
  trace: asker.trace,
  reply: result => {
    if (result.type !== 'messages') asker.reply(result)
    else {
      const { messages, ack, release } = result.messages
      asker.reply({ type: 'message', message: Object.assign(messages[0]!, { ack, release }) })
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

/** A request waits so much longer than its time limit for a message that may be on its way from another gateway. */
const LONGEST_TAKE_MS = 500

const NOT_BEGUN = ownFailure('timedOut', 'the group has not begun to read the topic yet: joining it takes long', true)

interface Hold {
  /** The topics that hold the request: topics that it asks for and that have not begun. */
  readonly holders: Set<object>
  readonly graceMs: number
  readonly wait: () => void
  /** The time limit of the request is over. */
  isOver: boolean
}

interface Bond {
  readonly wait: () => void
  /** A message may be on its way. */
  hasTake: boolean
  /** No message of this process answers the request. */
  isTight: boolean
  /** The time limit of the request is over. */
  isOver: boolean
}

/** The request of a client for one or several messages of a topic. It gets exactly one answer. */
export class WaitingRequest implements Due {
  deadlineAt: number
  readonly limits: MessageLimits
  /** The request asks for the topics that match a pattern, and ignores those that it may not read. */
  readonly isOfPattern: boolean
  readonly #requester: Requester<ConsumeManyResult>
  readonly #awayBecause: AwayBecause
  next: Due | undefined
  previous: Due | undefined
  settled = false
  /** Called when it is answered or cancelled. */
  onSettled: (() => void) | undefined
  #hold: Hold | undefined
  #bond: Bond | undefined

  constructor(
    deadlineAt: number,
    requester: Requester<ConsumeManyResult>,
    limits: MessageLimits,
    awayBecause: AwayBecause = () => undefined,
    isOfPattern = false
  ) {
    this.deadlineAt = deadlineAt
    this.isOfPattern = isOfPattern
    this.#awayBecause = awayBecause
    this.limits = limits
    this.#requester = requester
  }

  /** Answers the request. Returns false, and does nothing, when it has been answered before. */
  answer(result: ConsumeManyResult): boolean {
    if (this.settled) return false
    this.settled = true
    this.onSettled?.()
    this.#requester.reply(result)
    return true
  }

  onDue(): void {
    if (this.#bond?.isOver === false) {
      this.#bond.isOver = true
      this.deadlineAt += LONGEST_TAKE_MS
      this.#bond.wait()
      return
    }
    const reason = this.#awayBecause()?.message
    if (this.#hold === undefined)
      this.answer(reason === undefined ? { type: 'timedOut' } : { type: 'timedOut', reason })
    else if (reason !== undefined) this.answer(ownFailure('brokerUnreachable', reason, true))
    else if (this.#hold.isOver) this.answer(NOT_BEGUN)
    else {
      this.#hold.isOver = true
      this.deadlineAt += this.#hold.graceMs
      this.#hold.wait()
    }
  }

  /**
   * Holds the request: until all that hold it have released it, it is not answered that there is no message. It fails when it
   * is not released within `graceMs` after its time limit, or when its time limit ends while no broker can be reached.
   *
   * @param wait schedules the request to become due again
   */
  hold(holder: object, graceMs: number, wait: () => void): void {
    this.#hold ??= { holders: new Set(), graceMs, wait, isOver: false }
    this.#hold.holders.add(holder)
  }

  releaseRequests(holder: object): void {
    if (!this.#hold?.holders.delete(holder) || this.#hold.holders.size > 0) return
    if (this.#hold.isOver) this.deadlineAt -= this.#hold.graceMs
    this.#hold = undefined
  }

  /** True while no message of this process may answer it. */
  get isBound(): boolean {
    return this.#bond?.isTight === true
  }

  /**
   * A message may be on its way to the request from another gateway. Until {@link unbind}, and at most 500 ms longer than its time
   * limit, it is not answered that there is none; until {@link loosen}, no message of this process answers it: a client that
   * asks again at another gateway would get a later message first. Where its time limit is over already, one does.
   *
   * @param wait schedules the request to become due again
   */
  bind(wait: () => void): void {
    this.#bond ??= { wait, hasTake: true, isTight: true, isOver: false }
    this.#bond.hasTake = true
    this.#bond.isTight = !this.#bond.isOver
  }

  /** The message from another gateway takes long. */
  loosen(): void {
    if (this.#bond !== undefined) this.#bond.isTight = false
  }

  /** No message is on its way any more. It is due after {@link unbind} only: messages of this process come first. */
  endTake(): void {
    if (this.#bond === undefined) return
    this.#bond.hasTake = false
    this.#bond.isTight = false
  }

  /** @returns true: its time limit is over, so it is due now; false as well where another message may be on its way meanwhile */
  unbind(): boolean {
    if (this.#bond?.hasTake === true) return false
    const isDue = this.#bond?.isOver === true && !this.settled
    this.#bond = undefined
    return isDue
  }

  /** Cancels the request of a client that has gone away. It gets no answer. */
  cancel(): void {
    this.settled = true
    this.onSettled?.()
  }
}
