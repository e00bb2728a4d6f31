import { memoryOfRecord } from '../../core/bytes.js'
import type { RecordContent } from '../../core/model.js'
import type { ConsumedMessages, MessageLimits } from './consume-result.js'
import type { WaitingRequest } from './waiting-request.js'

/** One topic of a group, as seen by the code that lends its messages to other gateways and borrows from them. */
export interface TopicLending {
  /** True while clients of another gateway wait for messages of the topic. */
  readonly isWanted: boolean
  /** A request waits, and no message is at hand for it. */
  waits(): void
  /** A message is at hand, and no client of this process waits for one. */
  atHand(): void
}

/** Lends messages of consumer groups to other gateways, and borrows from them. */
export interface GroupLending {
  /** @returns `undefined`: messages of the topic stay with their gateway */
  of(groupId: string, topic: string): TopicLending | undefined
}

/** The groups of this process, for {@link GroupLending}. */
export interface LendingGroups {
  /** Set before the first request for messages. */
  lending: GroupLending | undefined
  /** The requests that wait for a message of the topic, oldest first. */
  waitingFor(groupId: string, topic: string): readonly WaitingRequest[]
  /** A message for the request may be on its way from another gateway: see {@link WaitingRequest.holdForTake}. */
  holdForTake(request: WaitingRequest): void
  /** The message takes long: messages of this process may answer the request. */
  allowOwn(groupId: string, topic: string, request: WaitingRequest): void
  /** No message is on its way to the request any more. Messages of this process may answer it. */
  endTake(groupId: string, topic: string, request: WaitingRequest): void
  /** Answers a request with messages of another gateway. From then on the group begins at the end of no partition. */
  answer(groupId: string, topic: string, request: WaitingRequest, messages: ConsumedMessages): boolean
  /** Clients of another gateway wait for messages of the topic. It is read, and kept, if this process has begun to read it. */
  wanted(groupId: string, topic: string): void
  /** Bytes of the message that is lent next. `undefined`: none is at hand that no client of this process waits for. */
  bytesToLend(groupId: string, topic: string): number | undefined
  /**
   * Offers messages that no client of this process waits for.
   *
   * @returns `undefined`: there are none
   */
  lend(groupId: string, topic: string, limits: LentLimits): Promise<ConsumedMessages | undefined>
}

/** Key, value and headers of the largest message that is lent, as {@link bytesOnTheWay}. A larger one waits for a client of its own gateway. */
export const MAX_LENT_BYTES = 16 * 1_048_576

export interface LentLimits extends MessageLimits {
  /** A larger one stays. */
  readonly maxMessageBytes: number
}

/** In JSON, a character of a header's key may take six characters: five more than itself. */
const MORE_IN_JSON = 5

/** Upper limit of the memory that a message takes while it is lent. */
export function bytesOnTheWay(record: RecordContent): number {
  let characters = 0
  for (const { key } of record.headers) characters += key.length
  return memoryOfRecord(record) + MORE_IN_JSON * characters
}
