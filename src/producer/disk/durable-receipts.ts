import type { DurableLog } from '../log/durable-log.js'
import type { KnownEntries } from '../log/log-store.js'
import type { SequenceRange } from '../log/segment.js'
import { acceptedCount, type ReceiptClaims } from '../receipts/receipt-ids.js'
import type { ReceiptAnswer, ReceiptStore, RecordSpan, RecordState } from '../receipts/receipts.js'

export interface DurableReceiptsOptions {
  /** `undefined`: the log is not open. */
  readonly logOf: () => DurableLog | undefined
  readonly whyOpen: (destination: string, range: SequenceRange) => WhyOpen
}

/** Tells why Kafka does not have an open entry of a destination yet; to be asked in the same tick. */
export type WhyOpen = (sequence: number) => string

const LOST_SIGHT: RecordState = {
  state: 'unknown',
  why: 'its outcome was not kept: receipts were switched off when it was settled, the disk had no space for it, or files of the durable log are damaged'
}
const SET_ASIDE: RecordState = {
  state: 'waiting',
  why: 'set aside: the disk cannot read it; castellan wal salvage reads what can be read'
}
const NOT_KEPT: RecordState = { state: 'unknown', why: 'its outcome is not kept any more' }
const REFUSED: RecordState = { state: 'refused' }

/** A cluster's name may hold slashes, a topic's may not. */
export const topicOf = (destination: string): string => destination.slice(destination.lastIndexOf('/') + 1)

/**
 * The receipts of the durable log. Their ids name the entries, so nothing is kept for a record that waits; what became of
 * completed entries is in files of the log.
 */
export class DurableReceipts implements ReceiptStore {
  readonly #options: DurableReceiptsOptions

  constructor(options: DurableReceiptsOptions) {
    this.#options = options
  }

  has({ kind, issuer }: ReceiptClaims): boolean {
    return kind === 'disk' && this.#options.logOf()?.logId?.toString('hex') === issuer
  }

  async states(claims: ReceiptClaims, { from, to }: RecordSpan): Promise<ReceiptAnswer> {
    const sequences = sequencesOf(claims, from, to)
    const all = { first: claims.number, count: acceptedCount(claims) }
    const log = this.#options.logOf()!
    const isAll = sequences.length === all.count
    const range = isAll ? all : rangeOf(sequences, all.first)
    const known = await log.states(range)
    const isSettled = (isAll ? known.open : await log.openRuns(all)).length === 0
    const open = new Map(known.open.map(({ sequence, destination }) => [sequence, destination]))
    const isExpired = (sequence: number): boolean =>
      sequence <= known.expiredUpTo && !open.has(sequence) && !known.outcomes.has(sequence)
    if (sequences.length > 0 && sequences.every(sequence => sequence === undefined || isExpired(sequence))) {
      if (sequences.some(sequence => sequence !== undefined)) return { type: 'expired' }
    }
    const reasons = new Map<string, WhyOpen>()
    const waiting = (destination: string, sequence: number): RecordState => {
      let whyOpen = reasons.get(destination)
      if (whyOpen === undefined) reasons.set(destination, (whyOpen = this.#options.whyOpen(destination, range)))
      return { state: 'waiting', topic: topicOf(destination), sinceMs: known.openSinceMs, why: whyOpen(sequence) }
    }
    const records = sequences.map(sequence => {
      if (sequence === undefined) return REFUSED
      const destination = open.get(sequence)
      if (destination !== undefined) return waiting(destination, sequence)
      const isAside = open.has(sequence)
      return stateOf(known, sequence) ?? (isAside ? SET_ASIDE : isExpired(sequence) ? NOT_KEPT : LOST_SIGHT)
    })
    return { type: 'found', records, isSettled }
  }

  settled(claims: ReceiptClaims, signal: AbortSignal): Promise<boolean> {
    return this.#options.logOf()!.settled({ first: claims.number, count: acceptedCount(claims) }, signal)
  }
}

/** The sequences of records, in the order of their request; `undefined` for refused ones. */
function sequencesOf({ number, accepted }: ReceiptClaims, from: number, to: number): (number | undefined)[] {
  const sequences = new Array<number | undefined>(Math.max(0, to - from)).fill(undefined)
  let sequence = number
  for (const { index, count } of accepted) {
    for (let at = Math.max(index, from); at < Math.min(index + count, to); at++)
      sequences[at - from] = sequence + at - index
    sequence += count
  }
  return sequences
}

function rangeOf(sequences: readonly (number | undefined)[], fallback: number): SequenceRange {
  const named = sequences.filter(sequence => sequence !== undefined)
  const first = named[0] ?? fallback
  return { first, count: (named.at(-1) ?? first - 1) - first + 1 }
}

function stateOf({ outcomes }: KnownEntries, sequence: number): RecordState | undefined {
  const outcome = outcomes.get(sequence)
  if (outcome === undefined) return undefined
  const topic = topicOf(outcome.destination)
  if (outcome.type === 'deadLetter') return { state: 'deadLetter', topic, code: outcome.code, why: outcome.message }
  const { partition, offset, timestampMs } = outcome
  return { state: 'inKafka', topic, partition, offset, timestampMs }
}
