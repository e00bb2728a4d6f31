import type { MonotonicClock, RecordOutcome } from '../../core/model.js'
import { PLACE_BYTES, type ReceiptClaims, type ReceiptIssuer, runsOf } from '../receipts/receipt-ids.js'
import type { ReceiptAnswer, ReceiptHolder, ReceiptStore, RecordSpan, RecordState } from '../receipts/receipts.js'
import type { MemoryPendingProduce } from './pending-produce.js'

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
type Topics = string | readonly string[]

/** A request whose records are in memory, or were. */
interface KeptRequest {
  readonly pendingProduce: MemoryPendingProduce
  readonly topics: Topics
  readonly reasons: WaitingReasons
  /** To be called when all records are settled. Absent: there was no wait. */
  waits?: Set<() => void>
}

/** Requests that are kept at most, those that are not settled not counted. */
const MAX_REQUESTS = 16_384
/** Records of them. */
const MAX_RECORDS = 262_144
/** Settled requests that make place for new ones, per new one, among those that are kept beyond these limits. */
const SWEPT_PER_REQUEST = 2

/**
 * The receipts of requests whose records are kept in memory. A request is kept while a record of it is held, and
 * afterwards until enough newer ones have come. What is kept is what the request has anyway: its outcomes, as rows.
 */
export class MemoryReceipts implements ReceiptStore {
  readonly #options: MemoryReceiptsOptions
  /** The newest requests, by their number modulo the limit. */
  readonly #requests = new Array<KeptRequest | undefined>(MAX_REQUESTS).fill(undefined)
  /** Older ones with records that are held. */
  readonly #held = new Map<number, KeptRequest>()
  #sweep: Iterator<[number, KeptRequest]> | undefined
  #records = 0
  #oldest = 1
  #last = 0

  constructor(options: MemoryReceiptsOptions) {
    this.#options = options
  }

  /** Gives a receipt for records that delivery has taken. */
  add(holder: ReceiptHolder, pendingProduce: MemoryPendingProduce, topics: Topics, reasons: WaitingReasons): void {
    const number = ++this.#last
    const { places } = holder
    const { recordCount } = pendingProduce
    const accepted = places && runsOf(places.indexes)
    holder.receipt = this.#options.issuer.issue(holder.principal, number, {
      count: places?.count ?? recordCount,
      accepted
    })
    this.#records += recordCount
    while (number - this.#oldest >= MAX_REQUESTS || (this.#records > MAX_RECORDS && this.#oldest < number))
      this.#dropOldest()
    this.#requests[number % MAX_REQUESTS] = { pendingProduce, topics, reasons }
    if (this.#held.size > 0) this.#sweepHeld()
  }

  #dropOldest(): void {
    const number = this.#oldest++
    const request = this.#requests[number % MAX_REQUESTS]!
    this.#requests[number % MAX_REQUESTS] = undefined
    this.#records -= request.pendingProduce.recordCount
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
    const request = number < this.#oldest ? this.#held.get(number) : this.#requests[number % MAX_REQUESTS]
    if (request === undefined || number > this.#last) return undefined
    const { clock, retentionMs } = this.#options
    const { acceptedAt, isComplete } = request.pendingProduce
    return isComplete && clock() - acceptedAt > retentionMs ? undefined : request
  }

  async states(claims: ReceiptClaims, { from, to }: RecordSpan): Promise<ReceiptAnswer> {
    const request = this.#of(claims)
    if (request === undefined) return { type: 'expired' }
    const records = new Array<RecordState>(Math.max(0, to - from)).fill({ state: 'refused' })
    let nth = 0
    for (const { index, count } of claims.accepted) {
      for (let at = Math.max(index, from); at < Math.min(index + count, to); at++)
        records[at - from] = this.#stateOf(request, nth + at - index)
      nth += count
    }
    return { type: 'found', records, isSettled: request.pendingProduce.isComplete }
  }

  #stateOf({ pendingProduce, topics, reasons }: KeptRequest, nth: number): RecordState {
    const outcome = pendingProduce.latestOutcome(nth)
    const topic = typeof topics === 'string' ? topics : topics[nth]!
    if (outcome !== undefined) return settledState(outcome, topic, pendingProduce.refused?.[nth] !== undefined)
    const { clock, now } = this.#options
    const sinceMs = Math.round(now() - (clock() - pendingProduce.acceptedAt))
    return { state: 'waiting', topic, sinceMs, why: reasons.whyWaiting(topic) }
  }

  async settled(claims: ReceiptClaims, signal: AbortSignal): Promise<boolean> {
    const request = this.#of(claims)
    if (request === undefined || request.pendingProduce.isComplete) return true
    if (signal.aborted) return false
    const waits = (request.waits ??= watched(request.pendingProduce))
    await new Promise<void>(resolve => {
      const wake = (): void => {
        waits.delete(wake)
        signal.removeEventListener('abort', wake)
        resolve()
      }
      waits.add(wake)
      signal.addEventListener('abort', wake)
    })
    return request.pendingProduce.isComplete
  }
}

/** Those who are to be woken. A promise would keep what waits for it until it is resolved, also after the wait is over. */
function watched(pendingProduce: MemoryPendingProduce): Set<() => void> {
  const waits = new Set<() => void>()
  void pendingProduce.outcomes().then(() => {
    for (const wake of [...waits]) wake()
  })
  return waits
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
