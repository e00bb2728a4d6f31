import { InvalidRequestError } from '../../core/errors.js'
import type { ClusterChange } from '../../core/model.js'
import { TransactionError } from '../../core/transaction-error.js'
import { codesOf, errorCodes } from '../../kafka/error-codes.js'
import type { NumberedProducer as Identified, SealedBatch } from '../../router/messages/operations.js'
import { failures } from '../memory/failures.js'
import type { MemoryDelivery, TransactionalSending } from '../memory/memory-delivery.js'
import { type Numbering, newNumbering } from '../memory/numbering.js'
import { type CallsDeps, causeOf, type FailedCall, TransactionalCalls } from './transactional-calls.js'

export interface TransactionalDeps extends CallsDeps {
  /** Delivery of the records of one transactional id. */
  createDelivery(sending: TransactionalSending): MemoryDelivery
}

/** The transaction that is open now, as its producer sees it. */
interface Sending {
  /** Resolves with false when the batches may not be sent. */
  beforeSending(batches: Iterable<SealedBatch>): Promise<boolean>
  /** A batch would need another epoch, which only the coordinator gives. */
  needsEpoch(): void
  clusterChanged(): void
}

/** Another producer has the transactional id, or the coordinator has ended the transaction because it took too long. */
const fencing = codesOf('INVALID_PRODUCER_EPOCH', 'PRODUCER_FENCED')
/**
 * No transaction is open. Coordinators also answer this for an id that was not used for a week; InitProducerId tells
 * whether the id has another owner.
 */
const nothingOpen = codesOf('INVALID_TXN_STATE', 'INVALID_PRODUCER_ID_MAPPING')
/** The next transaction of the id begins again, so these do not come again. */
const passesAnew = codesOf('INVALID_TXN_STATE', 'INVALID_PRODUCER_ID_MAPPING', 'TRANSACTION_ABORTABLE')

/**
 * `new`: the coordinator was not asked yet. `doubtful`: a call of the last transaction may still arrive, so what is open is aborted,
 * and another epoch fences the rest. `renewing`: nothing is open, and another epoch is needed. `fenced`: for good.
 */
type State = 'new' | 'ready' | 'doubtful' | 'renewing' | 'fenced'

/**
 * The producer of one transactional id: its producer id and epoch, and the delivery of its records.
 *
 *   new ─ InitProducerId ─▶ ready ─ a call was repeated ─▶ doubtful ─ EndTxn (abort) ─▶ renewing ─ InitProducerId ─▶ ready
 *
 * A late EndTxn would end the next transaction of its epoch: that is why the next one begins under another epoch.
 */
export class TransactionalProducer {
  readonly id: string
  readonly calls: TransactionalCalls
  readonly #deps: TransactionalDeps
  #delivery: MemoryDelivery | undefined
  #identified: Identified | undefined
  /** The limit that the coordinator knows. */
  #toldTimeoutMs = 0
  #state: State = 'new'
  /** Attempts without an answer, repeated batches and failed records that the present epoch has seen or fences. */
  #doubts = 0
  /** Partitions whose sequences were forgotten: under the epoch of then, their first ones would pass for duplicates. */
  #forgotten = 0
  #forgottenBefore = 0
  #sending: Sending | undefined

  /** @param isFenced it was fenced before */
  constructor(id: string, deps: TransactionalDeps, isFenced = false) {
    this.id = id
    this.#deps = deps
    if (isFenced) this.#state = 'fenced'
    this.calls = new TransactionalCalls(deps, id)
  }

  get delivery(): MemoryDelivery {
    this.#delivery ??= this.#deps.createDelivery({
      transactionalId: this.id,
      identity: {
        isFixed: true,
        numbering: () => this.#firstNumbering(),
        usedUp: () => this.#needsEpoch(),
        retired: () => {
          this.#forgotten++
        },
        clusterChanged: () => undefined,
        close: () => undefined
      },
      beforeSending: batches => this.#sending?.beforeSending(batches.values()) ?? Promise.resolve(false)
    })
    return this.#delivery
  }

  get isFenced(): boolean {
    return this.#state === 'fenced'
  }

  #firstNumbering(): Numbering | undefined {
    if (this.#forgotten > this.#forgottenBefore) this.#needsEpoch()
    const identified = this.#state === 'ready' ? this.#identified : undefined
    return identified && newNumbering(identified.producerId, identified.producerEpoch)
  }

  /** Producer id and epoch, known after {@link ready}. */
  get identified(): Identified {
    return this.#identified!
  }

  /** Nothing has to be asked before the next transaction. */
  isReady(transactionTimeoutMs: number): boolean {
    return this.#state === 'ready' && this.#doubts === this.#doubtsNow && transactionTimeoutMs <= this.#toldTimeoutMs
  }

  /**
   * Makes it ready for the next transaction.
   *
   * @throws TransactionError `fenced`, `timedOut`, or why the coordinator refuses the id
   * @throws InvalidRequestError when the brokers allow no such limit
   */
  async ready(transactionTimeoutMs: number, until: number): Promise<void> {
    this.#checkOwner()
    if (this.isReady(transactionTimeoutMs)) return
    if (this.#state === 'ready' && this.#doubts !== this.#doubtsNow) this.#state = 'doubtful'
    if (this.#state === 'doubtful') await this.abort(until)
    if (this.#state === 'ready') this.#state = 'renewing'
    const timeoutMs = Math.max(transactionTimeoutMs, this.#toldTimeoutMs)
    const ask = { type: 'initTransactionalId', transactionTimeoutMs: timeoutMs, current: this.#identified } as const
    const result = await this.calls.ask(ask, until)
    if (result.type !== 'success') throw this.#initError(result, transactionTimeoutMs)
    const { producerId, producerEpoch } = result
    this.#identified = { producerId, producerEpoch }
    this.#toldTimeoutMs = timeoutMs
    this.#state = 'ready'
    this.#delivery?.renumber()
    this.#doubts = this.#doubtsNow
    this.#forgottenBefore = this.#forgotten
  }

  #initError(result: FailedCall, timeoutMs: number): Error {
    if (result.errorCode !== errorCodes.INVALID_TRANSACTION_TIMEOUT) return this.errorOf(result)
    const limit = 'transaction.max.timeout.ms of the brokers'
    return new InvalidRequestError(`timeoutMs of a transaction and 10 s more (${timeoutMs} ms) are more than ${limit}`)
  }

  /** Begins a transaction: until {@link settle}, all records belong to it. */
  begin(sending: Sending): void {
    this.#sending = sending
  }

  /**
   * The transaction has ended, or is given up. No more of its records are sent.
   *
   * @param isCertain false: its end was not answered
   */
  settle(isCertain: boolean): void {
    this.#sending = undefined
    if (this.#state === 'ready' && !(isCertain && this.#doubts === this.#doubtsNow)) this.#state = 'doubtful'
  }

  /**
   * Aborts what is open, if anything is. The next transaction then begins under another epoch, unless nothing is in doubt.
   *
   * @throws TransactionError `fenced` or `timedOut`
   */
  async abort(until: number): Promise<void> {
    this.#checkOwner()
    if (this.#identified === undefined) return
    const result = await this.calls.ask({ type: 'endTxn', producer: this.#identified, isCommit: false }, until)
    const isOver = result.type === 'failed' && nothingOpen.has(result.errorCode ?? errorCodes.NONE)
    if (result.type !== 'success' && !isOver) throw this.errorOf(result)
    if (this.#state === 'doubtful' || this.#doubts !== this.#doubtsNow) this.#state = 'renewing'
  }

  /** Why the coordinator refuses a call. An id that was fenced stays so. */
  errorOf(result: FailedCall, committed: 'no' | 'unknown' = 'no'): TransactionError {
    if (fencing.has(result.errorCode ?? errorCodes.NONE)) {
      this.#state = 'fenced'
      return fencedError(this.id, committed)
    }
    if (result.errorCode === errorCodes.INVALID_PRODUCER_ID_MAPPING && this.#state === 'ready') this.#state = 'doubtful'
    if (result.type === 'timedOut') {
      const why = result.reason === undefined ? '' : `: ${result.reason}`
      return new TransactionError('timedOut', `the transaction ${this.id} was not answered in time${why}`, committed)
    }
    const cause = causeOf(result)
    const code = cause.code === 'shuttingDown' ? cause.code : 'aborted'
    const mayPass = cause.retriable || passesAnew.has(result.errorCode ?? errorCodes.NONE)
    return new TransactionError(
      code,
      `the transaction ${this.id} was refused: ${cause.message}`,
      committed,
      cause,
      mayPass
    )
  }

  #checkOwner(): void {
    if (this.#state === 'fenced') throw fencedError(this.id, 'no')
  }

  /** Fails the records that are held. Those on their way may be answered for a while, and may arrive even later. */
  async giveUp(why: TransactionError, graceMs: number): Promise<void> {
    const isOnItsWay = await this.#delivery?.giveUp(persisted => failures.ofTransaction(why, persisted), graceMs)
    if (isOnItsWay === true && this.#state === 'ready') this.#state = 'doubtful'
  }

  get #doubtsNow(): number {
    return this.calls.unanswered + this.#forgotten + (this.#delivery?.troubles ?? 0)
  }

  #needsEpoch(): void {
    if (this.#state === 'ready') this.#state = 'doubtful'
    this.#sending?.needsEpoch()
  }

  /** Opens the id again after another cluster is connected. */
  clusterChanged(change: ClusterChange): void {
    this.#delivery?.clusterChanged(change)
    if (change.before === undefined) return
    this.#identified = undefined
    this.#toldTimeoutMs = 0
    this.#state = 'new'
    this.#sending?.clusterChanged()
  }

  /** Frees what only a transaction needs. The next one begins under another epoch, because sequences are forgotten. */
  async rest(timeoutMs = 0): Promise<void> {
    if (this.#state === 'ready') this.#state = 'renewing'
    const delivery = this.#delivery
    this.#delivery = undefined
    await delivery?.close(timeoutMs)
  }
}

const fencedError = (id: string, committed: 'no' | 'unknown'): TransactionError =>
  new TransactionError(
    'fenced',
    `the transactional id ${id} has another owner, or this process stood still for longer than the brokers wait`,
    committed
  )
