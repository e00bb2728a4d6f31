import type { RecordFailure, RecordOutcome } from '../model.js'

/** The synchronous answer to produce: which records were taken, and a way to learn what became of them. */
export interface ProduceTicket {
  /** `undefined`: all accepted. Else one entry per record, `undefined` for an accepted one. */
  readonly refused: readonly (RecordFailure | undefined)[] | undefined
  /** Records wait for room: only {@link accepted} tells whether they are taken. Absent: none does. */
  readonly isWaiting?: boolean
  /**
   * Resolves when everything that was not refused is as safe as its `durability` says: in memory at once, on disk when the
   * durable log has synced it, and nothing waits for room any more. `undefined`: all accepted. Else one entry per record,
   * refused ones of before included: records may be refused late, when the disk is full or fails, or there was no room in
   * time. Never rejects.
   */
  accepted(): Promise<readonly (RecordFailure | undefined)[] | undefined>
  /** One outcome per record, in order, refused ones included; resolves within the deadline, never rejects. */
  outcomes(): Promise<readonly RecordOutcome[]>
}

/** Who is told what became of the records of a batch, each under its index. Times are monotonic milliseconds. */
export interface Ticket {
  /** When the wait for its records ends; infinite: never. */
  readonly deadlineAt: number
  acceptedAtOf(index: number): number
  settle(index: number, outcome: RecordOutcome): void
  isSettled(index: number): boolean
}

/** One request's records and what became of them. No promise is made unless a caller waits, and never more than one. */
export class MemoryTicket implements ProduceTicket, Ticket {
  readonly deadlineAt: number
  readonly acceptedAt: number
  /** Until then its records may wait for room; infinite in the past: not at all. */
  readonly roomUntil: number
  /** Topics that began to be looked up because of this request. */
  newTopics = 0
  readonly #outcomes: (RecordOutcome | undefined)[]
  #refused: (RecordFailure | undefined)[] | undefined
  #open: number
  #promise: Promise<readonly RecordOutcome[]> | undefined
  #resolve: ((outcomes: readonly RecordOutcome[]) => void) | undefined
  /** Records that wait for room. */
  #waiting = 0
  #whenAccepted: (() => void) | undefined

  constructor(
    recordCount: number,
    deadlineAt: number,
    acceptedAt = Number.POSITIVE_INFINITY,
    roomUntil = Number.NEGATIVE_INFINITY
  ) {
    this.roomUntil = Math.min(roomUntil, deadlineAt)
    this.acceptedAt = acceptedAt
    this.deadlineAt = deadlineAt
    this.#outcomes = new Array(recordCount)
    this.#open = recordCount
  }

  get refused(): readonly (RecordFailure | undefined)[] | undefined {
    return this.#refused
  }

  /** Answers a record before it is taken. */
  refuse(index: number, failure: RecordFailure): void {
    this.#refused ??= new Array(this.#outcomes.length).fill(undefined)
    this.#refused[index] = failure
    this.settle(index, failure)
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
    if (--this.#waiting === 0) this.#whenAccepted?.()
  }

  /** The first outcome counts; a later one, of a batch that outlived its waiters, is dropped. */
  settle(index: number, outcome: RecordOutcome): void {
    if (this.#outcomes[index] !== undefined) return
    this.#outcomes[index] = outcome
    if (--this.#open === 0) this.#resolve?.(this.#outcomes as RecordOutcome[])
  }

  acceptedAtOf(): number {
    return this.acceptedAt
  }

  isSettled(index: number): boolean {
    return this.#outcomes[index] !== undefined
  }

  accepted(): Promise<readonly (RecordFailure | undefined)[] | undefined> {
    if (this.#waiting === 0) return Promise.resolve(this.#refused)
    return new Promise(resolve => (this.#whenAccepted = () => resolve(this.#refused)))
  }

  outcomes(): Promise<readonly RecordOutcome[]> {
    this.#promise ??=
      this.#open === 0
        ? Promise.resolve(this.#outcomes as RecordOutcome[])
        : new Promise(resolve => (this.#resolve = resolve))
    return this.#promise
  }
}
