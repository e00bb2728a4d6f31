import type { OffersByPartition, TopicOffers } from '../../consumer/group/consume-result.js'
import type { Timer } from '../../consumer/group/group-runtime.js'
import { memoryOfRecords } from '../../core/bytes.js'
import { addTo, getOrAdd } from '../../core/maps.js'
import type { HeldRecords, RecordBudget } from '../../core/record-budget.js'
import type { ConsumedMessages } from '../../verbs/verbs.js'
import { EndedIds, keyOfBegun } from '../calls/ended-ids.js'
import type { LendingTime, LoanState, SettledLoans } from '../calls/lending-calls.js'

/** Loans that are out to one gateway, and their bytes until it has them. */
const MAX_LOANS = 1_000
const MAX_BYTES = 64 * 1_048_576
/** Messages that are on their way to other gateways have at most this share of the bytes of all answers. */
const SHARE_OF_RECORDS = 0.5

/** A timer that is so late shows that the process stood still. Calls that arrived meanwhile are handled within the time below. */
const STOOD_STILL_MS = 250
const ARRIVALS_MS = 250

/** A loan that was ended before it began is remembered for this time. */
const ENDED_MS = 60_000

/** How a loan has ended. `lost`: it was not heard of any more, and its messages may be with a client. */
export type LoanResult = Exclude<LoanState, 'had'> | 'lost'

export interface LoansDeps {
  readonly time: LendingTime
  readonly records: RecordBudget
  /** Messages whose arrival is not told for so long are released. */
  readonly loanTimeoutMs: number
  readonly ackTimeoutMs: number
  readonly onEnded: (result: LoanResult, messages: number) => void
}

interface Loan<Id> {
  readonly from: Id
  readonly key: string
  readonly offers: TopicOffers
  readonly lent: OffersByPartition
  readonly messages: number
  readonly held: HeldRecords
  timer: Timer
}

interface UseOfOne {
  loans: number
  bytes: number
}

/**
 * The messages that are out at other gateways. A loan ends once: what names one that has ended changes nothing. It is settled by
 * the serial numbers of its offers, so a later offer of the same message is not touched.
 *
 *   lent ── had ──▶ acknowledged | delivered (from here on an offer of this gateway like any other) | returned
 *     └── not had in time, the gateway is gone ──▶ released, in order
 */
export class Loans<Id> {
  readonly #deps: LoansDeps
  /** Open loans by gateway and number, in the order in which they were lent. */
  readonly #open = new Map<string, Loan<Id>>()
  readonly #ended = new EndedIds(ENDED_MS)
  readonly #uses = new Map<Id, UseOfOne>()
  #bytes = 0

  constructor(deps: LoansDeps) {
    this.#deps = deps
  }

  get size(): number {
    return this.#open.size
  }

  /** Bytes that no other gateway has said to have. */
  get bytes(): number {
    return this.#bytes
  }

  /** Whether a gateway may borrow. */
  mayLend(to: Id): boolean {
    const { loans = 0, bytes = 0 } = this.#uses.get(to) ?? {}
    const { records } = this.#deps
    if (loans >= MAX_LOANS || bytes >= MAX_BYTES) return false
    return this.#bytes < records.maxBytes * SHARE_OF_RECORDS && records.freeBytes > 0
  }

  /** Whether the loan was ended before it began. */
  isEnded(from: Id, id: number): boolean {
    return this.#ended.has(keyOfBegun(from, id), this.#deps.time.clock())
  }

  /** @returns false: it was ended before, and its messages are released */
  add(from: Id, id: number, { messages, offers }: ConsumedMessages): boolean {
    const key = keyOfBegun(from, id)
    const lent = new Map<number, { offset: number; serial: number }[]>()
    for (const { partition, offset, serial } of messages) addTo(lent, partition, { offset, serial })
    if (this.isEnded(from, id) || this.#open.has(key)) {
      offers!.releaseUnread(lent)
      return false
    }
    const held = this.#deps.records.hold(memoryOfRecords(messages))
    const timer = this.#deps.time.after(this.#deps.loanTimeoutMs, () => this.#notHad(loan, dueAt))
    const dueAt = this.#deps.time.clock() + this.#deps.loanTimeoutMs
    const loan: Loan<Id> = { from, key, offers: offers!, lent, messages: messages.length, held, timer }
    this.#open.set(key, loan)
    this.#count(loan, 1, held.bytes)
    return true
  }

  settle(from: Id, { had, acknowledged, delivered, returned }: SettledLoans): void {
    for (const loan of this.#named(from, had)) this.#had(loan)
    for (const loan of this.#named(from, acknowledged, true)) {
      this.#end(loan, 'acknowledged')
      loan.offers.ackAll(loan.lent)
    }
    for (const loan of this.#named(from, delivered, true)) this.#end(loan, 'delivered')
    this.#release(this.#named(from, returned, true), 'returned')
  }

  /** Releases the loans of a gateway that is gone, because their messages may have reached no client. */
  gone(from: Id): void {
    this.#release(
      [...this.#open.values()].filter(loan => loan.from === from),
      'lost'
    )
  }

  /** Releases all loans when this process ends: nothing is settled any more. */
  close(): void {
    this.#release([...this.#open.values()], 'lost')
  }

  /** @param areEnds those of loans that have not begun are remembered */
  #named(from: Id, ids: readonly number[], areEnds = false): Loan<Id>[] {
    const now = this.#deps.time.clock()
    return ids.flatMap(id => {
      const key = keyOfBegun(from, id)
      const loan = this.#open.get(key)
      if (loan === undefined && areEnds) this.#ended.add(key, now)
      return loan ?? []
    })
  }

  /** After this process has stood still, it first handles what has arrived meanwhile. */
  #notHad(loan: Loan<Id>, dueAt: number): void {
    const { time } = this.#deps
    const release = (): void => this.#release([loan], 'lost')
    if (time.clock() - dueAt > STOOD_STILL_MS) loan.timer = time.after(ARRIVALS_MS, release)
    else release()
  }

  #had(loan: Loan<Id>): void {
    const { held, timer } = loan
    this.#count(loan, 0, -held.bytes)
    held.release()
    timer.cancel()
    // After this time, the messages are offered again in any case.
    loan.timer = this.#deps.time.after(this.#deps.ackTimeoutMs, () => this.#end(loan, 'lost'))
  }

  #end(loan: Loan<Id>, result: LoanResult): void {
    if (!this.#open.delete(loan.key)) return
    loan.timer.cancel()
    this.#count(loan, -1, -loan.held.bytes)
    loan.held.release()
    this.#deps.onEnded(result, loan.messages)
  }

  /** Releases loans. Those of a topic are released together, so that their messages are offered in order. */
  #release(loans: readonly Loan<Id>[], result: LoanResult): void {
    const byTopic = new Map<TopicOffers, Map<number, { offset: number; serial: number }[]>>()
    for (const loan of loans) {
      if (!this.#open.has(loan.key)) continue
      this.#end(loan, result)
      const ofTopic = getOrAdd(byTopic, loan.offers, () => new Map())
      for (const [partition, offers] of loan.lent) for (const offer of offers) addTo(ofTopic, partition, offer)
    }
    for (const [offers, lent] of byTopic) offers.releaseUnread(lent)
  }

  #count({ from }: Loan<Id>, loans: number, bytes: number): void {
    this.#bytes += bytes
    const use = this.#uses.get(from) ?? { loans: 0, bytes: 0 }
    use.loans += loans
    use.bytes += bytes
    if (use.loans > 0) this.#uses.set(from, use)
    else this.#uses.delete(from)
  }
}
