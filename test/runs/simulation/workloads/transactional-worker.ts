import type { Transaction } from '../../../../src/client/program-transactions.js'
import type { Batch } from '../../../../src/consumer/group/given-messages.js'
import { CastellanError } from '../../../../src/core/errors.js'
import { TransactionError } from '../../../../src/core/transaction-error.js'
import type { Workload } from '../workload.js'
import { percent } from '../world/randomness.js'
import { Client } from './client.js'
import type { ServiceDeps } from './producer.js'
import { type ResultReader, resultOf } from './result-reader.js'

export interface TransactionalWorkerOptions {
  readonly name: string
  readonly groupId: string
  readonly inputs: string
  readonly results: string
  readonly ackTimeoutMs: number
  /** The transactional ids of all workers, and which of them is this one's. */
  readonly ids: string[]
  readonly own: number
  /** How often this worker takes over the id of any of them. */
  readonly takesOverPercent: number
}

const TIMEOUTS_MS = [3_000, 8_000, 15_000]
const AGAIN_AFTER_FAILURE_MS = 200
const MAX_BATCH = 6
const THROWS_PERCENT = 10
const BREAKS_PERCENT = 10
const SLOW_PERCENT = 5

const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

/** Writes each input as a result, in the transaction that acknowledges it. */
export class TransactionalWorker extends Client<TransactionalWorkerOptions, ServiceDeps> implements Workload {
  readonly counts: Record<string, number> = { committed: 0, thrown: 0, notAssigned: 0, fenced: 0, unknown: 0 }
  readonly #reader: ResultReader
  #end = new AbortController()
  #isWorking = false
  #fenced = 0

  constructor(options: TransactionalWorkerOptions, deps: ServiceDeps, reader: ResultReader) {
    super(options, deps)
    this.#reader = reader
  }

  start(): void {
    this.#isWorking = true
    this.#end = new AbortController()
    this.#work().then(
      () => (this.#isWorking = false),
      (error: Error) => this.violated('crash', `${error.stack}`)
    )
  }

  /** Goes on until the result of each input is read, also of those that are written last. */
  get isFinished(): boolean {
    const { isComplete } = this.#reader
    if (this.#isWorking && isComplete) this.deps.onHost(() => this.#end.abort())
    else if (!(this.#isWorking || isComplete)) this.deps.onHost(() => this.start())
    return !this.#isWorking && isComplete
  }

  async #work(): Promise<void> {
    const { random, trace, service } = this.deps
    while (!this.#end.signal.aborted) {
      const consumer = service.castellan.consume({
        group: this.options.groupId,
        topics: this.options.inputs,
        start: 'earliest',
        signal: this.#end.signal
      })
      try {
        for await (const batch of consumer.batches({ maxMessages: random.between(1, MAX_BATCH) })) {
          await this.#handle(batch)
          if (percent(random, BREAKS_PERCENT)) break
        }
      } catch (error) {
        if (!(error instanceof CastellanError)) throw error
        trace.say(this.name, `${error.code}: ${error.message}`)
        await pause(AGAIN_AFTER_FAILURE_MS)
      }
    }
  }

  async #handle(batch: Batch): Promise<void> {
    const attempt = this.#reader.began()
    // Some inputs have no result: they are acknowledged by themselves.
    const messages = [...batch].filter(message => {
      const hasResult = resultOf(message) !== undefined
      if (!hasResult) message.ack()
      return hasResult
    })
    const { random, service, trace } = this.deps
    const draw = random.next() * 100
    const run = async (tx: Transaction): Promise<void> => {
      const written = tx.produce(
        messages.map(message => ({ topic: this.options.results, value: `${resultOf(message)} ${attempt}` }))
      )
      for (const message of messages) tx.ack(message)
      await written
      if (draw < SLOW_PERCENT) await pause(2 * this.options.ackTimeoutMs)
      if (draw > 100 - THROWS_PERCENT) throw new RangeError('no')
    }
    const { ids, own, takesOverPercent } = this.options
    const takesOver = takesOverPercent > 0 && percent(random, takesOverPercent)
    const id = takesOver ? random.pick(ids) : ids[own]!
    try {
      await service.castellan.transaction(id, run, { timeoutMs: random.pick(TIMEOUTS_MS) })
      this.#count('committed')
      this.#reader.ended(attempt, 'committed')
    } catch (error) {
      trace.say(this.name, String(error))
      const { code, committed } = error instanceof TransactionError ? error : { code: 'thrown', committed: 'no' }
      this.#reader.ended(attempt, committed === 'no' ? 'aborted' : 'unknown')
      this.#count(committed === 'no' ? code : 'unknown')
      if (code === 'fenced' && id === ids[own]) ids[own] = `${this.name} ${++this.#fenced}`
      if (!(error instanceof TransactionError || error instanceof RangeError || error instanceof CastellanError))
        this.violated('odd error', `${(error as Error).stack}`)
      await pause(AGAIN_AFTER_FAILURE_MS)
    }
  }

  #count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1
  }
}
