import type { Offset, TopicPartition } from '../../core/model.js'
import type { Batch, Message } from './given-messages.js'

/** The next offset to read in a partition; all before it, and all that `metadata` lists, is acknowledged. */
export interface TransactionPosition extends TopicPartition {
  readonly offset: Offset
  /** -1: unknown. */
  readonly leaderEpoch: number
  readonly metadata: string
}

/** Positions of a group, which go along with a transaction under the member and generation that read their messages. */
export interface GroupPositions {
  readonly group: string
  readonly memberId: string
  /** `null`: the member is dynamic. */
  readonly groupInstanceId: string | null
  readonly generationId: number
  /** Sorted by topic and partition. */
  readonly offsets: readonly TransactionPosition[]
}

/** `unknown`: the end was not answered. The positions of the partitions are then looked up before more is offered. */
export type TransactionEnd = 'committed' | 'aborted' | 'unknown'

/**
 * What a transaction acknowledges of the messages that groups have given out. From `add` to `end` a message belongs to
 * the transaction: its time does not run, and neither its own methods nor the end of its loop settle it.
 *
 *   add … add ─▶ prepare ─▶ (the positions go to Kafka, with the end) ─▶ end
 */
export interface ConsumedInTransaction {
  /** False: nothing was added, so that `prepare` has nothing to give. */
  readonly hasMessages: boolean

  /**
   * Adds a message or all messages of a batch. A message that this transaction has is passed over.
   *
   * @throws TransactionError `notAssigned`: one of them was offered again, acknowledged or given up since, or belongs to
   *   another transaction; nothing was added
   */
  add(consumed: Message | Batch): void

  /**
   * Locks the partitions, waits until their ordinary commits are answered, and gives the positions that hold all that is
   * acknowledged in them, this transaction included. Until `end`, the groups commit nothing else for these partitions.
   * It may be called again, after {@link tooLarge}.
   *
   * @param signal when it is aborted, the wait is over
   * @throws TransactionError `notAssigned`: a partition was lost meanwhile
   * @throws the reason of the signal
   */
  prepare(signal: AbortSignal): Promise<readonly GroupPositions[]>

  /**
   * A broker has refused the metadata of this position, which was given last, as too large. `prepare` has to be called
   * again: it waits until the metadata is shorter.
   */
  tooLarge(group: string, topicPartition: TopicPartition): void

  /**
   * Ends the transaction, with or without `prepare`. A second call does nothing.
   *
   *   committed   what it acknowledges counts
   *   aborted     what it acknowledges is offered next, in order
   *   unknown     nothing of the partitions is offered until their positions are looked up anew
   */
  end(result: TransactionEnd): void
}
