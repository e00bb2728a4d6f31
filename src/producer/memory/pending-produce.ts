import type { RecordFailure, RecordOutcome } from '../../core/model.js'
import type { Losses } from './losses.js'
import { type Refusals, RequestOutcomes } from './request-outcomes.js'

/** The synchronous answer to produce: which records were taken, and a way to learn what became of them. */
export interface PendingProduce {
  /** `undefined`: all accepted. Else one entry per record, `undefined` for an accepted one. */
  readonly refused: Refusals
  /** Records wait for room: only {@link accepted} tells whether they are taken. Absent: none does. */
  readonly isWaiting?: boolean
  /**
   * Resolves when everything that was not refused is as safe as its `durability` says: in memory at once, on disk when the
   * durable log has synced it, and nothing waits for room any more. `undefined`: all accepted. Else one entry per record,
   * refused ones of before included: records may be refused late, when the disk is full or fails, or there was no room in
   * time. Never rejects.
   */
  accepted(): Promise<Refusals>
  /** One outcome per record, in order, refused ones included; resolves within the deadline, never rejects. */
  outcomes(): Promise<readonly RecordOutcome[]>
}

/** Who is told what became of the records of a batch, each under its index. Times are monotonic milliseconds. */
export interface OutcomeReceiver {
  /** When the wait for its records ends; infinite: never. */
  readonly deadlineAt: number
  acceptedAtOf(index: number): number
  /** The outcome as far as it is known. A batch may be tried further when its waiters have been told that it is unknown. */
  settle(index: number, outcome: RecordOutcome): void
  /** The end of a record that is not known to be in Kafka: it is not tried any more. */
  fail(index: number, failure: RecordFailure, topic?: string): void
  isSettled(index: number): boolean
}

/** How the records of a request are accepted; see `ProduceOptions`. */
export interface Acceptance {
  readonly answeredBy?: string | undefined
  readonly stopsWhereFull?: boolean | undefined
}

const NOT_ANSWERED: Acceptance = {}
/** Counts as the API of callers that have not asked for outcomes. */
const NOBODY_ASKED = 'library'

/** One request's records in memory. */
export class MemoryPendingProduce extends RequestOutcomes implements PendingProduce, OutcomeReceiver {
  readonly acceptedAt: number
  /** Until then its records may wait for room; infinite in the past: not at all. */
  readonly capacityUntil: number
  /** Topics that began to be looked up because of this request. */
  newTopics = 0
  /** Records that wait for room. */
  #waiting = 0
  readonly #losses: Losses | undefined
  readonly #acceptance: Acceptance

  /**
   * @param losses told of records that are lost
   */
  constructor(
    recordCount: number,
    deadlineAt: number,
    acceptedAt = Number.POSITIVE_INFINITY,
    capacityUntil = Number.NEGATIVE_INFINITY,
    losses?: Losses,
    acceptance: Acceptance = NOT_ANSWERED
  ) {
    super(recordCount, deadlineAt)
    this.#losses = losses
    this.#acceptance = acceptance
    this.capacityUntil = Math.min(capacityUntil, deadlineAt)
    this.acceptedAt = acceptedAt
  }

  fail(index: number, failure: RecordFailure, topic?: string): void {
    this.settle(index, failure)
    const api = this.#acceptance.answeredBy ?? (this.isAwaited ? undefined : NOBODY_ASKED)
    if (api !== undefined) this.#losses?.add(api, { code: failure.code, message: failure.message, topic })
  }

  /** Refuses a record for good: it is lost if its client has been answered long ago. */
  refuseLate(index: number, failure: RecordFailure, topic?: string): void {
    this.refuse(index, failure)
    const { answeredBy, stopsWhereFull } = this.#acceptance
    if (stopsWhereFull !== true || answeredBy === undefined) return
    this.#losses?.add(answeredBy, { code: failure.code, message: failure.message, topic })
  }

  get refused(): Refusals {
    return this.refusals
  }

  get isWaiting(): boolean {
    return this.#waiting > 0
  }

  /** A record of it waits for room. */
  wait(): void {
    this.#waiting++
  }

  /** A record of it waits no longer: it was taken, or else refused. */
  waited(): void {
    if (--this.#waiting === 0) this.resolveAccepted()
  }

  protected override get isAccepted(): boolean {
    return this.#waiting === 0
  }

  acceptedAtOf(): number {
    return this.acceptedAt
  }
}
