import type { KafkaRecord } from '../../core/model.js'
import type { SharePartitionId } from '../../kafka/protocol/share.js'
import type { Failure } from '../../router/messages/operations.js'
import type { Lock } from './share-locks.js'

/** The ways to settle an acquired message. `renew`: it stays acquired, and Kafka's lock begins again. */
export const ACKNOWLEDGE_TYPES = ['accept', 'release', 'reject', 'renew'] as const
export type AcknowledgeType = (typeof ACKNOWLEDGE_TYPES)[number]

/**
 * - `done`: Kafka has taken the acknowledgement while its lock was valid by the own clock; a renewal has moved its end
 * - `lost`: the lock is over; Kafka was not asked, or has refused
 * - `unknown`: the acknowledgement was sent, and no answer came that counts
 * - `failed`: Kafka has refused the acknowledgement for another reason, and the message is still acquired
 */
export type AcknowledgeResult =
  | { readonly outcome: 'done' }
  | { readonly outcome: 'lost' }
  | { readonly outcome: 'unknown' }
  /** `code` is Kafka's. */
  | { readonly outcome: 'failed'; readonly code: number; readonly message: string }

/** Called once, with what has become of an acknowledgement. Must not throw. */
export type OnSettled = (result: AcknowledgeResult) => void

/** One acquisition of a message, as it comes from Kafka. */
export interface Acquired {
  readonly lock: Lock
  readonly record: KafkaRecord
}

/** The demand of the acquires that wait for messages. */
export interface QueueDemand {
  /** 0: nothing is fetched. */
  readonly messages: number
  readonly maxBytes: number
  /** When the last waiter ends, by the own clock. */
  readonly until: number
}

/** Callbacks of a reader. None of them may throw. */
export interface QueueReaderEvents {
  /** Asked right before each fetch. The reader takes off what fetches in flight may still bring. */
  demand(): QueueDemand
  acquired(messages: readonly Acquired[]): void
  /**
   * Kafka's locks of this session are gone, or may be; with `partition`, only those of this partition. Nothing of them can be
   * settled any more.
   */
  lost(session: object, partition?: SharePartitionId): void
  /** Messages cannot be acquired at the moment. Told once per change, and the reader tries again. */
  failed(failure: Failure): void
  /** What was told as failures is over. */
  recovered(): void
}
