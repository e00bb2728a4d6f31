import { unlessAborted } from '../../core/ending.js'
import { CastellanError, InvalidRequestError, KafkaError } from '../../core/errors.js'
import { getOrAdd } from '../../core/maps.js'
import {
  type ProduceRecord,
  type RecordFailure,
  type RecordOutcome,
  type TopicPartition,
  topicPartitionKey
} from '../../core/model.js'
import { messageOf } from '../../core/node-errors.js'
import { ProduceError } from '../../core/produce-error.js'
import { TransactionError } from '../../core/transaction-error.js'
import { codesOf, errorCodes } from '../../kafka/error-codes.js'
import type { SealedBatch } from '../../router/messages/operations.js'
import type { PartitionerFunction, PartitionerName } from '../memory/partitioners.js'
import { causeOf, type FailedCall } from './transactional-calls.js'
import type { TransactionalProducer } from './transactional-producer.js'

/** An offset of a group that becomes its position when the transaction commits. */
export interface TransactionOffset extends TopicPartition {
  /** The next one to read. */
  readonly offset: number
  /** -1: unknown. */
  readonly leaderEpoch: number
  readonly metadata: string
}

/** Positions of a group under one of its members. */
interface MemberPositions {
  readonly group: string
  readonly memberId: string
  readonly generationId: number
  readonly groupInstanceId: string | null
  readonly offsets: readonly TransactionOffset[]
}

/** Messages that groups have given out and that a transaction acknowledges. */
export interface ConsumedPositions {
  readonly hasMessages: boolean
  /** Whether it acknowledges messages of this partition. */
  holds(group: string, topicPartition: TopicPartition): boolean
  /** Called when the function has resolved. It may be called again, after `tooLarge`. */
  prepare(signal: AbortSignal): Promise<readonly MemberPositions[]>
  /** The broker has refused the metadata of this position. */
  tooLarge(group: string, topicPartition: TopicPartition): void
  /** @throws TransactionError when the positions are not to count any more */
  check(): void
  /** Ends the positions with the result of the transaction. Only the first call counts. */
  end(result: 'committed' | 'aborted' | 'unknown'): void
}

/** The protocol's values for a commit without a member. */
const STAND_ALONE = { memberId: '', generationId: -1, groupInstanceId: null } as const
/** The group has moved on since the messages were given out, or another process has the instance id of the member. */
const lostMemberCodes = codesOf('ILLEGAL_GENERATION', 'UNKNOWN_MEMBER_ID', 'FENCED_INSTANCE_ID')
/** How long an abort waits for the answers to batches that are on their way. Without them another epoch is needed. */
const ANSWER_GRACE_MS = 1_000

/** One transaction, from the moment its producer is ready to its end. */
export class OpenTransaction {
  readonly id: string
  readonly #producer: TransactionalProducer
  readonly #consumed: ConsumedPositions
  readonly #until: number
  readonly #clock: () => number
  /** Made when the signal is asked for. */
  #doomed: AbortController | undefined
  readonly #settling = new Set<Promise<unknown>>()
  /** Partitions and groups that the coordinator knows of. */
  readonly #partitions = new Set<string>()
  readonly #groups = new Set<string>()
  /** Offsets by group, then by partition. */
  readonly #offsets = new Map<string, Map<string, TransactionOffset>>()
  /** The coordinator was asked to add something. */
  #isBegun = false
  #isOpen = true
  #isOver = false
  /** Why it can only abort; `undefined`: it may commit. */
  #failure: TransactionError | undefined
  /** A batch would have needed another epoch. */
  #isBroken = false
  /** The first reason was a record. */
  #hasFailedRecords = false

  constructor(producer: TransactionalProducer, consumed: ConsumedPositions, until: number, clock: () => number) {
    this.id = producer.id
    this.#producer = producer
    this.#consumed = consumed
    this.#until = until
    this.#clock = clock
    producer.begin({
      beforeSending: batches => this.#addPartitions(batches),
      needsEpoch: () => void this.#learnWhy(),
      clusterChanged: () => {
        const cause = new CastellanError(
          'clusterChanged',
          `another Kafka cluster is connected than that of ${this.id}`,
          false
        )
        this.fail(new TransactionError('aborted', cause.message, 'no', cause))
        void this.#giveUpRecords(0)
      }
    })
  }

  /** Aborted when the transaction can only abort. */
  get signal(): AbortSignal {
    this.#doomed ??= new AbortController()
    if (this.#failure !== undefined) this.#doomed.abort(this.#failure)
    return this.#doomed.signal
  }

  /** Whether the transaction has committed, or its end was asked for and not answered. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** The first reason counts. */
  fail(error: TransactionError): void {
    if (this.#isOver || this.#failure !== undefined) return
    this.#failure = error
    this.#doomed?.abort(error)
  }

  /**
   * Writes records in the order of ordinary produce.
   *
   * @returns the outcomes of the records; with one that failed, the transaction can only abort
   * @throws TransactionError when it can only abort for another reason; InvalidRequestError when it is over
   */
  async produce(
    recordsOf: () => readonly ProduceRecord[],
    partitioner: PartitionerName | PartitionerFunction
  ): Promise<readonly RecordOutcome[]> {
    this.checkOpen()
    const outcomes = this.#accepted(recordsOf, partitioner)
    this.#settling.add(outcomes)
    try {
      const settled = await outcomes
      const failed = settled.filter(outcome => outcome.type === 'failed')
      if (failed.length === 0) return settled
      if (this.#failure !== undefined && !this.#hasFailedRecords) throw this.#failure
      this.#hasFailedRecords = true
      this.fail(this.#errorOfRecords(settled, failed))
      return settled
    } finally {
      this.#settling.delete(outcomes)
    }
  }

  /** A record that never passes tells more than those that may pass in another try. */
  #errorOfRecords(outcomes: readonly RecordOutcome[], failed: readonly RecordFailure[]): TransactionError {
    const first = failed.find(({ retriable }) => !retriable) ?? failed[0]!
    const cause = new ProduceError(outcomes, [first, ...failed.filter(one => one !== first)])
    return new TransactionError('aborted', `a record failed: ${first.message}`, 'no', cause, first.retriable)
  }

  /** A program may not await the promise: a mistake, too, lets the transaction only abort. */
  #accepted(recordsOf: () => readonly ProduceRecord[], partitioner: PartitionerName | PartitionerFunction) {
    const deadlineMs = Math.max(0, this.#until - this.#clock())
    const options = { partitioner, deadlineMs, capacityWaitMs: deadlineMs }
    try {
      return this.#producer.delivery.accept(recordsOf(), options).outcomes()
    } catch (error) {
      this.mistaken(error)
      throw error
    }
  }

  /**
   * Notes a mistake of the transaction's function: it asked for something that is not in the transaction, which now must abort.
   */
  mistaken(error: unknown): void {
    this.fail(
      new TransactionError('aborted', messageOf(error), 'no', error, error instanceof CastellanError && error.retriable)
    )
  }

  /** Positions that no member of the group has read. Of several offsets of a partition the highest counts. */
  commitOffsets(group: string, offsets: readonly TransactionOffset[]): void {
    this.checkOpen()
    const ofGroup = getOrAdd(this.#offsets, group, () => new Map())
    for (const offset of offsets) {
      const key = topicPartitionKey(offset.topic, offset.partition)
      if (offset.offset >= (ofGroup.get(key)?.offset ?? 0)) ofGroup.set(key, offset)
    }
    this.checkPositions()
  }

  /**
   * A partition has one position. That of acknowledged messages also says which later ones are acknowledged, so none of the two
   * is the higher one.
   *
   * @throws InvalidRequestError when a partition has one of `commitOffsets`, and messages that are acknowledged
   */
  checkPositions(): void {
    for (const [group, offsets] of this.#offsets)
      for (const [place, offset] of offsets)
        if (this.#consumed.holds(group, offset))
          throw new InvalidRequestError(
            `tx.ack and tx.commitOffsets are for different partitions: group ${group} has messages of ${place} acknowledged`
          )
  }

  /** @throws TransactionError when it can only abort; InvalidRequestError when it is over */
  checkOpen(): void {
    this.#checkFailure()
    if (!this.#isOpen) throw new InvalidRequestError(`the function of the transaction ${this.id} has ended`)
  }

  get #mayAdd(): boolean {
    return this.#failure === undefined && !this.#isBroken && !this.#isOver
  }

  /** Called before batches are sent. @returns false when they may not be sent */
  async #addPartitions(batches: Iterable<SealedBatch>): Promise<boolean> {
    if (this.#failure !== undefined) await this.#giveUpRecords(0)
    if (!this.#mayAdd) return false
    const fresh = [...batches].filter(batch => !this.#partitions.has(topicPartitionKey(batch.topic, batch.partition)))
    if (fresh.length === 0) return true
    this.#isBegun = true
    const partitions = fresh.map(({ topic, partition }) => ({ topic, partition }))
    const { calls, identified: producer } = this.#producer
    const result = await calls.ask({ type: 'addPartitionsToTxn', producer, partitions }, this.#until)
    if (!this.#mayAdd) {
      await this.#giveUpRecords(0)
      return false
    }
    if (result.type === 'success') {
      for (const { topic, partition } of partitions) this.#partitions.add(topicPartitionKey(topic, partition))
      return true
    }
    this.fail(this.#producer.errorOf(result))
    await this.#giveUpRecords(0)
    return false
  }

  /** A batch would need another epoch. The coordinator knows whether the id has another owner, or only a broker has forgotten it. */
  async #learnWhy(): Promise<void> {
    if (!this.#mayAdd) return
    this.#isBroken = true
    this.#producer.calls.interrupt()
    const told = `a broker does not know the producer of ${this.id} any more, or did not take a batch in time`
    const forgotten = new TransactionError('aborted', told)
    const why = await this.#producer.abort(this.#until).then(
      () => forgotten,
      (error: unknown) => error
    )
    this.fail(why instanceof TransactionError ? why : forgotten)
    await this.#giveUpRecords(0)
  }

  #giveUpRecords(graceMs: number): Promise<void> {
    return this.#producer.giveUp(this.#failure ?? this.#aborted(), graceMs)
  }

  #aborted(): TransactionError {
    return new TransactionError('aborted', `the transaction ${this.id} was aborted`)
  }

  /**
   * Waits for the records, sends the positions, and commits.
   *
   * @throws TransactionError; unless it {@link isOver} then, the transaction has to be aborted
   */
  async commit(): Promise<void> {
    this.#isOpen = false
    if (this.#settling.size > 0) await unlessAborted(Promise.allSettled(this.#settling), this.signal)
    if (this.#consumed.hasMessages || this.#offsets.size > 0) await unlessAborted(this.#sendAllPositions(), this.signal)
    this.#checkFailure()
    this.#consumed.check()
    if (this.#isBegun) await this.#end()
    this.#over('committed')
  }

  async #sendAllPositions(): Promise<void> {
    await this.#sendConsumed()
    for (const [group, offsets] of this.#offsets) {
      const result = await this.#sendPositions({ ...STAND_ALONE, group, offsets: [...offsets.values()] })
      if (result.type === 'metadataTooLarge') throw metadataError(group)
      if (result.type !== 'success') throw this.#producer.errorOf(result)
    }
  }

  #checkFailure(): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  async #sendConsumed(): Promise<void> {
    if (!this.#consumed.hasMessages) return
    let isComplete = false
    while (!isComplete) {
      isComplete = true
      for (const positions of await this.#consumed.prepare(this.signal)) {
        const result = await this.#sendPositions(positions)
        if (result.type === 'metadataTooLarge') {
          this.#consumed.tooLarge(positions.group, result.topicPartition)
          isComplete = false
          break
        }
        if (result.type !== 'success') throw this.#positionsError(positions.group, result)
      }
    }
  }

  #positionsError(group: string, result: FailedCall): TransactionError {
    if (result.errorCode === undefined || !lostMemberCodes.has(result.errorCode)) return this.#producer.errorOf(result)
    const message = `group ${group} has rebalanced since the messages were given out`
    return new TransactionError('notAssigned', message, 'no', causeOf(result))
  }

  async #sendPositions({ group, memberId, generationId, groupInstanceId, offsets }: MemberPositions) {
    this.#checkFailure()
    const { calls, identified: producer } = this.#producer
    if (!this.#groups.has(group)) {
      this.#isBegun = true
      const result = await calls.ask({ type: 'addOffsetsToTxn', producer, group }, this.#until)
      if (result.type !== 'success') return result
      this.#groups.add(group)
      // The transaction may be aborting meanwhile, with its end in flight: what comes later would belong to the next transaction.
      this.#checkFailure()
    }
    const member = { memberId, generationId, instanceId: groupInstanceId }
    return calls.ask({ type: 'txnOffsetCommit', producer, groupId: group, member, offsets }, this.#until)
  }

  async #end(): Promise<void> {
    const { calls, identified: producer } = this.#producer
    const { unanswered } = calls
    if (this.#clock() >= this.#until) throw this.#producer.errorOf({ type: 'timedOut' })
    const result = await calls.ask({ type: 'endTxn', producer, isCommit: true }, this.#until)
    if (result.type === 'success') return
    // Under its epoch, 48 tells that the coordinator has aborted it.
    const isAborted = result.type === 'failed' && result.errorCode === errorCodes.INVALID_TXN_STATE
    const isUnknown = calls.unanswered > unanswered && !isAborted
    const error = this.#producer.errorOf(result, isUnknown ? 'unknown' : 'no')
    if (isUnknown) this.#over('unknown')
    throw error
  }

  #over(result: 'committed' | 'unknown'): void {
    this.#isOver = true
    this.#consumed.end(result)
    this.#producer.settle(result === 'committed')
  }

  /**
   * Aborts an open transaction. The wait for the answer has a limit of its own; the next transaction of the id first does what is
   * left.
   *
   * @returns why it could not be told to the coordinator
   */
  async abort(until: number): Promise<TransactionError | undefined> {
    this.#isOpen = false
    this.fail(this.#aborted())
    this.#consumed.end('aborted')
    this.#producer.calls.interrupt()
    await this.#giveUpRecords(Math.min(ANSWER_GRACE_MS, Math.max(0, until - this.#clock())))
    try {
      if (this.#isBegun) await this.#producer.abort(until)
      this.#producer.settle(true)
      return undefined
    } catch (error) {
      this.#producer.settle(false)
      return error instanceof TransactionError ? error : undefined
    }
  }
}

function metadataError(group: string): TransactionError {
  const message = `the metadata of a position of group ${group} is too large for the brokers`
  const cause = new KafkaError(errorCodes.OFFSET_METADATA_TOO_LARGE, message, false)
  return new TransactionError('aborted', message, 'no', cause, cause.retriable)
}
