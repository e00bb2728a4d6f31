import type { Offset } from '../../core/model.js'
import { EpochHistory } from '../partition/epoch-history.js'
import { type AckedRange, acksIn, encodeAcks, encodeAcksWithin, OffsetRanges } from './ack-encoding.js'

/**
 * Limit of the metadata of a commit. Kafka accepts 4,096 bytes by default. Acknowledgements that do not fit are lost
 * when the process ends.
 */
export const MAX_METADATA_LENGTH = 4_000

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

/** Identifies an offer of a message: the offset and the number of the offer. */
export interface OfferId {
  readonly offset: Offset
  /**
   * Unique in this process. Neither the offset nor the retries tell an offer from others: after a cut another record has the
   * offset, and when the partition comes back its messages are offered from the beginning.
   */
  readonly serial: number
}

/** An offer of a message to one client. */
export interface Offer extends OfferId {
  /** The serial number of the first offer of the message. Offers with the same one are of the same record. */
  readonly firstSerial: number
  /** How often the message was offered before without an acknowledgement in time. */
  readonly retries: number
}

/**
 * Keeps parked messages: a client has them in hand, and has not begun them. No clock runs for them, and they do not
 * count as offered.
 */
export interface ParkedHolder {
  /**
   * Called when the parked message is not the holder's any more: its partition pauses or is lost, its log was cut, or the
   * record is gone from the log. It comes again if it is still to be read.
   */
  parkedEnded(serial: number): void
}

interface OpenOffer {
  readonly offset: Offset
  readonly firstSerial: number
  serial: number
  retries: number
  deadlineAt: number
  /** The time limit for the acknowledgement is over, and the message is about to be offered again. */
  isOver: boolean
  /** The message belongs to a transaction: its time does not run, and only the end of the transaction settles it. */
  isInTransaction: boolean
  /** The owner of the parked message; `undefined`: it is not parked. */
  holder: ParkedHolder | undefined
  /** Number of the offer before, which was released. It counts until this one, which is parked, is begun. */
  former: number | undefined
}

/**
 * The offered and the acknowledged messages of a partition. Messages may be acknowledged in any order.
 *
 *   committed 301    acknowledged [302..305) [307..309)    offered 301 until t1, 305 until t2, 306 until t3, 308 is parked
 */
export class OffsetTracker {
  /** Number of the last offer of the process. */
  static lastSerial = 0
  readonly #options: OffsetTrackerOptions
  readonly #acked: OffsetRanges
  /** Acknowledgements that are committed whatever else fits into the metadata: a transaction may have committed them. */
  #kept: OffsetRanges
  #offset: Offset
  readonly epochs: EpochHistory
  /** The open offers, sorted by offset. */
  readonly #offers: OpenOffer[] = []
  /** The last offers of released messages that were not offered again, by offset. */
  readonly #released = new Map<Offset, Offer>()
  #inTransactions = 0
  #parked = 0
  /** No offer has a deadline before this time, so offers are not searched earlier. */
  #firstDeadlineAt = Number.POSITIVE_INFINITY

  /** Starts at a committed offset. Metadata that does not list acknowledgements is ignored. */
  constructor(position: TrackedPosition, options: OffsetTrackerOptions) {
    this.#options = options
    this.epochs = new EpochHistory(position.leaderEpoch)
    this.#offset = position.offset
    const acked = acksIn(position) ?? []
    this.#acked = new OffsetRanges(acked)
    const isShort = encodeAcks(position.offset, acked).length <= MAX_METADATA_LENGTH
    this.#kept = new OffsetRanges(isShort ? acked : [])
  }

  /** All offsets below this offset are acknowledged. */
  get offset(): Offset {
    return this.#offset
  }

  get ackedEnd(): Offset {
    return this.#acked.all.at(-1)?.to ?? this.#offset
  }

  get position(): TrackedPosition {
    const metadata = encodeAcksWithin(MAX_METADATA_LENGTH, this.#offset, this.#acked.all, this.#kept.all)
    return this.#positionAt(this.#offset, metadata, this.ackedEnd)
  }

  /** The position with as little metadata as may be, for brokers that refuse that of {@link position}. */
  get shortPosition(): TrackedPosition {
    return this.#positionAt(this.#offset, encodeAcks(this.#offset, this.#kept.all), this.#offset)
  }

  /** The position if these messages were acknowledged as well. `undefined`: not all of its metadata fits. */
  positionWith(offsets: Iterable<Offset>): TrackedPosition | undefined {
    const acked = new OffsetRanges(this.#acked.all)
    for (const offset of offsets) acked.add(offset)
    const offset = acked.nextMissing(this.#offset)
    acked.dropBelow(offset)
    const metadata = encodeAcks(offset, acked.all)
    if (metadata.length > MAX_METADATA_LENGTH) return undefined
    return this.#positionAt(offset, metadata, acked.all.at(-1)?.to ?? offset)
  }

  #positionAt(offset: Offset, metadata: string, ackedEnd: Offset): TrackedPosition {
    const leaderEpoch = this.epochs.before(ackedEnd)
    return { offset, metadata, ...(leaderEpoch !== undefined && { leaderEpoch }) }
  }

  /** Number of messages that were offered and are not acknowledged. Parked ones do not count. */
  get pending(): number {
    return this.#offers.length - this.#parked
  }

  get parked(): number {
    return this.#parked
  }

  isAcked(offset: Offset): boolean {
    return offset < this.#offset || this.#acked.has(offset)
  }

  /** True when a client has the message: it is offered or parked, and not settled. */
  isAcquired(offset: Offset): boolean {
    return this.#openOffer(offset) !== undefined
  }

  isParked(offset: Offset): boolean {
    return this.#openOffer(offset)?.holder !== undefined
  }

  /** The newest offer of the message; `undefined`: it is not offered, or settled. */
  offerOf(offset: Offset): Offer | undefined {
    return this.#openOffer(offset)
  }

  /** Number of offsets in `[from, to)` that are not acknowledged. */
  openIn(from: Offset, to: Offset): number {
    const first = Math.max(from, this.#offset)
    const acked = this.#acked.all.reduce(
      (sum, range) => sum + Math.max(0, Math.min(to, range.to) - Math.max(first, range.from)),
      0
    )
    return Math.max(0, to - first) - acked
  }

  nextNotAcked(offset: Offset): Offset {
    return this.#acked.nextMissing(Math.max(offset, this.#offset))
  }

  /**
   * Notes that a client got a message, which begins a new offer: a former one of the message counts no longer. Does nothing
   * for a message that is acknowledged.
   */
  offered(offset: Offset, now: number): void {
    this.#give(offset, now + this.#options.ackTimeoutMs, undefined)
  }

  /**
   * Notes that a client has the message in hand and has not begun it. Its time and its retries begin with {@link begin}.
   * Else as {@link offered}.
   */
  park(offset: Offset, holder: ParkedHolder): void {
    this.#give(offset, Number.POSITIVE_INFINITY, holder)
  }

  #give(offset: Offset, deadlineAt: number, holder: ParkedHolder | undefined): void {
    if (this.isAcked(offset)) return
    this.#firstDeadlineAt = Math.min(this.#firstDeadlineAt, deadlineAt)
    const serial = ++OffsetTracker.lastSerial
    if (holder !== undefined) this.#parked++
    const at = this.#indexOf(offset)
    const open = this.#offers[at]
    if (open?.offset === offset) {
      Object.assign(open, { serial, deadlineAt, isOver: false, holder })
      return
    }
    const released = this.#released.size > 0 ? this.#released.get(offset) : undefined
    const firstSerial = released?.firstSerial ?? serial
    const retries = released?.retries ?? 0
    const former = holder && released?.serial
    const offer = {
      offset,
      firstSerial,
      serial,
      retries,
      deadlineAt,
      isOver: false,
      isInTransaction: false,
      holder,
      former
    }
    if (released !== undefined) this.#released.delete(offset)
    if (at === this.#offers.length) this.#offers.push(offer)
    else this.#offers.splice(at, 0, offer)
  }

  /**
   * The client begins the parked message of this offer: from now on it counts as offered, and its time runs.
   *
   * @returns false, and nothing is changed: it is not parked any more
   */
  begin(offset: Offset, serial: number, now: number): boolean {
    const offer = this.#openOffer(offset)
    if (offer?.serial !== serial || offer.holder === undefined) return false
    this.#parked--
    offer.holder = undefined
    offer.former = undefined
    offer.deadlineAt = now + this.#options.ackTimeoutMs
    this.#firstDeadlineAt = Math.min(this.#firstDeadlineAt, offer.deadlineAt)
    return true
  }

  /**
   * Takes back all parked messages from this offset on, and tells their holders. They are to be offered again.
   *
   * @returns the lowest offset of them; `undefined`: there were none
   */
  endParked(from = 0): Offset | undefined {
    if (this.#parked === 0) return undefined
    const ended = this.#offers.filter(({ offset, holder }) => offset >= from && holder !== undefined)
    for (const offer of ended) {
      const { offset, serial, holder } = offer
      if (this.released(offset, serial)) holder!.parkedEnded(serial)
    }
    return ended[0]?.offset
  }

  /** True when a transaction may take the message of this offer: it stands, or was released, and none has begun since. */
  mayGiveToTransaction(offset: Offset, serial: number, now: number): boolean {
    const { isInTransaction = false, former } = this.#openOffer(offset) ?? {}
    const isReleased = former === serial || this.#released.get(offset)?.serial === serial
    return !isInTransaction && (isReleased || this.stands(offset, serial, now))
  }

  /** Gives the message to a transaction. Until {@link takeFromTransaction} its time does not run, and nothing else settles it. */
  giveToTransaction(offset: Offset): void {
    const released = this.#released.get(offset)
    if (released !== undefined) {
      this.#released.delete(offset)
      const isNew = { deadlineAt: 0, isOver: false, isInTransaction: false, holder: undefined, former: undefined }
      this.#offers.splice(this.#indexOf(offset), 0, { ...released, ...isNew })
    }
    const offer = this.#openOffer(offset)!
    this.#dropped([offer])
    this.#toFormer(offer)
    Object.assign(offer, { isInTransaction: true, deadlineAt: Number.POSITIVE_INFINITY })
    this.#inTransactions++
  }

  isInTransaction(offset: Offset): boolean {
    return this.#openOffer(offset)?.isInTransaction === true
  }

  /** Number of messages that belong to transactions. */
  get inTransactions(): number {
    return this.#inTransactions
  }

  /** True when these offers belong to a transaction still: the log was not cut before them. */
  areInTransaction(offers: Iterable<OfferId>): boolean {
    for (const { offset, serial } of offers) if (this.#openOffer(offset)?.serial !== serial) return false
    return true
  }

  /**
   * Takes messages from their transaction, which has ended. An offer that no longer belongs to it, because the log was cut before it,
   * is left as it is.
   *
   * @param committed the position that was committed with them; absent: they are open
   */
  takeFromTransaction(offers: Iterable<OfferId>, committed?: TrackedPosition): void {
    for (const { offset, serial } of offers) {
      const offer = this.#openOffer(offset)
      if (offer?.serial !== serial || !offer.isInTransaction) continue
      offer.isInTransaction = false
      this.#inTransactions--
      if (committed !== undefined || this.isAcked(offset)) this.acked(offset)
    }
    if (committed !== undefined) this.#keep(acksIn(committed) ?? [])
  }

  /**
   * Keeps acknowledgements from the metadata of a commit. They were committed together, so either all or none of them
   * fit. When the log was cut, some belong to records that no longer exist.
   */
  #keep(acks: readonly AckedRange[]): void {
    if (!acks.every(({ from, to }) => this.nextNotAcked(from) >= to)) return
    this.#kept = new OffsetRanges(acks)
    this.#kept.dropBelow(this.#offset)
  }

  /** Notes an acknowledgement. Returns false when the message was acknowledged before. */
  acked(offset: Offset): boolean {
    return !this.isInTransaction(offset) && this.skipped(offset, offset + 1)
  }

  /**
   * Notes the acknowledgements of those offers that {@link takesAckOf} allows. What lies side by side is noted in one go.
   * Returns false when none is new.
   */
  ackedAll(offers: readonly OfferId[]): boolean {
    let isNew = false
    let from = 0
    let to = 0
    const note = (): void => {
      if (to > from && this.skipped(from, to)) isNew = true
    }
    for (const { offset, serial } of offers) {
      const open = this.#openOffer(offset)
      if (open?.isInTransaction === true || !this.#takesAckOf(open, offset, serial)) continue
      if (offset !== to) {
        note()
        from = offset
      }
      to = offset + 1
    }
    note()
    return isNew
  }

  /**
   * Counts all offsets in `[from, to)` as acknowledged, because they have no messages, or their messages are given up.
   * Returns false when all were acknowledged before.
   */
  skipped(from: Offset, to: Offset): boolean {
    const first = this.#indexOf(from)
    const skipped = this.#offers.splice(first, this.#indexOf(to) - first)
    this.#dropped(skipped)
    // The end of its transaction settles a message that belongs to one.
    const staying = skipped.filter(({ isInTransaction }) => isInTransaction)
    if (staying.length > 0) this.#offers.splice(first, 0, ...staying)
    if (this.#released.size > 0)
      for (const offset of this.#released.keys()) if (offset >= from && offset < to) this.#released.delete(offset)
    if (to <= this.#offset || !this.#acked.add(Math.max(from, this.#offset), to)) return false
    this.#offset = this.#acked.nextMissing(this.#offset)
    this.#acked.dropBelow(this.#offset)
    this.#kept.dropBelow(this.#offset)
    this.epochs.dropBelow(this.#offset)
    return true
  }

  #dropped(offers: readonly OpenOffer[]): void {
    for (const { serial, holder } of offers) {
      if (holder === undefined) continue
      this.#parked--
      holder.parkedEnded(serial)
    }
  }

  /** Drops offers and acknowledgements from this offset on, because the log was cut there. */
  cutAt(offset: Offset): void {
    this.#offset = Math.min(this.#offset, offset)
    this.#acked.dropFrom(offset)
    this.#kept.dropFrom(offset)
    const cut = this.#offers.splice(this.#indexOf(offset))
    for (const { isInTransaction } of cut) if (isInTransaction) this.#inTransactions--
    this.#dropped(cut)
    for (const released of this.#released.keys()) if (released >= offset) this.#released.delete(released)
    this.epochs.cutAt(offset)
  }

  /**
   * Notes that the client of an offer did not get the message, or did not process it. It may be offered again at once, which
   * does not count as a retry. So may a parked one, which its holder gives back.
   *
   * @returns false, and nothing is changed: another offer of the message is newer, or it is settled
   */
  released(offset: Offset, serial: number): boolean {
    const offer = this.#openOffer(offset)
    if (offer?.serial !== serial || offer.isInTransaction) return false
    if (offer.holder !== undefined) this.#parked--
    this.#toFormer(offer)
    this.#offers.splice(this.#indexOf(offset), 1)
    this.#released.set(offset, offer)
    return true
  }

  /** The parked offer was not begun: the one before it is the newest one again. */
  #toFormer(offer: OpenOffer): void {
    offer.serial = offer.former ?? offer.serial
    offer.holder = undefined
    offer.former = undefined
  }

  /** True when the acknowledgement of an offer counts: it stands or is over, or was released, and none has begun since. */
  takesAckOf(offset: Offset, serial: number): boolean {
    return this.#takesAckOf(this.#openOffer(offset), offset, serial)
  }

  #takesAckOf(open: OpenOffer | undefined, offset: Offset, serial: number): boolean {
    return (open ?? this.#released.get(offset))?.serial === serial || open?.former === serial
  }

  /** True while the offer stands: none of the message is newer, and its time is not over. */
  stands(offset: Offset, serial: number, now: number): boolean {
    const offer = this.#openOffer(offset)
    return offer?.serial === serial && !offer.isOver && offer.deadlineAt >= now
  }

  /**
   * Returns the offer of the first message that was not acknowledged in time, so that it is offered again. Its time starts
   * again. Messages without retries left count as acknowledged, and are passed to `onGivenUp`.
   */
  nextRetry(now: number, onGivenUp: (offset: Offset) => void): Offer | undefined {
    if (!this.isRetryDue(now)) return undefined
    for (const offer of [...this.#offers]) {
      // A later offer may have an earlier deadline, if this message was offered again.
      if (offer.deadlineAt >= now) continue
      if (!this.#isLastRetry(offer)) {
        offer.retries++
        offer.deadlineAt = now + this.#options.ackTimeoutMs
        offer.isOver = true
        return offer
      }
      this.acked(offer.offset)
      onGivenUp(offer.offset)
    }
    return undefined
  }

  /**
   * Notes that the message of an offer could not be read again. Another attempt follows at `retryAt`. The failed attempt does
   * not count as a retry. Does nothing where another offer of the message is newer, or it is settled, or a transaction
   * has it: it was released while it was read again, and then given to one.
   */
  notAcquiredAgain(offset: Offset, serial: number, retryAt: number): void {
    const offer = this.#openOffer(offset)
    if (offer?.serial !== serial || offer.isInTransaction) return
    offer.retries--
    offer.deadlineAt = retryAt
    this.#firstDeadlineAt = Math.min(this.#firstDeadlineAt, retryAt)
  }

  /** True when a message was not acknowledged in time. */
  isRetryDue(now: number): boolean {
    return this.#firstDeadlineAt < now && (this.nextDeadlineAt ?? now) < now
  }

  /** When the first message may be offered again; `undefined` when no message is offered, or all belong to transactions. */
  get nextDeadlineAt(): number | undefined {
    this.#firstDeadlineAt = this.#offers.reduce(
      (first, { deadlineAt }) => Math.min(first, deadlineAt),
      Number.POSITIVE_INFINITY
    )
    return Number.isFinite(this.#firstDeadlineAt) ? this.#firstDeadlineAt : undefined
  }

  /** Time until the last missing acknowledgement is due. */
  waitMs(now: number): number {
    const offered = this.#offers.filter(({ holder }) => holder === undefined)
    return offered.reduce((longest, { deadlineAt }) => Math.max(longest, deadlineAt - now), 0)
  }

  #openOffer(offset: Offset): OpenOffer | undefined {
    const offer = this.#offers[this.#indexOf(offset)]
    return offer?.offset === offset ? offer : undefined
  }

  #isLastRetry({ retries }: Offer): boolean {
    return this.#options.maxRetries >= 0 && retries >= this.#options.maxRetries
  }

  /** The index of the offer with this offset, or the index at which it would be inserted. */
  #indexOf(offset: Offset): number {
    const offers = this.#offers
    const { length } = offers
    // Most messages are offered in order, and without a gap.
    if (length === 0 || offers[length - 1]!.offset < offset) return length
    const guess = offset - offers[0]!.offset
    if (guess >= 0 && guess < length && offers[guess]!.offset === offset) return guess
    let low = 0
    let high = length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (offers[middle]!.offset < offset) low = middle + 1
      else high = middle
    }
    return low
  }
}
