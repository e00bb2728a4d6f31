import type { Offset } from '../../core/model.js'
import { EpochHistory } from '../partition/epoch-history.js'
import { acksIn, encodeAcksWithin, OffsetRanges } from './ack-encoding.js'

/**
 * Limit of the metadata of a commit. Kafka accepts 4,096 bytes by default. Acknowledgements that do not fit are lost
 * when the process ends.
 */
const MAX_METADATA_LENGTH = 4_000

export interface OffsetTrackerOptions {
  readonly ackTimeoutMs: number
  /** Limit of repeated offers of a message; -1: no limit. */
  readonly maxRetries: number
}

/**
 * A position to commit. All offsets below `offset` are acknowledged. `metadata` lists the acknowledged offsets above
 * it.
 */
export interface TrackedPosition {
  readonly offset: Offset
  readonly metadata: string
  /** A leader epoch in which the last acknowledged record was in the log. Absent: unknown. */
  readonly leaderEpoch?: number | undefined
}

interface Offer {
  readonly offset: Offset
  deadlineAt: number
  retries: number
}

/**
 * The offered and the acknowledged messages of a partition. Messages may be acknowledged in any order.
 *
 *   committed 301    acknowledged [302..305) [307..309)    offered 301 until t1, 305 until t2, 306 until t3
 */
export class OffsetTracker {
  readonly #options: OffsetTrackerOptions
  readonly #acked: OffsetRanges
  #offset: Offset
  readonly epochs: EpochHistory
  /** The open offers, sorted by offset. */
  readonly #offers: Offer[] = []
  /** Released messages that were not offered again. */
  readonly #released = new Set<Offset>()
  /** No offer has a deadline before this time, so offers are not searched earlier. */
  #firstDeadlineAt = Number.POSITIVE_INFINITY

  /** Starts at a committed offset. Metadata that does not list acknowledgements is ignored. */
  constructor(position: TrackedPosition, options: OffsetTrackerOptions) {
    this.#options = options
    this.epochs = new EpochHistory(position.leaderEpoch)
    this.#offset = position.offset
    this.#acked = new OffsetRanges(acksIn(position))
  }

  /** All offsets below this offset are acknowledged. */
  get offset(): Offset {
    return this.#offset
  }

  get ackedEnd(): Offset {
    return this.#acked.all.at(-1)?.to ?? this.#offset
  }

  get position(): TrackedPosition {
    const metadata = encodeAcksWithin(MAX_METADATA_LENGTH, this.#offset, this.#acked.all)
    const leaderEpoch = this.epochs.before(this.ackedEnd)
    return { offset: this.#offset, metadata, ...(leaderEpoch !== undefined && { leaderEpoch }) }
  }

  /** Number of messages that were offered and are not acknowledged. */
  get pending(): number {
    return this.#offers.length
  }

  isAcked(offset: Offset): boolean {
    return offset < this.#offset || this.#acked.has(offset)
  }

  isAcquired(offset: Offset): boolean {
    return this.#offers[this.#indexOf(offset)]?.offset === offset
  }

  nextNotAcked(offset: Offset): Offset {
    return this.#acked.nextMissing(Math.max(offset, this.#offset))
  }

  /**
   * Notes that a client got a message. A call for a message that is acknowledged, or was offered before, does nothing.
   */
  offered(offset: Offset, now: number): void {
    if (this.isAcked(offset) || this.isAcquired(offset)) return
    this.#released.delete(offset)
    const offer = { offset, deadlineAt: now + this.#options.ackTimeoutMs, retries: 0 }
    this.#firstDeadlineAt = Math.min(this.#firstDeadlineAt, offer.deadlineAt)
    this.#offers.splice(this.#indexOf(offset), 0, offer)
  }

  /** Notes that a message is offered again. The time for its acknowledgement starts again. */
  acquiredAgain(offset: Offset, now: number): void {
    const offer = this.#offers[this.#indexOf(offset)]
    if (offer?.offset === offset) offer.deadlineAt = now + this.#options.ackTimeoutMs
  }

  /** Notes an acknowledgement. Returns false when the message was acknowledged before. */
  acked(offset: Offset): boolean {
    return this.skipped(offset, offset + 1)
  }

  /**
   * Counts all offsets in `[from, to)` as acknowledged, because they have no messages, or their messages are given up.
   * Returns false when all were acknowledged before.
   */
  skipped(from: Offset, to: Offset): boolean {
    const first = this.#indexOf(from)
    this.#offers.splice(first, this.#indexOf(to) - first)
    for (const offset of this.#released) if (offset >= from && offset < to) this.#released.delete(offset)
    if (to <= this.#offset || !this.#acked.add(Math.max(from, this.#offset), to)) return false
    this.#offset = this.#acked.nextMissing(this.#offset)
    this.#acked.dropBelow(this.#offset)
    this.epochs.dropBelow(this.#offset)
    return true
  }

  /** Drops offers and acknowledgements from this offset on, because the log was cut there. */
  cutAt(offset: Offset): void {
    this.#offset = Math.min(this.#offset, offset)
    this.#acked.dropFrom(offset)
    this.#offers.splice(this.#indexOf(offset))
    for (const released of this.#released) if (released >= offset) this.#released.delete(released)
    this.epochs.cutAt(offset)
  }

  /**
   * Notes that the client did not get the message, or did not process it. It may be offered again at once, which does not
   * count as a retry.
   */
  released(offset: Offset): void {
    const at = this.#indexOf(offset)
    if (this.#offers[at]?.offset !== offset) return
    this.#offers.splice(at, 1)
    this.#released.add(offset)
  }

  /** True when an acknowledgement counts: the message is offered, or was released and not offered again. */
  takesAckOf(offset: Offset): boolean {
    return this.isAcquired(offset) || this.#released.has(offset)
  }

  /** True while the offer that came with this number of retries stands: its time is not over. */
  stands(offset: Offset, retries: number, now: number): boolean {
    const offer = this.#offers[this.#indexOf(offset)]
    return offer?.offset === offset && offer.retries === retries && offer.deadlineAt >= now
  }

  /**
   * Returns the first message that was not acknowledged in time, so that it is offered again. Its time starts again.
   * Messages without retries left count as acknowledged, and are passed to `onGivenUp`.
   */
  nextRetry(now: number, onGivenUp: (offset: Offset) => void): Offset | undefined {
    if (!this.isRetryDue(now)) return undefined
    for (const offer of [...this.#offers]) {
      // A later offer may have an earlier deadline, if this message was offered again.
      if (offer.deadlineAt >= now) continue
      if (!this.#isLastRetry(offer)) {
        offer.retries++
        offer.deadlineAt = now + this.#options.ackTimeoutMs
        return offer.offset
      }
      this.acked(offer.offset)
      onGivenUp(offer.offset)
    }
    return undefined
  }

  /**
   * Notes that the message could not be read. Another attempt follows at `retryAt`. The failed attempt does not count
   * as a retry.
   */
  notAcquiredAgain(offset: Offset, retryAt: number): void {
    const offer = this.#offers[this.#indexOf(offset)]
    if (offer?.offset !== offset) return
    offer.retries--
    offer.deadlineAt = retryAt
    this.#firstDeadlineAt = Math.min(this.#firstDeadlineAt, retryAt)
  }

  retriesOf(offset: Offset): number {
    const offer = this.#offers[this.#indexOf(offset)]
    return offer?.offset === offset ? offer.retries : 0
  }

  /** True when a message was not acknowledged in time. */
  isRetryDue(now: number): boolean {
    return this.#firstDeadlineAt < now && (this.nextDeadlineAt ?? now) < now
  }

  /** When the first message may be offered again; `undefined` when no message is offered. */
  get nextDeadlineAt(): number | undefined {
    this.#firstDeadlineAt = this.#offers.reduce(
      (first, { deadlineAt }) => Math.min(first, deadlineAt),
      Number.POSITIVE_INFINITY
    )
    return this.#offers.length === 0 ? undefined : this.#firstDeadlineAt
  }

  /** Time until the last missing acknowledgement is due. */
  waitMs(now: number): number {
    return this.#offers.reduce((longest, { deadlineAt }) => Math.max(longest, deadlineAt - now), 0)
  }

  #isLastRetry({ retries }: Offer): boolean {
    return this.#options.maxRetries >= 0 && retries >= this.#options.maxRetries
  }

  /** The index of the offer with this offset, or the index at which it would be inserted. */
  #indexOf(offset: Offset): number {
    let low = 0
    let high = this.#offers.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#offers[middle]!.offset < offset) low = middle + 1
      else high = middle
    }
    return low
  }
}
