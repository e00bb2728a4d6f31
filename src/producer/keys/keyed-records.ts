import { MAX_TIMER_MS, type ProduceRecord, type RecordFailure, type RecordOutcome } from '../../core/model.js'
import type { ProduceOptions } from '../memory/delivery.js'
import { failures } from '../memory/failures.js'
import type { PendingProduce, Refusals } from '../memory/pending-produce.js'
import type { KeyName } from './key-frames.js'

/** Whether nothing will change the outcome any more. */
export const isFinal = (outcome: RecordOutcome | undefined): outcome is RecordOutcome =>
  outcome !== undefined && (outcome.type === 'delivered' || outcome.persisted === 'no')

/**
 * The records of one key, as far as this process has accepted them. They are known by their index in the request: a request
 * that comes again has the same records in the same order.
 */
export class KeyedRecords {
  readonly key: KeyName
  /** Their sequences in the durable log. */
  readonly sequences: number[] = []
  /** `false`: not accepted. */
  readonly #outcomes: (RecordOutcome | 'open' | false)[] = []
  readonly #waiting = new Set<() => void>()
  /** The request waits for the outcomes, so its answer has them. */
  isAwaited = false
  /** At least one record is in the durable log, or may be. */
  isDurable = false
  /** No answer needs the records any more. */
  isEnded = false
  /** The request was answered without the outcomes, or its process has ended: outcomes are kept on disk. */
  isOpen = false

  constructor(key: KeyName) {
    this.key = key
  }

  get isEmpty(): boolean {
    return !this.#outcomes.some(outcome => outcome !== undefined && outcome !== false)
  }

  has(index: number): boolean {
    const outcome = this.#outcomes[index]
    return outcome !== undefined && outcome !== false
  }

  /** The records that were accepted, in their order. */
  *indexes(): Generator<number> {
    for (let index = 0; index < this.#outcomes.length; index++) if (this.has(index)) yield index
  }

  accepted(index: number): void {
    if (!this.has(index)) this.#outcomes[index] = 'open'
  }

  /** @returns the final outcome */
  outcomeOf(index: number): RecordOutcome | undefined {
    const outcome = this.#outcomes[index]
    return outcome === undefined || outcome === false || outcome === 'open' ? undefined : outcome
  }

  /** The first final outcome counts. An outcome that is not certain means that the record was accepted. */
  settle(index: number, outcome: RecordOutcome): void {
    if (this.outcomeOf(index) !== undefined) return
    if (!isFinal(outcome)) {
      this.accepted(index)
      return
    }
    this.#outcomes[index] = outcome
    for (const look of [...this.#waiting]) look()
  }

  /** Resolves when these records have final outcomes, or after this time. */
  whenFinal(from: number, to: number, timeoutMs: number): Promise<void> {
    const isKnown = (): boolean => {
      for (let index = from; index < to; index++) if (this.outcomeOf(index) === undefined) return false
      return true
    }
    if (isKnown() || timeoutMs <= 0) return Promise.resolve()
    return new Promise(resolve => {
      const end = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(look)
        resolve()
      }
      const look = (): void => {
        if (isKnown()) end()
      }
      const timer = timeoutMs <= MAX_TIMER_MS ? setTimeout(end, timeoutMs) : undefined
      this.#waiting.add(look)
    })
  }
}

/** Records of a request that was sent before: their outcomes are those of the records that were accepted then. */
export class AttachedProduce implements PendingProduce {
  readonly #records: KeyedRecords
  readonly #from: number
  readonly #count: number
  readonly #options: ProduceOptions
  /** The records that had not been accepted then. */
  readonly #rest: PendingProduce | undefined

  constructor(
    records: KeyedRecords,
    from: number,
    sent: readonly ProduceRecord[],
    options: ProduceOptions,
    rest: PendingProduce | undefined
  ) {
    this.#records = records
    this.#from = from
    this.#count = sent.length
    this.#options = options
    this.#rest = rest
  }

  get refused(): Refusals {
    const all = Array.from({ length: this.#count }, (_, at) => failureIn(this.#records.outcomeOf(this.#from + at)))
    return all.some(failure => failure !== undefined) ? all : undefined
  }

  get isWaiting(): boolean {
    return this.#rest !== undefined
  }

  async accepted(): Promise<Refusals> {
    await this.#rest?.accepted()
    // The outcomes of refused records are noted in the same tick.
    await Promise.resolve()
    return this.refused
  }

  async outcomes(): Promise<readonly RecordOutcome[]> {
    const { deadlineMs, durability } = this.#options
    const [from, to] = [this.#from, this.#from + this.#count]
    await this.#records.whenFinal(from, to, deadlineMs)
    const why = 'an earlier request with this key has sent it, and kafka has not acknowledged it yet'
    const open = durability === 'disk' ? failures.stillPending(why) : failures.timedOut(why, 'unknown')
    return Array.from({ length: this.#count }, (_, at) => this.#records.outcomeOf(from + at) ?? open)
  }
}

const failureIn = (outcome: RecordOutcome | undefined): RecordFailure | undefined =>
  outcome?.type === 'failed' ? outcome : undefined
