import { topicPartitionKey } from '../../core/model.js'
import type { CommittedOffsets } from '../groups/committed-offsets.js'
import type { ProducerIds } from '../producer-ids.js'
import { controlBatch } from '../protocol/control-batch.js'
import { errors } from '../protocol/error-codes.js'
import type { StoredOffset } from '../storage/storage.js'
import type { Partition } from '../topics/partition.js'

const LAST_EPOCH = 0x7ffe
const LONGEST_TIMEOUT_MS = 15 * 60 * 1000
/** Most transactional ids that are remembered. */
const REMEMBERED_IDS = 10_000
/** How long after a failure of the storage a transaction is ended again. */
const RETRY_MS = 1000

type Outcome = 'commit' | 'abort'

interface Transaction {
  producerId: number
  epoch: number
  timeoutMs: number
  state: 'empty' | 'ongoing' | Outcome
  /** How a transaction ends whose markers are being written. */
  ending: Outcome | undefined
  readonly partitions: Map<string, Partition>
  readonly groupIds: Set<string>
  /** Visible once it commits. */
  offsets: StoredOffset[]
  timer: NodeJS.Timeout | undefined
}

export interface ProducerIdentity {
  readonly producerId: number
  readonly producerEpoch: number
}

/** The producer of a request, and its transaction. */
export interface TransactionalProducer {
  readonly transactionalId: string
  readonly producerId: number
  readonly producerEpoch: number
}

/**
 * Transactions: which partitions and offsets take part, and the markers that end them.
 *
 * Source: apache/kafka TransactionCoordinator, the protocol before KIP-890.
 */
export class TransactionCoordinator {
  readonly #transactions = new Map<string, Transaction>()
  readonly #producerIds: ProducerIds
  readonly #offsets: CommittedOffsets

  constructor(producerIds: ProducerIds, offsets: CommittedOffsets) {
    this.#producerIds = producerIds
    this.#offsets = offsets
  }

  /**
   * Starts or restarts a producer: the former user of the id is fenced, and its open transaction is aborted.
   *
   * @param current id and epoch that the producer has; refused when another producer has taken its place. An unknown
   * id is started anew
   */
  begin(transactionalId: string, timeoutMs: number, current: ProducerIdentity | undefined): ProducerIdentity | number {
    if (timeoutMs <= 0 || timeoutMs > LONGEST_TIMEOUT_MS) return errors.invalidTransactionTimeout
    let transaction = this.#transactions.get(transactionalId)
    if (current && transaction && !isThis(transaction, current)) return errors.producerFenced
    if (!transaction) {
      this.#makeCapacity()
      transaction = newTransaction(this.#producerIds.take())
      this.#transactions.set(transactionalId, transaction)
    } else this.#fence(transaction)
    if (transaction.state === 'ongoing') return errors.concurrentTransactions
    transaction.timeoutMs = timeoutMs
    transaction.state = 'empty'
    return { producerId: transaction.producerId, producerEpoch: transaction.epoch }
  }

  addPartition(producer: TransactionalProducer, partition: Partition): void {
    const transaction = this.#open(producer)
    transaction.partitions.set(topicPartitionKey(partition.topic, partition.index), partition)
  }

  addGroup(producer: TransactionalProducer, groupId: string): void {
    this.#open(producer).groupIds.add(groupId)
  }

  /** 0, or the error when these offsets may not take part. */
  offsetsError(producer: TransactionalProducer, groupId: string): number {
    const transaction = this.#transactions.get(producer.transactionalId)
    const isIn = transaction?.state === 'ongoing' && transaction.groupIds.has(groupId)
    return this.producerError(producer) || (isIn ? errors.none : errors.invalidTxnState)
  }

  addOffsets({ transactionalId }: TransactionalProducer, offsets: readonly StoredOffset[]): void {
    this.#transactions.get(transactionalId)?.offsets.push(...offsets)
  }

  /** Whether a transaction that is still open holds an offset for this partition. */
  willCommit(groupId: string, topic: string, partition: number): boolean {
    for (const { state, groupIds, offsets } of this.#transactions.values()) {
      if (state !== 'ongoing' || !groupIds.has(groupId)) continue
      const isHeld = offsets.some(o => o.groupId === groupId && o.topic === topic && o.partition === partition)
      if (isHeld) return true
    }
    return false
  }

  /** Ends the transaction, or repeats how it has ended. */
  end(producer: TransactionalProducer, outcome: Outcome): number {
    const refusal = this.producerError(producer)
    if (refusal) return refusal
    const transaction = this.#transactions.get(producer.transactionalId)!
    if (transaction.state === outcome) return errors.none
    if (transaction.state !== 'ongoing' || (transaction.ending ?? outcome) !== outcome) return errors.invalidTxnState
    return this.#finish(transaction, outcome) ? errors.none : errors.coordinatorNotAvailable
  }

  /** 0, 49 for another producer id, 47 for an epoch that was fenced. */
  producerError({ transactionalId, producerId, producerEpoch }: TransactionalProducer): number {
    const transaction = this.#transactions.get(transactionalId)
    if (transaction?.producerId !== producerId) return errors.invalidProducerIdMapping
    return transaction.epoch === producerEpoch ? errors.none : errors.invalidProducerEpoch
  }

  close(): void {
    for (const { timer } of this.#transactions.values()) clearTimeout(timer)
  }

  #open({ transactionalId }: TransactionalProducer): Transaction {
    const transaction = this.#transactions.get(transactionalId)!
    if (transaction.state !== 'ongoing') {
      transaction.state = 'ongoing'
      transaction.timer = setTimeout(() => this.#fence(transaction), transaction.timeoutMs)
    }
    return transaction
  }

  /** Forgets the oldest ids without an open transaction: such a producer starts anew. */
  #makeCapacity(): void {
    if (this.#transactions.size < REMEMBERED_IDS) return
    for (const [id, { state }] of this.#transactions) {
      if (state === 'ongoing') continue
      this.#transactions.delete(id)
      return
    }
  }

  #fence(transaction: Transaction): void {
    if (transaction.epoch < LAST_EPOCH) transaction.epoch++
    if (transaction.state === 'ongoing') this.#finish(transaction, transaction.ending ?? 'abort')
    if (transaction.epoch < LAST_EPOCH) return
    transaction.producerId = this.#producerIds.take()
    transaction.epoch = 0
  }

  /** False: the storage fails. Ending is tried again later, and continues where it stopped. */
  #finish(transaction: Transaction, outcome: Outcome): boolean {
    clearTimeout(transaction.timer)
    transaction.ending = outcome
    try {
      this.#writeMarkers(transaction, outcome)
      if (outcome === 'commit') this.#offsets.commit(transaction.offsets)
    } catch {
      transaction.timer = setTimeout(() => this.#finish(transaction, outcome), RETRY_MS).unref()
      return false
    }
    transaction.state = outcome
    transaction.ending = undefined
    transaction.groupIds.clear()
    transaction.offsets = []
    return true
  }

  #writeMarkers({ producerId, epoch, partitions }: Transaction, outcome: Outcome): void {
    for (const [key, { log, leaderEpoch }] of partitions) {
      if (!log.isRemoved) log.append(controlBatch(outcome, producerId, epoch, Date.now()), leaderEpoch, -1)
      partitions.delete(key)
    }
  }
}

const isThis = (transaction: Transaction, { producerId, producerEpoch }: ProducerIdentity): boolean =>
  transaction.producerId === producerId && transaction.epoch === producerEpoch

const newTransaction = (producerId: number): Transaction => ({
  producerId,
  epoch: 0,
  timeoutMs: 0,
  state: 'empty',
  ending: undefined,
  partitions: new Map(),
  groupIds: new Set(),
  offsets: [],
  timer: undefined
})
