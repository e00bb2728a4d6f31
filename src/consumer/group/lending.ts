import { memoryOfRecord } from '../../core/bytes.js'
import type { RecordContent } from '../../core/model.js'
import type { MessageLimits } from './consume-result.js'

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
