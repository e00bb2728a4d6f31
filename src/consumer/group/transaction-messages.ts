import type { KafkaRecord, MonotonicClock, Offset, TopicPartition } from '../../core/model.js'
import { withMark } from './ack-encoding.js'
import type { CommitLock } from './offset-committer.js'
import type { OfferId, OffsetTracker } from './offset-tracker.js'

/** The next offset to read in a partition; all before it, and all that `metadata` lists, is acknowledged. */
export interface TransactionPosition extends TopicPartition {
  readonly offset: Offset
  /** -1: unknown. */
  readonly leaderEpoch: number
  readonly metadata: string
}

/** `unknown`: the end was not answered. The positions of the partitions are then looked up before more is offered. */
export type TransactionEnd = 'committed' | 'aborted' | 'unknown'

type OfferedRecord = KafkaRecord & OfferId

/** A message in a transaction, whose handler may wait for its end. */
export interface InTransaction {
  /** Called when the transaction has aborted. If other messages wait behind this one, it waits before them again. */
  parkAgain(): void
  /** Called when the message belongs to the transaction no more: it has ended, or cannot commit any more. */
  leftTransaction(): void
}

/** The part of a group that transactions use, for one partition. */
export interface PartitionCommits {
  /** @param onHeld called when the lock is held, maybe at once */
  lock(onHeld: () => void): CommitLock
  /** The length of metadata that brokers have refused, and longer ones. */
  refusedLength(): number
  noteRefusedLength(length: number): void
  /** Looks up the committed position, and begins there. What was offered before is forgotten. */
  readAnew(): void
  /** Calls back in a later tick of the group's actor. */
  tick(run: () => void): void
}

interface ReadPartitionOptions {
  readonly group: string
  readonly topicPartition: TopicPartition
  /** The incarnation of the topic that is read; `undefined`: unknown. */
  readonly topicId: string | undefined
  readonly tracker: OffsetTracker
  readonly clock: MonotonicClock
  readonly commits: PartitionCommits
  /** Called when a transaction has taken a message, which may wait to be offered again. */
  readonly onHeld: () => void
  /**
   * Settles the messages of a transaction. `committed`: the position that was committed with them; absent: they are open again,
   * and those that `parkAgain` does not park are released.
   */
  readonly settle: (messages: readonly OfferedRecord[], committed?: TransactionPosition, parkAgain?: () => void) => void
}

/** A partition from the position where a member began to read it until the member loses it, or begins again. */
export class ReadPartition {
  readonly group: string
  readonly topicPartition: TopicPartition
  readonly options: ReadPartitionOptions
  readonly open = new Set<TransactionMessages>()
  isLost = false

  constructor(options: ReadPartitionOptions) {
    this.group = options.group
    this.topicPartition = options.topicPartition
    this.options = options
  }

  /** True when a transaction may take this message: its offer stands, or was released, and none is newer. */
  mayHold({ offset, serial }: OfferedRecord): boolean {
    const { tracker, clock } = this.options
    return !this.isLost && tracker.mayGiveToTransaction(offset, serial, clock())
  }

  /** Called when acknowledgements count, and when the log was cut. */
  changed(): void {
    if (this.open.size === 0) return
    for (const held of this.open) held.onChanged()
  }

  lose(): void {
    this.isLost = true
    for (const held of this.open) held.unlock()
    this.changed()
    for (const held of this.open) held.leave()
  }
}

/** The messages of one partition that belong to a transaction. */
export class TransactionMessages {
  readonly partition: ReadPartition
  readonly onChanged: () => void
  readonly #messages = new Map<Offset, OfferedRecord>()
  readonly #parties: InTransaction[] = []
  #lock: CommitLock | undefined
  /** Last result of {@link position}. */
  #given: TransactionPosition | undefined

  /** @param onChanged called when {@link isLost}, {@link isLocked} or {@link position} may have changed */
  constructor(partition: ReadPartition, onChanged: () => void) {
    this.partition = partition
    this.onChanged = onChanged
    partition.open.add(this)
  }

  add(message: OfferedRecord, party: InTransaction): void {
    const { tracker, onHeld } = this.partition.options
    this.#messages.set(message.offset, message)
    this.#parties.push(party)
    tracker.giveToTransaction(message.offset)
    onHeld()
  }

  /** True when the messages cannot be acknowledged any more: the partition is lost, or its log was cut before them. */
  get isLost(): boolean {
    const { isLost, options } = this.partition
    return isLost || !options.tracker.areInTransaction(this.#messages.values())
  }

  /** True when all commits of the partition are answered, and none is sent until {@link unlock}. */
  get isLocked(): boolean {
    return this.#lock?.isHeld === true
  }

  lock(): void {
    this.#lock = this.partition.options.commits.lock(this.onChanged)
  }

  unlock(): void {
    this.#lock?.release()
    this.#lock = undefined
  }

  /** The position that holds all that is acknowledged in the partition. `undefined`: it does not fit into its metadata. */
  get position(): TransactionPosition | undefined {
    const { tracker, topicId, topicPartition, commits } = this.partition.options
    const position = tracker.positionWith(this.#messages.keys())
    if (position === undefined) return undefined
    const fits = ({ metadata }: { readonly metadata: string }) => metadata.length < commits.refusedLength()
    const fitting = [withMark(position, topicId), position].find(fits)
    if (fitting === undefined) return undefined
    const { offset, metadata, leaderEpoch = -1 } = fitting
    this.#given = { ...topicPartition, offset, metadata, leaderEpoch }
    return this.#given
  }

  /** Notes that a broker has refused the metadata of the last position. */
  noteTooLarge(): void {
    this.partition.options.commits.noteRefusedLength(this.#given!.metadata.length)
  }

  /** Settles the messages, in a later tick of the group's actor. */
  end(result: TransactionEnd): void {
    const { partition } = this
    partition.options.commits.tick(() => {
      if (!partition.isLost) this.#settle(result)
      this.unlock()
      this.leave()
    })
    // A group that has ended has no further tick, and has lost the partition.
    if (partition.isLost) this.leave()
  }

  #settle(result: TransactionEnd): void {
    const { commits, settle } = this.partition.options
    if (result === 'unknown') commits.readAnew()
    else if (result === 'committed') settle([...this.#messages.values()], this.#given)
    else
      settle([...this.#messages.values()], undefined, () => {
        for (const party of this.#parties) party.parkAgain()
      })
  }

  /** The messages belong to the transaction no more. */
  leave(): void {
    this.partition.open.delete(this)
    for (const party of this.#parties.splice(0)) party.leftTransaction()
  }
}
