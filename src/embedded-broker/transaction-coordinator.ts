import { topicPartitionKey } from '../core/model.js'
import { errorCodes } from '../kafka/error-codes.js'
import type { CommittedOffsets } from './groups/group-coordinator.js'
import { controlBatch } from './protocol/record-batch.js'
import type { StoredCluster, StoredOffset } from './storage/storage.js'
import type { StoredPartition } from './topics/partition.js'

const LAST_EPOCH = 0x7ffe
const LONGEST_TIMEOUT_MS = 15 * 60 * 1000
/** Limit of remembered transactional ids. */
const REMEMBERED_IDS = 10_000
/** Pause before another attempt to end a transaction after a failure of the storage. */
const RETRY_MS = 1000

type Outcome = 'commit' | 'abort'

interface OpenedTransaction {
  producerId: number
  epoch: number
  /** The epoch that InitProducerId was last asked to replace; -1: it named none. Who repeats the question gets the same answer. */
  replacedEpoch: number
  timeoutMs: number
  state: 'empty' | 'ongoing' | Outcome
  /** The outcome of a transaction whose markers are being written. */
  ending: Outcome | undefined
  readonly partitions: Map<string, StoredPartition>
  readonly groupIds: Set<string>
  /** Offsets that become visible when the transaction commits, in the order in which they came. */
  offsets: PendingOffset[]
  timer: NodeJS.Timeout | undefined
}

/** An offset that a transaction commits, if it commits. */
interface PendingOffset {
  readonly stored: StoredOffset
  /** Position among all offsets of transactions. */
  readonly at: number
  /** An offset was committed that came later: of two, the later one counts, also if this transaction ends last. */
  isOvertaken: boolean
}

export interface IdAndEpoch {
  readonly producerId: number
  readonly producerEpoch: number
}

export interface CoordinatedProducer {
  readonly transactionalId: string
  readonly producerId: number
  readonly producerEpoch: number
}

/**
 * Manages transactions: their partitions and offsets, and the markers that end them.
 *
 * Source: apache/kafka TransactionCoordinator, the protocol before KIP-890.
 */
export class TransactionCoordinator {
  readonly #transactions = new Map<string, OpenedTransaction>()
  readonly #producerIds: ProducerIds
  readonly #offsets: CommittedOffsets
  #lastPending = 0

  constructor(producerIds: ProducerIds, offsets: CommittedOffsets) {
    this.#producerIds = producerIds
    this.#offsets = offsets
  }

  /**
   * Starts or restarts a producer. The former producer with this transactional id is fenced, and its open transaction
   * is aborted.
   *
   * @param current the producer's present id and epoch, which are refused when another producer has replaced it. An
   *   unknown id starts a new producer
   */
  begin(transactionalId: string, timeoutMs: number, current: IdAndEpoch | undefined): IdAndEpoch | number {
    if (timeoutMs <= 0 || timeoutMs > LONGEST_TIMEOUT_MS) return errorCodes.INVALID_TRANSACTION_TIMEOUT
    let transaction = this.#transactions.get(transactionalId)
    if (current && transaction && isReplaced(transaction, current)) return answerOf(transaction)
    if (current && transaction && !isThis(transaction, current)) return errorCodes.PRODUCER_FENCED
    if (!transaction) {
      this.#forgetOldest()
      transaction = newTransaction(this.#producerIds.take())
      this.#transactions.set(transactionalId, transaction)
    } else this.#fence(transaction)
    if (transaction.state === 'ongoing') return errorCodes.CONCURRENT_TRANSACTIONS
    transaction.timeoutMs = timeoutMs
    transaction.state = 'empty'
    transaction.replacedEpoch = current?.producerEpoch ?? -1
    return answerOf(transaction)
  }

  addPartition(producer: CoordinatedProducer, partition: StoredPartition): void {
    const transaction = this.#open(producer)
    transaction.partitions.set(topicPartitionKey(partition.topic, partition.index), partition)
  }

  addGroup(producer: CoordinatedProducer, groupId: string): void {
    this.#open(producer).groupIds.add(groupId)
  }

  /** Returns 0, or the error code when these offsets may not be part of the transaction. */
  offsetsError(producer: CoordinatedProducer, groupId: string): number {
    const transaction = this.#transactions.get(producer.transactionalId)
    const isIn = transaction?.state === 'ongoing' && transaction.groupIds.has(groupId)
    return this.producerError(producer) || (isIn ? errorCodes.NONE : errorCodes.INVALID_TXN_STATE)
  }

  addOffsets({ transactionalId }: CoordinatedProducer, offsets: readonly StoredOffset[]): void {
    const pending = offsets.map(stored => ({ stored, at: ++this.#lastPending, isOvertaken: false }))
    this.#transactions.get(transactionalId)?.offsets.push(...pending)
  }

  /**
   * Notes that offsets are committed. Those of open transactions that came before them will not be.
   *
   * @param at the place of the offsets among all offsets of transactions; default: they have come now
   */
  overtaken(offsets: readonly StoredOffset[], at = Number.POSITIVE_INFINITY): void {
    for (const { state, offsets: pending } of this.#transactions.values()) {
      if (state !== 'ongoing') continue
      for (const one of pending)
        if (one.at < at && offsets.some(offset => isOfSame(offset, one.stored))) one.isOvertaken = true
    }
  }

  /** True when an open transaction holds an offset for this partition. */
  willCommit(groupId: string, topic: string, partition: number): boolean {
    for (const { state, groupIds, offsets } of this.#transactions.values()) {
      if (state !== 'ongoing' || !groupIds.has(groupId)) continue
      if (offsets.some(({ stored }) => isOfSame(stored, { groupId, topic, partition }))) return true
    }
    return false
  }

  /** Ends the transaction. A repeated request with the same outcome succeeds. */
  end(producer: CoordinatedProducer, outcome: Outcome): number {
    const refusal = this.producerError(producer)
    if (refusal) return refusal
    const transaction = this.#transactions.get(producer.transactionalId)!
    if (transaction.state === outcome) return errorCodes.NONE
    if (transaction.state !== 'ongoing' || (transaction.ending ?? outcome) !== outcome)
      return errorCodes.INVALID_TXN_STATE
    return this.#finish(transaction, outcome) ? errorCodes.NONE : errorCodes.COORDINATOR_NOT_AVAILABLE
  }

  /** Returns 0, 49 for another producer id, or 47 for an epoch that was fenced. */
  producerError({ transactionalId, producerId, producerEpoch }: CoordinatedProducer): number {
    const transaction = this.#transactions.get(transactionalId)
    if (transaction?.producerId !== producerId) return errorCodes.INVALID_PRODUCER_ID_MAPPING
    return transaction.epoch === producerEpoch ? errorCodes.NONE : errorCodes.INVALID_PRODUCER_EPOCH
  }

  /**
   * Returns 0, or the error code of a batch for a partition that is not in the producer's open transaction: it would come
   * late, and become part of a later one. Kafka verifies this since 3.6.
   */
  batchError(
    transactionalId: string,
    { producerId, producerEpoch }: IdAndEpoch,
    { topic, index }: StoredPartition
  ): number {
    const refusal = this.producerError({ transactionalId, producerId, producerEpoch })
    const isIn = this.#transactions.get(transactionalId)?.partitions.has(topicPartitionKey(topic, index))
    return refusal || (isIn ? errorCodes.NONE : errorCodes.INVALID_TXN_STATE)
  }

  close(): void {
    for (const { timer } of this.#transactions.values()) clearTimeout(timer)
  }

  #open({ transactionalId }: CoordinatedProducer): OpenedTransaction {
    const transaction = this.#transactions.get(transactionalId)!
    if (transaction.state !== 'ongoing') {
      transaction.state = 'ongoing'
      transaction.timer = setTimeout(() => this.#fence(transaction), transaction.timeoutMs)
    }
    return transaction
  }

  /** Forgets the oldest ids without an open transaction. Their producers must start again. */
  #forgetOldest(): void {
    if (this.#transactions.size < REMEMBERED_IDS) return
    for (const [id, { state }] of this.#transactions) {
      if (state === 'ongoing') continue
      this.#transactions.delete(id)
      return
    }
  }

  #fence(transaction: OpenedTransaction): void {
    if (transaction.epoch < LAST_EPOCH) transaction.epoch++
    transaction.replacedEpoch = -1
    if (transaction.state === 'ongoing') this.#finish(transaction, transaction.ending ?? 'abort')
    if (transaction.epoch < LAST_EPOCH) return
    transaction.producerId = this.#producerIds.take()
    transaction.epoch = 0
  }

  /** @returns false when the storage fails; the rest of the work is then done later */
  #finish(transaction: OpenedTransaction, outcome: Outcome): boolean {
    clearTimeout(transaction.timer)
    transaction.ending = outcome
    try {
      this.#writeMarkers(transaction, outcome)
      if (outcome === 'commit') this.#commit(transaction.offsets)
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

  #commit(pending: readonly PendingOffset[]): void {
    const counting = pending.filter(({ isOvertaken }) => !isOvertaken)
    this.#offsets.commit(counting.map(({ stored }) => stored))
    for (const { stored, at } of counting) this.overtaken([stored], at)
  }

  #writeMarkers({ producerId, epoch, partitions }: OpenedTransaction, outcome: Outcome): void {
    for (const [key, { log, leaderEpoch }] of partitions) {
      if (!log.isRemoved) log.append(controlBatch(outcome, producerId, epoch, Date.now()), leaderEpoch, -1)
      partitions.delete(key)
    }
  }
}

type PlaceOfGroup = Pick<StoredOffset, 'groupId' | 'topic' | 'partition'>
const isOfSame = (one: PlaceOfGroup, other: PlaceOfGroup): boolean =>
  one.partition === other.partition && one.topic === other.topic && one.groupId === other.groupId

const isThis = (transaction: OpenedTransaction, { producerId, producerEpoch }: IdAndEpoch): boolean =>
  transaction.producerId === producerId && transaction.epoch === producerEpoch

const isReplaced = (transaction: OpenedTransaction, { producerId, producerEpoch }: IdAndEpoch): boolean =>
  transaction.producerId === producerId && transaction.replacedEpoch === producerEpoch

const answerOf = ({ producerId, epoch }: OpenedTransaction): IdAndEpoch => ({ producerId, producerEpoch: epoch })

const newTransaction = (producerId: number): OpenedTransaction => ({
  producerId,
  epoch: 0,
  replacedEpoch: -1,
  timeoutMs: 0,
  state: 'empty',
  ending: undefined,
  partitions: new Map(),
  groupIds: new Set(),
  offsets: [],
  timer: undefined
})

/** Size of a block of ids. As in Kafka, ids are allocated in blocks, so a restart skips the rest of a block. */
const BLOCK = 1000
/** For this time, a node that has just started answers 14, with id -1. */
const NOT_READY_MS = 100

/** Allocates producer ids. No id is allocated twice. */
export class ProducerIds {
  readonly #storage: StoredCluster
  readonly #notReady = new Map<number, NodeJS.Timeout>()
  #next: number
  #blockEnd: number

  constructor(storage: StoredCluster) {
    this.#storage = storage
    this.#next = this.#blockEnd = storage.nextProducerId
  }

  nodeRestarted(nodeId: number): void {
    clearTimeout(this.#notReady.get(nodeId))
    this.#notReady.set(
      nodeId,
      setTimeout(() => this.#notReady.delete(nodeId), NOT_READY_MS)
    )
  }

  isReady(nodeId: number): boolean {
    return !this.#notReady.has(nodeId)
  }

  /** @throws Error when the allocation cannot be stored */
  take(): number {
    if (this.#next === this.#blockEnd) {
      this.#storage.saveNextProducerId(this.#blockEnd + BLOCK)
      this.#blockEnd += BLOCK
    }
    return this.#next++
  }

  close(): void {
    for (const timer of this.#notReady.values()) clearTimeout(timer)
    this.#notReady.clear()
  }
}
