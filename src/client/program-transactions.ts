import type { Batch, Message } from '../consumer/group/given-messages.js'
import { type ConsumedInTransaction, TransactionOffsets } from '../consumer/group/transaction-offsets.js'
import { requireClientsGroup } from '../consumer/group/webhook-groups.js'
import { isCount } from '../core/counts.js'
import { InvalidRequestError } from '../core/errors.js'
import { MAX_TIMER_MS } from '../core/model.js'
import { checkOptionNames, checkSignal, type OneOrMany } from '../core/settings/call-options.js'
import { TransactionError } from '../core/transaction-error.js'
import type { OpenTransaction, TransactionOffset } from '../producer/transactions/open-transaction.js'
import type { Transactions } from '../producer/transactions/transactions.js'
import { problemOfPartition } from '../router/requests/failures.js'
import {
  allDelivered,
  type Delivered,
  type NewRecord,
  type ProduceOptions,
  recordsIn,
  toRecords
} from './program-produce.js'

type TransactionalProduceOptions = Pick<ProduceOptions, 'partitioner'>

const DEFAULT_TIMEOUT_MS = 60_000
const MAX_ID_BYTES = 32_000

export interface TransactionOptions {
  /**
   * How long the whole call may take, the wait for its turn included; default 60 s. The brokers end a transaction 10 s later
   * if its process cannot.
   */
  readonly timeoutMs?: number | undefined
  /** Aborts the transaction, unless its end is already on its way. */
  readonly signal?: AbortSignal | undefined
}

/** The next offset to read in a partition. */
export interface CommittedOffset {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly metadata?: string | undefined
}

/** One transaction. It can be used until its function has resolved. */
export interface Transaction {
  readonly id: string
  /** Aborted when the transaction can only abort: its time is over, the id is fenced, a record failed, or `close` was called. */
  readonly signal: AbortSignal
  /**
   * Writes records in the order of `castellan.produce`. Records that are not awaited are waited for before the end. If one
   * fails, the promise rejects, and the transaction can only abort.
   */
  produce(records: OneOrMany<NewRecord>, options?: TransactionalProduceOptions): Promise<readonly Delivered[]>
  /**
   * Acknowledges what `consume` has given out, when the transaction commits, and under the generation of the group in which it
   * was given out.
   *
   * @throws TransactionError `notAssigned`: it was offered again, acknowledged or given up since, or belongs to another transaction
   * @throws InvalidRequestError when `commitOffsets` has named an offset of the same group and partition
   */
  ack(consumed: Message | Batch): void
  /**
   * Commits positions that `consume` has not read. Of several offsets of a partition the highest counts.
   *
   * @throws InvalidRequestError when one of them is no offset of a partition, or messages of the partition are acknowledged
   */
  commitOffsets(group: string, offsets: readonly CommittedOffset[]): Promise<void>
}

/** Runs a function in a transaction. */
export type RunTransaction = <Result>(
  id: string,
  run: (tx: Transaction) => Promise<Result>,
  options?: TransactionOptions
) => Promise<Result>

export const programTransactions =
  (cluster: { transactions(): Promise<Transactions> }): RunTransaction =>
  async (id, run, options = {}) => {
    const limits = checked(id, run, options)
    const transactions = await cluster.transactions()
    const consumed = new TransactionOffsets()
    return transactions.run(id, open => run(new ProgramTransaction(open, consumed)), limits, consumed)
  }

/** @throws InvalidRequestError */
function checked(id: unknown, run: unknown, options: TransactionOptions) {
  if (typeof id !== 'string' || id === '' || Buffer.byteLength(id) > MAX_ID_BYTES)
    throw new InvalidRequestError('transaction: the first argument is its transactional id, a text of 1 to 32000 bytes')
  if (typeof run !== 'function') throw new InvalidRequestError('transaction: the second argument is an async function')
  if (typeof options !== 'object' || options === null)
    throw new InvalidRequestError('transaction: the third argument is an object of options, such as {timeoutMs: 5_000}')
  checkOptionNames('transaction', options, ['timeoutMs', 'signal'], new Map([['deadlineMs', 'timeoutMs']]))
  const { timeoutMs = DEFAULT_TIMEOUT_MS, signal } = options
  if (!(Number.isSafeInteger(timeoutMs) && timeoutMs >= 1 && timeoutMs <= MAX_TIMER_MS / 2))
    throw new InvalidRequestError('transaction: timeoutMs has to be a whole number of milliseconds, at least 1')
  checkSignal('transaction', signal)
  return { timeoutMs, signal }
}

class ProgramTransaction implements Transaction {
  readonly id: string
  readonly #open: OpenTransaction
  readonly #consumed: ConsumedInTransaction

  constructor(open: OpenTransaction, consumed: ConsumedInTransaction) {
    this.id = open.id
    this.#open = open
    this.#consumed = consumed
  }

  get signal(): AbortSignal {
    return this.#open.signal
  }

  produce(records: OneOrMany<NewRecord>, options: TransactionalProduceOptions = {}) {
    const delivered = this.#produce(records, options)
    // A program that does not await it learns of the failure when the transaction aborts.
    delivered.catch(() => undefined)
    return delivered
  }

  async #produce(records: OneOrMany<NewRecord>, options: TransactionalProduceOptions): Promise<readonly Delivered[]> {
    const outcomes = await this.#open.produce(() => {
      const taken = recordsIn('tx.produce', records)
      checkOptionNames('tx.produce', options, ['partitioner'])
      return toRecords(taken)
    }, options?.partitioner ?? 'murmur2')
    return allDelivered(outcomes)
  }

  ack(consumed: Message | Batch): void {
    this.#open.checkOpen()
    try {
      this.#consumed.add(consumed)
      this.#open.checkPositions()
    } catch (error) {
      if (error instanceof TransactionError) this.#open.fail(error)
      else this.#open.mistaken(error)
      throw error
    }
  }

  commitOffsets(group: string, offsets: readonly CommittedOffset[]): Promise<void> {
    const added = this.#commitOffsets(group, offsets)
    // A program that does not await it learns of the mistake when the transaction aborts.
    added.catch(() => undefined)
    return added
  }

  async #commitOffsets(group: string, offsets: readonly CommittedOffset[]): Promise<void> {
    this.#open.checkOpen()
    try {
      if (typeof group !== 'string' || group === '' || !Array.isArray(offsets))
        throw new InvalidRequestError('tx.commitOffsets takes the name of a group, and a list of offsets')
      requireClientsGroup(group)
      this.#open.commitOffsets(group, Array.from(offsets, toOffset))
    } catch (error) {
      this.#open.mistaken(error)
      throw error
    }
  }
}

const OFFSET_FIELDS = ['topic', 'partition', 'offset', 'metadata']

function toOffset(given: CommittedOffset): TransactionOffset {
  const { topic, partition, offset, metadata = '' } = Object(given) as CommittedOffset
  checkOptionNames('tx.commitOffsets', Object(given), OFFSET_FIELDS, undefined, 'an offset')
  const isGood = typeof topic === 'string' && isCount(partition) && isCount(offset) && typeof metadata === 'string'
  if (!isGood) throw new InvalidRequestError('tx.commitOffsets: an offset is {topic, partition, offset, metadata?}')
  const problem = problemOfPartition({ topic, partition })
  if (problem !== undefined) throw new InvalidRequestError(`tx.commitOffsets: ${problem.message}`)
  return { topic, partition, offset, leaderEpoch: -1, metadata }
}
