import { AsyncLocalStorage } from 'node:async_hooks'
import { onAbort } from '../../core/ending.js'
import { InvalidRequestError } from '../../core/errors.js'
import { inTime } from '../../core/in-time.js'
import { Line } from '../../core/line.js'
import { type ClusterChange, MAX_TIMER_MS } from '../../core/model.js'
import { TransactionError, type TransactionErrorCode } from '../../core/transaction-error.js'
import type { DeliveryDeps } from '../memory/delivery.js'
import { MemoryDelivery } from '../memory/memory-delivery.js'
import { type ConsumedPositions, OpenTransaction } from './open-transaction.js'
import { type TransactionalDeps, TransactionalProducer } from './transactional-producer.js'

/** The brokers wait so much longer than the process, so that the process is the first to give up. */
const BROKER_MARGIN_MS = 10_000
/** How long the end of a transaction that has failed is asked for before its caller stops waiting, and in the background. */
const ABORT_MS = 10_000
/** The delivery of an id that was not used for this time, or a little longer, is closed when another transaction begins. */
const REST_AFTER_MS = 60_000
/** Interval of the search for ids that rest: searching thousands of ids for each transaction would cost more than it. */
const REST_EVERY_MS = 1_000

export interface TransactionLimits {
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

/** How many ids that rest are kept, and as many that were fenced. Of an id that is forgotten, the next transaction does not notice that another process had it meanwhile. */
const MAX_RESTING = 10_000

/** `clusterIdOf`: the id of the connected cluster, as far as it is known. */
export function openTransactions(
  { receipts: _, losses: __, ...deps }: DeliveryDeps,
  clusterIdOf: () => string | undefined
): Transactions {
  // A transaction has a time limit of its own. What is buffered now is told by ordinary delivery.
  const settings = { ...deps.settings, timeoutMs: MAX_TIMER_MS }
  const { metrics } = deps
  const counting = {
    count: metrics.count.bind(metrics),
    time: metrics.time.bind(metrics)
  }
  return new Transactions({
    router: deps.router,
    clock: deps.clock,
    createDelivery(sending) {
      const delivery = new MemoryDelivery({ ...deps, settings, metrics: counting }, sending)
      const now = clusterIdOf()
      if (now !== undefined) delivery.clusterChanged({ before: undefined, now })
      return delivery
    }
  })
}

/** The calls of one transactional id. */
interface TurnsOfId {
  readonly producer: TransactionalProducer
  /** Resolves when the last call has left. */
  last: Promise<unknown>
  waiting: number
  usedAt: number
}

/** The function of a transaction. What it has begun may go on for longer. */
interface Running {
  readonly id: string
  isOver: boolean
}

/** Transactions of any number of transactional ids. Those of one id take turns; those of different ids run side by side. */
export class Transactions {
  readonly #deps: TransactionalDeps
  readonly #maxResting: number
  /** Ids in the order of their last use. */
  readonly #turns = new Map<string, TurnsOfId>()
  /** Ids that were fenced and rest, in the order of their last use. */
  readonly #fenced = new Set<string>()
  /** The functions in which the present code was begun, from the outer to the inner. */
  readonly #inside = new AsyncLocalStorage<readonly Running[]>()
  /** The calls that have not ended. */
  readonly #calls = new Line<CallTurn>()
  #isClosing = false
  #restedAt = Number.NEGATIVE_INFINITY

  /** @param maxResting how many ids that rest are kept */
  constructor(deps: TransactionalDeps, maxResting = MAX_RESTING) {
    this.#deps = deps
    this.#maxResting = maxResting
  }

  /**
   * Calls `work`, then commits. What it throws aborts, and comes out unchanged.
   *
   * @throws TransactionError when the transaction is not known to have committed
   * @throws InvalidRequestError for a call inside a function of the same id, or a time limit beyond that of the brokers
   */
  async run<Result>(
    id: string,
    work: (transaction: OpenTransaction) => Promise<Result>,
    { timeoutMs, signal }: TransactionLimits,
    consumed: ConsumedPositions
  ): Promise<Result> {
    const outer = (this.#inside.getStore() ?? []).filter(({ isOver }) => !isOver)
    if (outer.some(running => running.id === id))
      throw new InvalidRequestError(`the transaction ${id} is open: its function would wait for itself`)
    const { clock } = this.#deps
    const until = clock() + timeoutMs
    const turns = this.#turnsOf(id)
    const { producer } = turns
    const turn = new CallTurn(turns, clock)
    const timer = setTimeout(() => turn.stop('timedOut', `has taken more than ${timeoutMs} ms`), timeoutMs)
    const ignore = onAbort(signal, () => turn.stop('aborted', 'was aborted by its signal', signal?.reason))
    const place = this.#calls.add(turn)
    if (this.#isClosing) turn.stop(...CLOSED)
    const running = { id, isOver: false }
    try {
      // Most calls need not wait: each wait is several promises.
      if (turn.begins !== undefined) await turn.unlessStopped(turn.begins)
      turn.check()
      const brokerTimeoutMs = timeoutMs + BROKER_MARGIN_MS
      if (!producer.isReady(brokerTimeoutMs))
        await turn.unlessStopped(turn.holds(producer.ready(brokerTimeoutMs, until)))
      const transaction = new OpenTransaction(producer, consumed, until, clock)
      const inside = async (): Promise<Result> => {
        try {
          return await work(transaction)
        } finally {
          running.isOver = true
        }
      }
      return await this.#carryOut(transaction, () => this.#inside.run([...outer, running], inside), until, turn)
    } finally {
      clearTimeout(timer)
      running.isOver = true
      ignore()
      place.leave()
      turn.ends()
    }
  }

  async #carryOut<Result>(
    transaction: OpenTransaction,
    work: () => Promise<Result>,
    until: number,
    turn: CallTurn
  ): Promise<Result> {
    turn.transaction = transaction
    try {
      const result = await turn.unlessStopped(work())
      await turn.holds(transaction.commit())
      return result
    } catch (error) {
      const { clock } = this.#deps
      const aborting = turn.holds(transaction.abort(Math.max(until, clock() + ABORT_MS)))
      if (transaction.isOver) throw error
      const why = await inTime(aborting, turn.isStopped ? 0 : Math.min(ABORT_MS, until - clock()), () => undefined)
      throw error instanceof TransactionError && why?.code === 'fenced' ? why : error
    }
  }

  #turnsOf(id: string): TurnsOfId {
    this.#rest()
    const turns = this.#turns.get(id) ?? {
      producer: new TransactionalProducer(id, this.#deps, this.#fenced.has(id)),
      last: Promise.resolve(),
      waiting: 0,
      usedAt: 0
    }
    this.#turns.delete(id)
    this.#turns.set(id, turns)
    return turns
  }

  /** Forgets ids that have rested for the longest time. Of one that was fenced the name stays: it is refused for good. */
  #rest(): void {
    const nowMs = this.#deps.clock()
    if (nowMs - this.#restedAt < REST_EVERY_MS) return
    this.#restedAt = nowMs
    const since = nowMs - REST_AFTER_MS
    const resting: string[] = []
    for (const [id, { producer, waiting, usedAt }] of this.#turns) {
      if (waiting > 0 || usedAt >= since) continue
      void producer.rest()
      if (!producer.isFenced) resting.push(id)
      else {
        this.#turns.delete(id)
        this.#fenced.delete(id)
        this.#fenced.add(id)
      }
    }
    for (const id of resting.slice(0, Math.max(0, resting.length - this.#maxResting))) this.#turns.delete(id)
    for (const id of this.#fenced) {
      if (this.#fenced.size <= this.#maxResting) break
      this.#fenced.delete(id)
    }
  }

  clusterChanged(change: ClusterChange): void {
    if (change.before !== undefined) this.#fenced.clear()
    for (const { producer } of this.#turns.values()) producer.clusterChanged(change)
  }

  /** Aborts transactions whose functions have not resolved, and waits for the ends of all of them. */
  async close(timeoutMs: number): Promise<void> {
    this.#isClosing = true
    for (const turn of this.#calls.all) turn.stop(...CLOSED)
    const turns = [...this.#turns.values()]
    await inTime(Promise.all(turns.map(({ last }) => last)), timeoutMs, () => undefined)
    await Promise.all(turns.map(({ producer }) => producer.rest()))
  }
}

const CLOSED = ['shuttingDown', 'was aborted, because the castellan is closed'] as const

/** Place of a call in the line of its transactional id. It may be stopped before its function has ended. */
class CallTurn {
  /** Resolves when the calls before it have left; `undefined`: there is none. */
  readonly begins: Promise<unknown> | undefined
  /** Fails when the call is stopped. */
  transaction: OpenTransaction | undefined
  readonly #turns: TurnsOfId
  readonly #clock: () => number
  #held = 0
  #hasEnded = false
  #stopped: TransactionError | undefined
  #onStopped: ((error: TransactionError) => void) | undefined
  #leave = (): void => undefined

  constructor(turns: TurnsOfId, clock: () => number) {
    this.#turns = turns
    this.#clock = clock
    const left = new Promise<void>(resolve => (this.#leave = resolve))
    this.begins = turns.waiting++ === 0 ? undefined : turns.last
    turns.last = this.begins?.then(() => left) ?? left
  }

  get isStopped(): boolean {
    return this.#stopped !== undefined
  }

  /** Stops the call: by its time limit, its signal, or the end of the castellan. The first reason counts. */
  stop(code: TransactionErrorCode, why: string, cause?: unknown): void {
    if (this.#stopped !== undefined) return
    this.#stopped = new TransactionError(code, `the transaction ${this.#turns.producer.id} ${why}`, 'no', cause)
    this.transaction?.fail(this.#stopped)
    this.#onStopped?.(this.#stopped)
  }

  /** @throws TransactionError when it is stopped */
  check(): void {
    if (this.#stopped !== undefined) throw this.#stopped
  }

  /** Resolves like `work`, or rejects when the call is stopped before. Called for one after another. */
  unlessStopped<Value>(work: Promise<Value>): Promise<Value> {
    return new Promise((resolve, reject) => {
      this.#onStopped = reject
      if (this.#stopped !== undefined) reject(this.#stopped)
      work.then(resolve, reject)
    })
  }

  /** The next call does not begin before this has ended. */
  holds<Value>(work: Promise<Value>): Promise<Value> {
    const over = (): void => {
      this.#held--
      this.#leaves()
    }
    this.#held++
    work.then(over, over)
    return work
  }

  ends(): void {
    this.#hasEnded = true
    this.#leaves()
  }

  #leaves(): void {
    if (!this.#hasEnded || this.#held > 0) return
    this.#turns.waiting--
    this.#turns.usedAt = this.#clock()
    this.#leave()
  }
}
