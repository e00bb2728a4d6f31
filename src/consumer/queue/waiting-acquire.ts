import { sizeOfRecord } from '../../core/model.js'
import type { Deadlines, Due } from '../../router/requests/deadlines.js'
import type { Asker } from '../group/consume-result.js'
import type { HeldCounts, HeldMessage } from './held-messages.js'
import type { QueueDemand } from './queue-messages.js'
import type { AcquireOptions, AcquireResult } from './queue-verbs.js'

/** How long an acquire that has got some messages waits for more: longer than a broker keeps a fetch that was sent before. */
const LINGER_MS = 150
/** A broker is asked at least once, however short the client waits. */
const MIN_WAIT_MS = 100
/** The time that an answer takes that a broker has sent at the end of the wait. */
const ANSWER_MS = 50

/** The acquire of a client that waits for messages. It is answered exactly once, unless the client has gone. */
export class WaitingAcquire implements Due {
  readonly options: AcquireOptions
  /** Brokers are asked for messages until then. */
  until: number
  /** Those that it will be answered with, in the order in which it got them. */
  readonly messages: HeldMessage[] = []
  /** The wait is over, and the queue has not begun yet. */
  isOver = false
  deadlineAt: number
  next: Due | undefined
  previous: Due | undefined
  readonly #endsAt: number
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
    this.until = now + Math.max(options.waitMs, MIN_WAIT_MS)
    this.#endsAt = this.until + ANSWER_MS
    this.deadlineAt = this.#endsAt
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
    return this.missing > 0 && (this.messages.length === 0 || this.#bytes + sizeOfRecord(record!) <= maxBytes)
  }

  take(held: HeldMessage, now: number): void {
    if (this.messages.length === 0) this.#endAt(Math.min(this.#endsAt, now + LINGER_MS))
    this.#bytes += sizeOfRecord(held.record!)
    this.messages.push(held)
  }

  /** Goes on waiting: what it had got is lost. */
  startAgain(now: number): boolean {
    this.messages.length = 0
    this.#bytes = 0
    this.#endAt(this.#endsAt)
    return now < this.#endsAt
  }

  #endAt(endsAt: number): void {
    this.deadlineAt = endsAt
    this.until = endsAt - ANSWER_MS
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

/** The acquires that wait in one queue, in the order in which they came, and the clients that wait with them. */
export class WaitingAcquires {
  readonly #deadlines: Deadlines
  readonly #counts: HeldCounts
  readonly #acquires = new Set<WaitingAcquire>()
  /** By client: how many of its acquires wait, and how to tell that none does any more. */
  readonly #clients = new Map<string, { acquires: number; readonly leave: () => void }>()

  constructor(deadlines: Deadlines, counts: HeldCounts) {
    this.#deadlines = deadlines
    this.#counts = counts
  }

  get size(): number {
    return this.#acquires.size
  }

  /** They may be removed meanwhile. */
  all(): Iterable<WaitingAcquire> {
    return this.#acquires
  }

  add(acquire: WaitingAcquire): void {
    const { client } = acquire.options
    const known = this.#clients.get(client)
    this.#acquires.add(acquire)
    this.#deadlines.add(acquire)
    if (known === undefined) this.#clients.set(client, { acquires: 1, leave: this.#counts.waits(client) })
    else known.acquires++
  }

  /** Does nothing where it was removed before. */
  remove(acquire: WaitingAcquire): void {
    const { client } = acquire.options
    this.#deadlines.remove(acquire)
    if (!this.#acquires.delete(acquire)) return
    const known = this.#clients.get(client)!
    if (--known.acquires > 0) return
    this.#clients.delete(client)
    known.leave()
  }

  /** Gives a message to an acquire that takes it. */
  give(held: HeldMessage, acquire: WaitingAcquire, now: number): void {
    this.#deadlines.remove(acquire)
    acquire.take(held, now)
    this.#deadlines.add(acquire)
  }

  /** What all of them want, as far as their clients may hold it. */
  demand(now: number): QueueDemand {
    let messages = 0
    let maxBytes = 1
    let until = now
    const rooms = new Map<string, number>()
    for (const acquire of this.#acquires) {
      if (acquire.until <= now && !acquire.isOver) continue
      const { client } = acquire.options
      const room = rooms.get(client) ?? this.#counts.shareOf(client)
      const wanted = Math.min(acquire.missing, room)
      rooms.set(client, room - wanted)
      if (wanted <= 0) continue
      messages += wanted
      maxBytes += acquire.missingBytes
      until = Math.max(until, acquire.isOver ? acquire.deadlineAt : acquire.until)
    }
    return { messages, maxBytes, until }
  }
}
