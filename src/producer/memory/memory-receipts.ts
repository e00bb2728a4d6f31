import { getOrAdd } from '../../core/maps.js'
import { MAX_TIMER_MS, type MonotonicClock, type RecordOutcome } from '../../core/model.js'
import { Waiters } from '../../core/waiters.js'
import { PLACE_BYTES, type ReceiptClaims, type ReceiptIssuer, runsOf } from '../receipts/receipt-ids.js'
import type { ReceiptAnswer, ReceiptHolder, ReceiptStore, RecordSpan, RecordState } from '../receipts/receipts.js'
import { type DeliveredRow, type DeliverySubscriber, MemoryPendingProduce } from './pending-produce.js'

export interface MemoryReceiptsOptions {
  readonly issuer: ReceiptIssuer
  readonly retentionMs: number
  readonly clock: MonotonicClock
  /** Epoch milliseconds. */
  readonly now: () => number
}

/** Why Kafka does not have a record of a topic yet. */
export interface WaitingReasons {
  whyWaiting(topic: string): string
}

/** The topic of all records of a request, or that of each. */
export type Topics = string | readonly string[]

/** A request whose records are in memory, or were. */
interface KeptRequest {
  readonly pendingProduce: MemoryPendingProduce
  readonly topics: Topics
  readonly reasons: WaitingReasons
}

/** Limit of kept requests. Older ones that are not settled yet are kept beyond it. */
const MAX_REQUESTS = 16_384
/** Limit of the records of kept requests. */
const MAX_RECORDS = 262_144
/** Number of requests beyond these limits that are checked with each new request, and removed if they are settled. */
const SWEPT_PER_REQUEST = 2

/**
 * The receipts of requests whose records are kept in memory. A request is kept while a record of it is held, and
 * afterwards until enough newer ones have come.
 *
 * Nearly all requests are delivered in one row: these are kept as numbers only. Objects that are kept would outlive the young
 * generation of the garbage collector, which costs more than everything else here: measured, 14 of 21 µs per request.
 */
export class MemoryReceipts implements ReceiptStore, DeliverySubscriber {
  readonly #options: MemoryReceiptsOptions
  /** The newest requests, by their number modulo the limit. */
  readonly #slots = new Slots(MAX_REQUESTS)
  /** Older ones with records that are held. */
  readonly #held = new Map<number, KeptRequest>()
  /** The waits until all records of a request are settled. */
  readonly #waiters = new WeakMap<MemoryPendingProduce, Waiters>()
  #sweep: Iterator<[number, KeptRequest]> | undefined
  #records = 0
  #oldest = 1
  #last = 0

  constructor(options: MemoryReceiptsOptions) {
    this.#options = options
  }

  add(holder: ReceiptHolder, pendingProduce: MemoryPendingProduce, topics: Topics, reasons: WaitingReasons): void {
    const number = ++this.#last
    const { places } = holder
    const { recordCount } = pendingProduce
    const accepted = places && runsOf(places.indexes)
    holder.receipt = this.#options.issuer.issue(holder.principal, number, {
      count: places?.count ?? recordCount,
      accepted
    })
    if (holder.isAsked !== true) pendingProduce.receipt = holder.receipt
    this.#records += recordCount
    while (number - this.#oldest >= MAX_REQUESTS || (this.#records > MAX_RECORDS && this.#oldest < number))
      this.#dropOldest()
    this.#slots.take(number % MAX_REQUESTS, pendingProduce, topics, reasons)
    pendingProduce.subscribe(this, number)
    if (this.#held.size > 0) this.#sweepHeld()
  }

  delivered(number: number, row: DeliveredRow): void {
    if (number >= this.#oldest) this.#slots.deliver(number % MAX_REQUESTS, row)
  }

  #dropOldest(): void {
    const number = this.#oldest++
    const slot = number % MAX_REQUESTS
    this.#records -= this.#slots.countIn(slot)
    if (this.#slots.isDelivered(slot)) return
    const request = this.#slots.requestIn(slot)
    if (!request.pendingProduce.isComplete) this.#held.set(number, request)
  }

  #sweepHeld(): void {
    for (let swept = 0; swept < SWEPT_PER_REQUEST; swept++) {
      this.#sweep ??= this.#held.entries()
      const next = this.#sweep.next()
      if (next.done === true) {
        this.#sweep = undefined
        return
      }
      const [number, { pendingProduce }] = next.value
      if (pendingProduce.isComplete) this.#held.delete(number)
    }
  }

  has({ kind, issuer }: ReceiptClaims): boolean {
    return kind === 'memory' && issuer === this.#options.issuer.id
  }

  isOfFormer({ kind, issuer }: ReceiptClaims): boolean {
    const own = this.#options.issuer.id
    const isHere = issuer.slice(0, 2 * PLACE_BYTES) === own.slice(0, 2 * PLACE_BYTES)
    return kind === 'memory' && isHere && issuer !== own
  }

  #of({ number }: ReceiptClaims): KeptRequest | undefined {
    if (number > this.#last) return undefined
    const slot = number % MAX_REQUESTS
    const request = number < this.#oldest ? this.#held.get(number) : this.#slots.requestIn(slot)
    if (request === undefined) return undefined
    const { clock, retentionMs } = this.#options
    const { acceptedAt, isComplete } = request.pendingProduce
    return isComplete && clock() - acceptedAt > retentionMs ? undefined : request
  }

  async states(claims: ReceiptClaims, { from, to }: RecordSpan): Promise<ReceiptAnswer> {
    const request = this.#of(claims)
    if (request === undefined) return { type: 'expired' }
    const records = new Array<RecordState>(Math.max(0, to - from)).fill({ state: 'refused' })
    const reasons = new Map<string, string>()
    let nth = 0
    for (const { index, count } of claims.accepted) {
      for (let at = Math.max(index, from); at < Math.min(index + count, to); at++)
        records[at - from] = this.#stateOf(request, nth + at - index, reasons)
      nth += count
    }
    return { type: 'found', records, isSettled: request.pendingProduce.isComplete }
  }

  /** @param known why records wait, by topic: to find it takes a look at all partitions */
  #stateOf({ pendingProduce, topics, reasons }: KeptRequest, nth: number, known: Map<string, string>): RecordState {
    const outcome = pendingProduce.latestOutcome(nth)
    const topic = typeof topics === 'string' ? topics : topics[nth]!
    if (outcome !== undefined) return settledState(outcome, topic, pendingProduce.refused?.[nth] !== undefined)
    const { clock, now } = this.#options
    const sinceMs = Math.round(now() - (clock() - pendingProduce.acceptedAt))
    return { state: 'waiting', topic, sinceMs, why: getOrAdd(known, topic, () => reasons.whyWaiting(topic)) }
  }

  async settled(claims: ReceiptClaims, signal: AbortSignal): Promise<boolean> {
    const request = this.#of(claims)
    if (request === undefined || request.pendingProduce.isComplete) return true
    let waiters = this.#waiters.get(request.pendingProduce)
    if (waiters === undefined) this.#waiters.set(request.pendingProduce, (waiters = waitersFor(request.pendingProduce)))
    await waiters.wait(MAX_TIMER_MS, signal)
    return request.pendingProduce.isComplete
  }
}

const NOTHING_WAITS: WaitingReasons = { whyWaiting: () => '' }

/** Requests, each in its slot: as numbers if all records were delivered in one row. */
class Slots {
  readonly #pending: (MemoryPendingProduce | undefined)[]
  readonly #topics: (Topics | undefined)[]
  readonly #reasons: WaitingReasons[]
  readonly #counts: Int32Array
  readonly #acceptedAt: Float64Array
  readonly #partitions: Int32Array
  readonly #offsets: Float64Array
  readonly #timestamps: Float64Array

  constructor(size: number) {
    this.#pending = new Array<MemoryPendingProduce | undefined>(size).fill(undefined)
    this.#topics = new Array<Topics | undefined>(size).fill(undefined)
    this.#reasons = new Array<WaitingReasons>(size).fill(NOTHING_WAITS)
    this.#counts = new Int32Array(size)
    this.#acceptedAt = new Float64Array(size)
    this.#partitions = new Int32Array(size)
    this.#offsets = new Float64Array(size)
    this.#timestamps = new Float64Array(size)
  }

  take(slot: number, pendingProduce: MemoryPendingProduce, topics: Topics, reasons: WaitingReasons): void {
    this.#pending[slot] = pendingProduce
    this.#topics[slot] = topics
    this.#reasons[slot] = reasons
    this.#counts[slot] = pendingProduce.recordCount
    this.#acceptedAt[slot] = pendingProduce.acceptedAt
  }

  deliver(slot: number, { partition, offset, timestampMs }: DeliveredRow): void {
    this.#pending[slot] = undefined
    this.#partitions[slot] = partition
    this.#offsets[slot] = offset
    this.#timestamps[slot] = timestampMs
  }

  /** Records of the request. */
  countIn(slot: number): number {
    return this.#counts[slot]!
  }

  /** All its records were delivered in one row, so that it is kept as numbers. */
  isDelivered(slot: number): boolean {
    return this.#pending[slot] === undefined
  }

  requestIn(slot: number): KeptRequest {
    const pendingProduce = this.#pending[slot] ?? this.#deliveredIn(slot)
    return { pendingProduce, topics: this.#topics[slot]!, reasons: this.#reasons[slot]! }
  }

  #deliveredIn(slot: number): MemoryPendingProduce {
    const count = this.#counts[slot]!
    const pendingProduce = new MemoryPendingProduce(count, Number.POSITIVE_INFINITY, this.#acceptedAt[slot]!)
    const [partition, offset, timestampMs] = [this.#partitions[slot]!, this.#offsets[slot]!, this.#timestamps[slot]!]
    pendingProduce.delivered(0, count, partition, offset, timestampMs)
    return pendingProduce
  }
}

/**
 * The waits until the request is settled. A promise instead would keep its waiters in memory until it is resolved, even
 * after their wait is over.
 */
function waitersFor(pendingProduce: MemoryPendingProduce): Waiters {
  const waiters = new Waiters()
  void pendingProduce.outcomes().then(() => waiters.wake())
  return waiters
}

function settledState(outcome: RecordOutcome, topic: string, isRefused: boolean): RecordState {
  if (outcome.type === 'delivered') {
    const { partition, offset, timestampMs } = outcome
    return { state: 'inKafka', topic, partition, offset, timestampMs }
  }
  if (isRefused) return { state: 'refused' }
  const { message: why, persisted } = outcome
  return persisted === 'no' ? { state: 'lost', topic, why } : { state: 'unknown', why }
}

/** The topic of all records, or that of each. */
export function topicsOf(records: readonly { readonly topic: string }[]): Topics {
  const { topic = '' } = records[0] ?? {}
  for (let at = 1; at < records.length; at++)
    if (records[at]!.topic !== topic) return records.map(record => record.topic)
  return topic
}
