import { memoryOfRecord } from '../../core/bytes.js'
import type { LinePlace } from '../../core/line.js'
import type { Due } from '../../router/requests/deadlines.js'
import type { Asker } from '../group/consume-result.js'
import type { HeldMessage } from './held-messages.js'
import type { AcquireOptions, AcquireResult } from './queue-verbs.js'

/** How long brokers are asked for more once an acquire has got some messages. */
const LINGER_MS = 100
/** Brokers are asked for at least this long, so that one can answer. */
const MIN_WAIT_MS = 100
/** The time that an answer takes that a broker has sent at the end of the wait. An acquire takes messages so much longer. */
const ANSWER_MS = 50

/** The part of the demand that comes from one acquire or one client. */
export interface WantedPart {
  readonly messages: number
  readonly bytes: number
  readonly until: number
}

/**
 * The acquire of a client that waits for messages. It is answered exactly once, unless the client has gone.
 *
 *   asking ── its time is over ──▶ ending ──▶ answered
 *      ^────── waits on ──────────────┘
 */
export class WaitingAcquire implements Due {
  readonly options: AcquireOptions
  /** When it came. */
  readonly since: number
  /** `ending`: it takes what still comes, and brokers are asked for nothing more. */
  state: 'asking' | 'ending' = 'asking'
  /** Its time was over before the queue had begun: it waits on for that. */
  waitsForBegin = false
  /** Place among the acquires of its client that take messages. Set by `WaitingAcquires`. */
  place: LinePlace<WaitingAcquire> | undefined
  /** The part of the demand that comes from this acquire. Set by `WaitingAcquires`. */
  counted: WantedPart | undefined
  /** Messages for the answer, in the order in which the acquire got them. */
  readonly messages: HeldMessage[] = []
  /** The end of its state. */
  deadlineAt: number
  next: Due | undefined
  previous: Due | undefined
  readonly #asker: Asker<AcquireResult>
  readonly #onDue: (acquire: WaitingAcquire) => void
  #releasePlace: (() => void) | undefined
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
    this.deadlineAt = this.#lastsUntil
    this.#asker = asker
    this.#onDue = onDue
    this.#releasePlace = releasePlace
  }

  /** Brokers are asked until then, as long as it has no messages. */
  get #lastsUntil(): number {
    return this.since + Math.max(this.options.waitMs, MIN_WAIT_MS)
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
    if (this.messages.length === 0) this.#askUntil(Math.min(this.#lastsUntil, now + LINGER_MS))
    this.#bytes += memoryOfRecord(held.record!)
    this.messages.push(held)
  }

  /**
   * Brokers have been asked long enough.
   *
   * @returns false: it had stopped asking before, or its time ended 50 ms ago or earlier
   */
  stopAsking(now: number): boolean {
    if (this.state === 'ending' || now >= this.deadlineAt + ANSWER_MS) return false
    this.state = 'ending'
    this.deadlineAt += ANSWER_MS
    return true
  }

  /** What it had got is lost. @returns whether there is time to ask again */
  startAgain(now: number): boolean {
    if (this.messages.length === 0) return false
    this.messages.length = 0
    this.#bytes = 0
    this.#askUntil(this.#lastsUntil)
    return now < this.#lastsUntil + ANSWER_MS
  }

  /** Asks on, until the queue has begun. */
  waitForBegin(untilMs: number): void {
    this.waitsForBegin = true
    this.#askUntil(untilMs)
  }

  #askUntil(untilMs: number): void {
    this.state = 'asking'
    this.deadlineAt = untilMs
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
