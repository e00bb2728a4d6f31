import { onAbort } from '../../core/ending.js'
import { InvalidRequestError } from '../../core/errors.js'
import { type TopicPartition, topicPartitionKey } from '../../core/model.js'
import { TransactionError } from '../../core/transaction-error.js'
import type { GroupMembership } from '../../router/messages/operations.js'
import { type Batch, GivenBatch, GivenMessage, type Message } from './given-messages.js'
import {
  type ReadPartition,
  type TransactionEnd,
  TransactionMessages,
  type TransactionPosition
} from './transaction-messages.js'

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

/**
 * Messages that groups have given out and that one transaction acknowledges. From `add` to `end`, a message belongs to
 * the transaction: its time does not run, and neither its own methods nor the end of its loop settle it.
 *
 *   add … add ─▶ prepare ─▶ (the positions go to Kafka, with the end) ─▶ end
 */
export interface ConsumedInTransaction {
  /** False: nothing was added, so that `prepare` has nothing to give. */
  readonly hasMessages: boolean

  /** Whether messages of this partition were added. */
  holds(group: string, topicPartition: TopicPartition): boolean

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
   * Must be called after the positions have reached Kafka, before the end is requested.
   *
   * @throws TransactionError `notAssigned`: a partition was lost meanwhile, or its offsets were set: they are to count
   */
  check(): void

  /**
   * Ends the transaction, with or without `prepare`. A second call does nothing.
   *
   *   committed   what it acknowledges counts
   *   aborted     what it acknowledges is offered next, in order
   *   unknown     nothing of the partitions is offered until their positions are looked up again
   */
  end(result: TransactionEnd): void
}

const LOST = 'the partition of a message has gone to another member, its offsets were set, or its log was cut'

/** See {@link ConsumedInTransaction}. */
export class TransactionOffsets implements ConsumedInTransaction {
  readonly #messages = new Set<GivenMessage>()
  readonly #partitions = new Map<ReadPartition, TransactionMessages>()
  /** Group => the member and generation in which its messages were given out. */
  readonly #members = new Map<string, GroupMembership>()
  #isEnded = false
  #isLocking = false
  /** Lets {@link prepare} look again. */
  #wake: () => void = () => undefined

  get hasMessages(): boolean {
    return this.#messages.size > 0
  }

  holds(group: string, topicPartition: TopicPartition): boolean {
    return this.#heldOf(group, topicPartition).length > 0
  }

  #heldOf(group: string, { topic, partition }: TopicPartition): readonly TransactionMessages[] {
    return [...this.#partitions.values()].filter(
      ({ partition: { group: of, topicPartition: read } }) =>
        of === group && read.topic === topic && read.partition === partition
    )
  }

  add(consumed: Message | Batch): void {
    if (this.#isEnded) throw new TransactionError('aborted', 'the transaction has ended')
    const added = messagesIn(consumed).filter(message => !this.#messages.has(message))
    const partitions = added.map(message => this.#partitionFor(message))
    for (const [at, message] of added.entries()) this.#take(message, partitions[at]!)
  }

  /** @throws TransactionError when the message may not be added */
  #partitionFor(message: GivenMessage): ReadPartition {
    const { partition } = message
    const read = message.isAcked ? undefined : message.place.offers.read(partition)
    const { record } = message.place
    const { member } = record
    const isOfMember = member !== undefined && isSame(this.#members.get(message.group) ?? member, member)
    if (isOfMember && read?.mayHold(record) === true) return read
    const name = `${topicPartitionKey(message.topic, partition)} at offset ${message.offset}`
    throw new TransactionError(
      'notAssigned',
      `the message of ${name} was acknowledged, given up or offered again since, or another member has its partition`
    )
  }

  #take(message: GivenMessage, partition: ReadPartition): void {
    const { record } = message.place
    let held = this.#partitions.get(partition)
    if (held === undefined) {
      this.#partitions.set(partition, (held = new TransactionMessages(partition, () => this.#wake())))
      this.#members.set(message.group, record.member!)
    }
    this.#messages.add(message)
    message.noteHeld()
    held.add(record, message)
  }

  async prepare(signal: AbortSignal): Promise<readonly GroupPositions[]> {
    const leave = onAbort(signal, () => this.#wake())
    this.#unlock()
    try {
      for (;;) {
        signal.throwIfAborted()
        if (this.#isEnded) throw new TransactionError('aborted', 'the transaction has ended')
        const positions = this.#positionsIfLocked()
        if (positions !== undefined) return positions
        await new Promise<void>(resolve => (this.#wake = resolve))
      }
    } catch (error) {
      this.#unlock()
      throw error
    } finally {
      leave()
    }
  }

  /**
   * The partitions are locked in one step: of two transactions, one comes first in all of them. While a position does not
   * fit, none is locked: another transaction may acknowledge what is missing.
   */
  #positionsIfLocked(): readonly GroupPositions[] | undefined {
    this.check()
    const partitions = [...this.#partitions.values()]
    const positions = partitions.map(({ position }) => position).filter(position => position !== undefined)
    if (positions.length < partitions.length) {
      this.#unlock()
      return undefined
    }
    if (!this.#isLocking) {
      this.#isLocking = true
      for (const held of partitions) held.lock()
    }
    return partitions.every(({ isLocked }) => isLocked) ? this.#byGroup(partitions, positions) : undefined
  }

  #byGroup(
    partitions: readonly TransactionMessages[],
    positions: readonly TransactionPosition[]
  ): readonly GroupPositions[] {
    return Array.from(this.#members, ([group, { memberId, generationId, instanceId }]) => {
      const offsets = positions.filter((_, at) => partitions[at]!.partition.group === group).sort(byPartition)
      return { group, memberId, groupInstanceId: instanceId, generationId, offsets }
    })
  }

  #unlock(): void {
    this.#isLocking = false
    for (const held of this.#partitions.values()) held.unlock()
  }

  tooLarge(group: string, topicPartition: TopicPartition): void {
    for (const held of this.#heldOf(group, topicPartition)) held.noteTooLarge()
  }

  check(): void {
    for (const { isLost } of this.#partitions.values()) if (isLost) throw new TransactionError('notAssigned', LOST)
  }

  end(result: TransactionEnd): void {
    if (this.#isEnded) return
    this.#isEnded = true
    for (const held of this.#partitions.values()) held.end(result)
    this.#wake()
  }
}

/** The positions of a group go along under one generation: another one was over before. */
const isSame = (one: GroupMembership, other: GroupMembership): boolean =>
  one.memberId === other.memberId && one.generationId === other.generationId

function messagesIn(consumed: Message | Batch): readonly GivenMessage[] {
  if (consumed instanceof GivenMessage) return [consumed]
  if (consumed instanceof GivenBatch) return consumed.messages
  throw new InvalidRequestError('ack: a message or a batch of consume is needed')
}

const byPartition = (one: TopicPartition, other: TopicPartition): number =>
  one.topic === other.topic ? one.partition - other.partition : one.topic < other.topic ? -1 : 1
