import type { Offset, PartitionIdentity } from '../../core/model.js'
import { type OpenRequest, reply, stillOpen } from '../requests/open-requests.js'

export type FetchWaiter = OpenRequest<'fetchData'>

/** One partition of a call, with all requests that wait for its offset. */
export interface Wanted {
  readonly topic: string
  readonly partition: number
  readonly position: Offset
  /**
   * The identity of the partition when the call was made. An answer for another identity does not answer these
   * requests.
   */
  readonly identity: PartitionIdentity
  /**
   * Requests that were queued when the call was sent. Empty: the readers have just been answered and are expected to
   * ask again.
   */
  waiters: readonly FetchWaiter[]
  /** Requests for the same offset that came while the call was in flight. */
  joined: FetchWaiter[]
}

/** The open requests of the partition. The list is copied only if a request was answered or has joined. */
export function waitersOf({ waiters, joined }: Wanted): readonly FetchWaiter[] {
  const all = joined.length === 0 ? waiters : [...waiters, ...joined]
  return all.some(waiter => waiter.settled) ? stillOpen(all) : all
}

/** A reader that has waited for this time may be answered `noMessages` to free its place. */
const TURN_MS = 1_000
const LEAST_BEFORE_DROPPING = 1_000

/**
 * Readers that wait at the end of a log for the next record, in order of arrival. They may be many and wait for long,
 * so they are answered early when places are short.
 */
export class ReadersAtEnd {
  readonly #waiters = new Set<FetchWaiter>()
  #dropAt = LEAST_BEFORE_DROPPING

  /** Adds readers. A reader that is added again keeps its position in the order. */
  add(waiters: readonly FetchWaiter[]): void {
    for (const waiter of waiters) this.#waiters.add(waiter)
    if (this.#waiters.size < this.#dropAt) return
    for (const waiter of this.#waiters) if (waiter.settled) this.#waiters.delete(waiter)
    this.#dropAt = Math.max(LEAST_BEFORE_DROPPING, 2 * this.#waiters.size)
  }

  /** Answers `noMessages` to the reader that came first, if it has waited long enough. */
  giveWay(now: number): void {
    for (const waiter of this.#waiters) {
      if (!waiter.settled && now - waiter.acceptedAt < TURN_MS) return
      this.#waiters.delete(waiter)
      if (waiter.settled) continue
      reply(waiter, { type: 'noMessages' })
      return
    }
  }
}
