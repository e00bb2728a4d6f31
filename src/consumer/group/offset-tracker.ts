import type { Offset } from '../../core/model.js'
import { encodeAcksWithin } from './ack-encoding.js'
import { EpochHistory } from './epoch-history.js'
import { acksIn } from './incarnation-mark.js'
import { OffsetRanges } from './offset-ranges.js'

/** Kafka takes 4,096 bytes by default. Acknowledgements that do not fit are forgotten with the process. */
const MAX_METADATA_LENGTH = 4_000

export interface OffsetTrackerOptions {
  readonly ackTimeoutMs: number
  /** How often a message is offered again; -1: until it is acknowledged. */
  readonly maxRetries: number
}

/** What is committed: everything below `offset` is acknowledged, and what `metadata` lists above it. */
export interface TrackedPosition {
  readonly offset: Offset
  readonly metadata: string
  /** Of the last record that is acknowledged, or a later one in which it was in the log. Absent: not known. */
  readonly leaderEpoch?: number | undefined
}

/** A message that was offered and is not acknowledged. */
interface Offer {
  readonly offset: Offset
  deadlineAt: number
  retries: number
}

/**
 * What of a partition was offered to clients, and what they have acknowledged, in whatever order.
 *
 *   committed 301    acknowledged [302..305) [307..309)    offered 301 until t1, 305 until t2, 306 until t3
 */
export class OffsetTracker {
  readonly #options: OffsetTrackerOptions
  readonly #acked: OffsetRanges
  #offset: Offset
  /** Of what was read. */
  readonly epochs: EpochHistory
  /** Sorted by offset. */
  readonly #offers: Offer[] = []
  /** No offer has an earlier deadline. While this one is not over, no offer has to be looked at. */
  #firstDeadlineAt = Number.POSITIVE_INFINITY

  /** Starts at a committed offset. Metadata that does not list acknowledgements is ignored. */
  constructor(position: TrackedPosition, options: OffsetTrackerOptions) {
    this.#options = options
    this.epochs = new EpochHistory(position.leaderEpoch)
    this.#offset = position.offset
    this.#acked = new OffsetRanges(acksIn(position))
  }

  /** Everything below is acknowledged. */
  get offset(): Offset {
    return this.#offset
  }

  /** Behind the last offset that is acknowledged. */
  get ackedEnd(): Offset {
    return this.#acked.all.at(-1)?.to ?? this.#offset
  }

  get position(): TrackedPosition {
    const metadata = encodeAcksWithin(MAX_METADATA_LENGTH, this.#offset, this.#acked.all)
    const leaderEpoch = this.epochs.before(this.ackedEnd)
    return { offset: this.#offset, metadata, ...(leaderEpoch !== undefined && { leaderEpoch }) }
  }

  /** Messages that were offered and are not acknowledged. */
  get pending(): number {
    return this.#offers.length
  }

  isAcked(offset: Offset): boolean {
    return offset < this.#offset || this.#acked.has(offset)
  }

  isAcquired(offset: Offset): boolean {
    return this.#offers[this.#indexOf(offset)]?.offset === offset
  }

  /** The first offset from `offset` on that is not acknowledged. */
  nextNotAcked(offset: Offset): Offset {
    return this.#acked.nextMissing(Math.max(offset, this.#offset))
  }

  /** A message was handed to a client. One that is acknowledged, or was offered before, changes nothing. */
  offered(offset: Offset, now: number): void {
    if (this.isAcked(offset) || this.isAcquired(offset)) return
    const offer = { offset, deadlineAt: now + this.#options.ackTimeoutMs, retries: 0 }
    this.#firstDeadlineAt = Math.min(this.#firstDeadlineAt, offer.deadlineAt)
    this.#offers.splice(this.#indexOf(offset), 0, offer)
  }

  /** A message is offered again: the time for its acknowledgement starts anew. */
  acquiredAgain(offset: Offset, now: number): void {
    const offer = this.#offers[this.#indexOf(offset)]
    if (offer?.offset === offset) offer.deadlineAt = now + this.#options.ackTimeoutMs
  }

  /** Returns false when it was acknowledged before. */
  acked(offset: Offset): boolean {
    return this.skipped(offset, offset + 1)
  }

  /** There are no messages from `from` to the one before `to`, or they are given up. Returns false when that is known. */
  skipped(from: Offset, to: Offset): boolean {
    const first = this.#indexOf(from)
    this.#offers.splice(first, this.#indexOf(to) - first)
    if (to <= this.#offset || !this.#acked.add(Math.max(from, this.#offset), to)) return false
    this.#offset = this.#acked.nextMissing(this.#offset)
    this.#acked.dropBelow(this.#offset)
    this.epochs.dropBelow(this.#offset)
    return true
  }

  /** The log was cut here: what was offered and acknowledged from this offset on is gone, and others are written there. */
  cutAt(offset: Offset): void {
    this.#offset = Math.min(this.#offset, offset)
    this.#acked.dropFrom(offset)
    this.#offers.splice(this.#indexOf(offset))
    this.epochs.cutAt(offset)
  }

  /** The client did not get the message: it may be offered again at once, which is no retry. */
  givenBack(offset: Offset): void {
    const at = this.#indexOf(offset)
    if (this.#offers[at]?.offset === offset) this.#offers.splice(at, 1)
  }

  /**
   * The first message whose time for an acknowledgement is over, to be offered again; the time starts anew. Messages that
   * were offered often enough count as acknowledged, and are given to `onGivenUp`.
   */
  nextRetry(now: number, onGivenUp: (offset: Offset) => void): Offset | undefined {
    if (!this.isRetryDue(now)) return undefined
    for (const offer of [...this.#offers]) {
      // One behind it may have been offered earlier: this one was retried, or given back and offered anew.
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

  /** The message could not be read, so it was not offered again: that is tried again at `retryAt`, and was no retry. */
  notAcquiredAgain(offset: Offset, retryAt: number): void {
    const offer = this.#offers[this.#indexOf(offset)]
    if (offer?.offset !== offset) return
    offer.retries--
    offer.deadlineAt = retryAt
    this.#firstDeadlineAt = Math.min(this.#firstDeadlineAt, retryAt)
  }

  /** How often the message was offered again. */
  retriesOf(offset: Offset): number {
    const offer = this.#offers[this.#indexOf(offset)]
    return offer?.offset === offset ? offer.retries : 0
  }

  /** Whether the time of a message for an acknowledgement is over. */
  isRetryDue(now: number): boolean {
    return this.#firstDeadlineAt < now && (this.nextDeadlineAt ?? now) < now
  }

  /** When the first message may be offered again; `undefined` when none is offered. */
  get nextDeadlineAt(): number | undefined {
    this.#firstDeadlineAt = this.#offers.reduce(
      (first, { deadlineAt }) => Math.min(first, deadlineAt),
      Number.POSITIVE_INFINITY
    )
    return this.#offers.length === 0 ? undefined : this.#firstDeadlineAt
  }

  /** How long acknowledgements may still come, at most. */
  waitMs(now: number): number {
    return this.#offers.reduce((longest, { deadlineAt }) => Math.max(longest, deadlineAt - now), 0)
  }

  #isLastRetry({ retries }: Offer): boolean {
    return this.#options.maxRetries >= 0 && retries >= this.#options.maxRetries
  }

  /** Where an offer with this offset is, or would be. */
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
