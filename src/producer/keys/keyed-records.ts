import type { RecordFailure, RecordOutcome } from '../../core/model.js'
import { Waiters } from '../../core/waiters.js'
import type { ProduceOptions } from '../memory/delivery.js'
import { failures } from '../memory/failures.js'
import type { PendingProduce, RefusedRecords } from '../memory/pending-produce.js'
import type { KeptAnswer, KeyName } from './key-frames.js'
import { type KeySpace, RECORD_BYTES } from './key-space.js'

/** Whether nothing will change the outcome any more. */
const isFinal = (outcome: RecordOutcome): boolean => outcome.type === 'delivered' || outcome.persisted === 'no'

/** The empty list that requests without outcomes share; never written to. */
const NONE: (RecordOutcome | 'open' | undefined)[] = []

/**
 * The durable log has refused the record and may have it after a restart: only a request that comes again brings it into the
 * log while this process lives. The segment that is opened then says where the former one ends, so the record is written once.
 */
const isDoubtful = (outcome: RecordOutcome | 'open' | undefined): boolean =>
  outcome !== 'open' &&
  outcome?.type === 'failed' &&
  outcome.code === 'logUnavailable' &&
  outcome.persisted === 'unknown'

const isRefused = (outcome: RecordOutcome | 'open' | undefined): boolean =>
  outcome !== 'open' && outcome?.type === 'failed' && outcome.persisted === 'no'

/** The receipt of a request whose records are all on disk. */
export interface GivenReceipt {
  readonly id: string
  /** Records of the request. */
  readonly records: number
}

/** Consecutive entries of the durable log that are the records of one call. */
export interface StoredRecords {
  readonly firstSequence: number
  /** The place of each entry among the records of the call. */
  readonly indexes: readonly number[]
  /** Records of the call. */
  readonly count: number
}

/**
 *   busy       a request with the key is under way
 *   open       the outcomes of its records were not known for the answer; a request that comes again gets them
 *   answered   its answer is being written
 */
type StateOfKey = 'busy' | 'open' | 'answered'

/**
 * One key, and the records that were accepted for it. They are known by their index in the request: a request that comes again
 * has the same records in the same order.
 */
export class KeyedRecords {
  readonly key: KeyName
  state: StateOfKey = 'busy'
  answer: KeptAnswer | undefined
  #waiters: Waiters | undefined
  /** Sequences of the records in the durable log, by index. */
  #sequences: number[] | undefined
  /** `undefined`: not accepted. */
  #outcomes: (RecordOutcome | 'open' | undefined)[] = NONE
  /** The request waits for the outcomes, so its answer has them. */
  isAwaited = false
  /** At least one record is, or may be, in the durable log. */
  isDurable = false
  /** The receipt of the request that is under way; `undefined`: it has none yet. */
  #receipt: GivenReceipt | undefined
  /** No answer needs the records any more. */
  isEnded = false
  /** Records that were accepted or refused. */
  count = 0
  /** Memory that is counted for it. */
  usedBytes = 0
  readonly #space: KeySpace | undefined

  /** @param space where the memory of the records is counted. Absent: nowhere */
  constructor(key: KeyName, space?: KeySpace) {
    this.key = key
    this.#space = space
  }

  /** Counts memory that it uses more, or no longer. */
  use(bytes: number): void {
    this.usedBytes += bytes
    this.#space?.use(this.key.hash, bytes)
  }

  #note(index: number, outcome: RecordOutcome | 'open'): void {
    const isNew = this.#outcomes[index] === undefined
    // A list that is created with its first element has space for one; most requests have one record.
    if (this.#outcomes === NONE) this.#outcomes = index === 0 ? [outcome] : []
    this.#outcomes[index] = outcome
    if (!isNew) return
    this.count++
    if (!this.isEnded) this.use(RECORD_BYTES)
  }

  /** Whether the request has to send the record. */
  isMissing(index: number): boolean {
    const outcome = this.#outcomes[index]
    return outcome === undefined || isDoubtful(outcome)
  }

  /** Whether the record was accepted, and Kafka has not refused it for good. */
  mayBeIn(index: number): boolean {
    const outcome = this.#outcomes[index]
    return outcome !== undefined && !isRefused(outcome)
  }

  /** Whether each record was refused for good. If one is durable, some of them are dead letters. */
  get areAllRefused(): boolean {
    return this.count > 0 && this.#outcomes.filter(isRefused).length === this.count
  }

  get sequences(): readonly number[] {
    return this.#sequences?.filter(sequence => sequence !== undefined) ?? []
  }

  /** The consecutive entries of these records in the durable log of this process; `undefined`: they are not stored in one run. */
  storedAt(indexes: readonly number[]): StoredRecords | undefined {
    const found: number[] = []
    let firstSequence: number | undefined
    for (const [at, index] of indexes.entries()) {
      const sequence = this.#sequences?.[index]
      if (sequence === undefined) continue
      firstSequence ??= sequence
      if (sequence !== firstSequence + found.length) return undefined
      found.push(at)
    }
    return firstSequence === undefined ? undefined : { firstSequence, indexes: found, count: indexes.length }
  }

  /**
   * The durable log has the record. If an earlier attempt had another sequence, its outcome is not that of the record.
   *
   * @returns the sequence of the earlier attempt
   */
  stored(index: number, sequence: number): number | undefined {
    this.isDurable = true
    this.#sequences ??= []
    const before = this.#sequences[index]
    this.#sequences[index] = sequence
    if (before === undefined || before === sequence) this.accepted(index)
    else this.#note(index, 'open')
    return before === sequence ? undefined : before
  }

  accepted(index: number): void {
    if (this.isMissing(index)) this.#note(index, 'open')
  }

  /** @returns the final outcome */
  outcomeOf(index: number): RecordOutcome | undefined {
    const outcome = this.#outcomes[index]
    return outcome === 'open' ? undefined : outcome
  }

  /** Notes the outcome that the request was answered with. An outcome that is not certain means that the record was accepted. */
  settle(index: number, outcome: RecordOutcome): void {
    if (isFinal(outcome)) this.conclude(index, outcome)
    else if (isDoubtful(outcome)) {
      this.isDurable = true
      this.conclude(index, outcome)
    } else this.accepted(index)
  }

  /**
   * Notes a final outcome, which may be that it is unknown whether Kafka has the record. The first final outcome
   * counts; a record of unknown outcome stays unknown when another attempt is refused for good.
   */
  conclude(index: number, outcome: RecordOutcome): void {
    const before = this.outcomeOf(index)
    if (before !== undefined && (isRefused(outcome) || !isDoubtful(before))) return
    this.#note(index, outcome)
    this.changed()
  }

  /** Wakes all that wait for something of this key. */
  changed(): void {
    this.#waiters?.wake()
  }

  /** All that waits for something of this key. */
  get waiters(): Waiters {
    return (this.#waiters ??= new Waiters())
  }

  /** The request that is under way has a receipt, or, with `undefined`, none yet. */
  given(receipt: GivenReceipt | undefined): void {
    this.#receipt = receipt
    this.changed()
  }

  /** The receipt of the request that is under way, as soon as it has one. @returns `undefined`: not within this time */
  async receiptWithin(timeoutMs: number): Promise<GivenReceipt | undefined> {
    await this.#when(() => this.#receipt !== undefined, timeoutMs)
    return this.#receipt
  }

  /** Resolves when these records have final outcomes, or after this time. */
  whenFinal(indexes: readonly number[], timeoutMs: number): Promise<void> {
    return this.#when(() => indexes.every(index => this.outcomeOf(index) !== undefined), timeoutMs)
  }

  async #when(isKnown: () => boolean, timeoutMs: number): Promise<void> {
    const endsAt = performance.now() + timeoutMs
    for (let leftMs = timeoutMs; leftMs > 0 && !isKnown(); leftMs = endsAt - performance.now()) {
      await this.waiters.wait(leftMs)
    }
  }
}

/** Records of a request that was sent before: their outcomes are those of the records that were accepted then. */
export class AttachedProduce implements PendingProduce {
  readonly #records: KeyedRecords
  readonly #indexes: readonly number[]
  readonly #options: ProduceOptions
  /** The records that had not been accepted then. */
  readonly #rest: PendingProduce | undefined

  constructor(
    records: KeyedRecords,
    indexes: readonly number[],
    options: ProduceOptions,
    rest: PendingProduce | undefined
  ) {
    this.#records = records
    this.#indexes = indexes
    this.#options = options
    this.#rest = rest
  }

  get refused(): RefusedRecords {
    const all = this.#indexes.map(index => failureIn(this.#records.outcomeOf(index)))
    return all.some(failure => failure !== undefined) ? all : undefined
  }

  get isWaiting(): boolean {
    return this.#rest !== undefined
  }

  async accepted(): Promise<RefusedRecords> {
    await this.#rest?.accepted()
    // The outcomes of refused records are noted in the same tick.
    await Promise.resolve()
    return this.refused
  }

  async outcomes(): Promise<readonly RecordOutcome[]> {
    const { deadlineMs, durability } = this.#options
    await this.#records.whenFinal(this.#indexes, deadlineMs)
    const why = 'an earlier request with this key has sent it, and kafka has not acknowledged it yet'
    const open = durability === 'disk' ? failures.stillPending(why) : failures.timedOut(why, 'unknown')
    return this.#indexes.map(index => this.#records.outcomeOf(index) ?? open)
  }
}

const failureIn = (outcome: RecordOutcome | undefined): RecordFailure | undefined =>
  outcome?.type === 'failed' ? outcome : undefined
