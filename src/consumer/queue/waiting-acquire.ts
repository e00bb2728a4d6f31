import { memoryOfRecord } from '../../core/bytes.js'
import type { LinePlace } from '../../core/line.js'
import type { Due } from '../../router/requests/deadlines.js'
import type { Asker } from '../group/consume-result.js'
import type { HeldMessage } from './held-messages.js'
import type { AcquireOptions, AcquireResult } from './queue-verbs.js'

/** How long an acquire that has got some messages waits for more: longer than a broker keeps a fetch that was sent before. */
const LINGER_MS = 150
/** A broker is asked at least once, however short the client waits. */
const MIN_WAIT_MS = 100
/** The time that an answer takes that a broker has sent at the end of the wait. */
const ANSWER_MS = 50

/** The part of the demand that comes from one acquire or one client. */
export interface WantedPart {
  readonly messages: number
  readonly bytes: number
  readonly until: number
}

/** The acquire of a client that waits for messages. It is answered exactly once, unless the client has gone. */
export class WaitingAcquire implements Due {
  readonly options: AcquireOptions
  /** When it came. */
  readonly since: number
  /** Brokers are asked for messages until then. */
  until = 0
  /** False: it takes what comes, and brokers are asked for nothing more. */
  isAsking = true
  /** Place among the acquires of its client that take messages. Set by the line that keeps it. */
  place: LinePlace<WaitingAcquire> | undefined
  /** The part of the demand that comes from this acquire. Set by the line that keeps it. */
  counted: WantedPart | undefined
  /** Messages for the answer, in the order in which the acquire got them. */
  readonly messages: HeldMessage[] = []
  /** The wait is over, and the queue has not begun yet. */
  isOver = false
  /** When brokers are no longer asked, then when it is answered. */
  deadlineAt = 0
  next: Due | undefined
  previous: Due | undefined
  readonly #endsAt: number
  readonly #asker: Asker<AcquireResult>
  readonly #onDue: (acquire: WaitingAcquire) => void
  #releasePlace: (() => void) | undefined
  #answerAt = 0
  #bytes = 0

  /** @param releasePlace gives its place among all waiting acquires back */
  constructor(
    options: AcquireOptions,
    asker: Asker<AcquireResult>,
    now: number,
    onDue: (acquire: WaitingAcquire) => void,
    releasePlace: () => void
  ) {
    this.options = options
    this.since = now
    this.#endsAt = now + Math.max(options.waitMs, MIN_WAIT_MS) + ANSWER_MS
    this.#endAt(this.#endsAt)
    this.#asker = asker
    this.#onDue = onDue
    this.#releasePlace = releasePlace
  }

  onDue(): void {
    this.#onDue(this)
  }

  /** How many more messages it takes. */
  get missing(): number {
    const { count, maxBytes } = this.options
    return this.messages.length > 0 && this.#bytes >= maxBytes ? 0 : count - this.messages.length
  }

  /** Bytes of the messages that it still takes; at least 1 while it takes any. */
  get missingBytes(): number {
    return Math.max(1, this.options.maxBytes - this.#bytes)
  }

  takes({ record }: HeldMessage): boolean {
    const { maxBytes } = this.options
    return this.missing > 0 && (this.messages.length === 0 || this.#bytes + memoryOfRecord(record!) <= maxBytes)
  }

  take(held: HeldMessage, now: number): void {
    if (this.messages.length === 0) this.#endAt(Math.min(this.#endsAt, now + LINGER_MS))
    this.#bytes += memoryOfRecord(held.record!)
    this.messages.push(held)
  }

  /** Goes on waiting: what it had got is lost. */
  startAgain(now: number): boolean {
    this.messages.length = 0
    this.#bytes = 0
    this.#endAt(this.#endsAt)
    return now < this.#endsAt
  }

  /** Asks on until the queue has begun. */
  goOn(untilMs: number): void {
    this.isOver = true
    this.#endAt(untilMs + ANSWER_MS)
  }

  /** Brokers have been asked long enough. @returns false: it is to be answered now */
  stopAsking(now: number): boolean {
    if (!this.isAsking || now >= this.#answerAt) return false
    this.isAsking = false
    this.deadlineAt = this.#answerAt
    return true
  }

  #endAt(answerAt: number): void {
    this.#answerAt = answerAt
    this.until = answerAt - ANSWER_MS
    this.isAsking = true
    this.deadlineAt = this.until
  }

  /** Answers it, unless it was answered or its client has gone. */
  answer(result: AcquireResult): void {
    if (this.leave()) this.#asker.reply(result)
  }

  /** @returns false: it was answered before, or its client had gone */
  leave(): boolean {
    if (this.#releasePlace === undefined) return false
    this.#releasePlace()
    this.#releasePlace = undefined
    return true
  }
}
