import { onAbort } from '../core/ending.js'
import { exactTimestamp, isoOf } from '../core/instants.js'
import { MAX_TIMER_MS } from '../core/model.js'
import type { ReceiptClaims } from '../producer/receipts/receipt-ids.js'
import type { ReceiptAnswer, Receipts, RecordSpan, RecordState } from '../producer/receipts/receipts.js'

export type { RecordState } from '../producer/receipts/receipts.js'

/** The header of answers to produce requests with the id of the receipt. */
export const RECEIPT_HEADER = 'x-castellan-receipt'

/** Records in one answer; the others have to be asked for by `from`. */
export const MAX_RECORDS_OF_ANSWER = 10_000

/** A client asks what became of the records of a request. */
export interface ReceiptQuestion {
  readonly id: string
  /** The names of clients in whose name the receipt may have been given. */
  readonly principals: readonly string[]
  /** How long the answer may wait until all records are settled. Default 0. */
  readonly waitMs?: number | undefined
  /** The index of the first record in the answer. Default 0. */
  readonly from?: number | undefined
  /** Records in the answer at most. Default: 10,000. */
  readonly most?: number | undefined
  /** The client to which a wait counts. `undefined`: it has no share, and may take all free places. */
  readonly client?: string | undefined
  /** The wait goes on with another question: without records unless they are settled. */
  readonly isPart?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

export interface FoundReceipt {
  readonly type: 'found'
  readonly count: number
  /** The index of the first record in this answer. */
  readonly from: number
  readonly records: readonly RecordState[]
  /** No record of the request waits. */
  readonly isSettled: boolean
}

export type ReceiptReply =
  | FoundReceipt
  /** The receipt was never given, or was given to another client. */
  | { readonly type: 'notFound' }
  /** The outcomes of the records are not kept any more. */
  | { readonly type: 'expired' }
  /** The gateway that has given it cannot be asked now. */
  | { readonly type: 'unreachable' }

/**
 * An earlier process at the same place has given the receipt, as far as its id tells: it names the place with 24 bits, so
 * that another process, which still has the records, may have the same name.
 */
export interface FormerReply {
  readonly type: 'former'
}

/** The answer of one process. `undefined`: it has not given the receipt. */
export type ProcessReply = ReceiptReply | FormerReply | undefined

export interface ReceiptsElsewhere {
  /**
   * @returns `undefined`: all of them can be asked, and none has given it
   * @throws OverloadedError when too many wait, here or there
   */
  read(question: ReceiptQuestion): Promise<ProcessReply>
}

const GONE: RecordState = {
  state: 'unknown',
  why: 'the process that had the record in memory has ended, or the durable log with it is not here any more'
}

/** Answers questions about receipts of this process, and asks other processes about theirs. */
export class ReceiptDesk {
  readonly #receipts: Receipts
  readonly #waits = new Set<() => void>()
  #isClosing = false
  /** Absent: this process is the only one. */
  elsewhere: ReceiptsElsewhere | undefined

  constructor(receipts: Receipts) {
    this.#receipts = receipts
  }

  /** @throws OverloadedError */
  async read(question: ReceiptQuestion): Promise<ReceiptReply> {
    const claims = this.#receipts.open(question.id, question.principals)
    if (claims === undefined) return { type: 'notFound' }
    const here = await this.#readHere(claims, question)
    if (here !== undefined && here.type !== 'former') return here
    // A process that has the records knows more than one that has the name of its place.
    const reply = await this.#readElsewhere(question)
    const isGone =
      reply === undefined || reply.type === 'former' || (here !== undefined && reply.type === 'unreachable')
    return isGone ? goneOf(claims, question) : reply
  }

  /** Like {@link read}, but asks no other process. */
  async readHere(question: ReceiptQuestion): Promise<ProcessReply> {
    const claims = this.#receipts.open(question.id, question.principals)
    return claims && this.#readHere(claims, question)
  }

  async #readHere(claims: ReceiptClaims, question: ReceiptQuestion): Promise<ProcessReply> {
    if (!this.#receipts.has(claims)) return this.#receipts.isOfFormer(claims) ? { type: 'former' } : undefined
    const { from = 0, most, client, isPart = false } = question
    const mayWait = this.#mayWait(question)
    const release = this.#receipts.takePlace(mayWait ? 'wait' : 'look', client)
    try {
      const settled = (ends: AbortSignal): Promise<boolean> => this.#receipts.settled(claims, ends)
      const isSettled = !mayWait || (await this.#withinWait(question, settled))
      const span = isPart && !isSettled ? spanOf(claims, claims.count) : spanOf(claims, from, most)
      const answer = await this.#receipts.states(claims, span)
      return answer && replyOf(claims, span, answer)
    } finally {
      release()
    }
  }

  async #readElsewhere(question: ReceiptQuestion): Promise<ProcessReply> {
    const { elsewhere } = this
    if (!this.#mayWait(question)) return elsewhere?.read({ ...question, waitMs: 0 })
    return this.#withinWait(question, async signal => elsewhere?.read({ ...question, signal }))
  }

  #mayWait({ waitMs = 0 }: ReceiptQuestion): boolean {
    return waitMs > 0 && !this.#isClosing
  }

  /** Passes on a signal that ends the wait: its time is over, the client has left, or the process stops. */
  async #withinWait<Result>(
    { waitMs = 0, signal }: ReceiptQuestion,
    wait: (ends: AbortSignal) => Promise<Result>
  ): Promise<Result> {
    const ends = new AbortController()
    const end = (): void => ends.abort()
    const timer = setTimeout(end, Math.min(waitMs, MAX_TIMER_MS))
    this.#waits.add(end)
    const leave = onAbort(signal, end)
    try {
      return await wait(ends.signal)
    } finally {
      clearTimeout(timer)
      this.#waits.delete(end)
      leave()
    }
  }

  /** Ends all waits; they are answered with what is known. */
  endWaits(): void {
    this.#isClosing = true
    for (const end of this.#waits) end()
  }
}

const spanOf = ({ count }: ReceiptClaims, from: number, most = MAX_RECORDS_OF_ANSWER): RecordSpan => ({
  from: Math.min(Math.max(0, from), count),
  to: Math.min(count, Math.max(0, from) + Math.min(most, MAX_RECORDS_OF_ANSWER))
})

function replyOf({ count }: ReceiptClaims, { from }: RecordSpan, answer: ReceiptAnswer): ReceiptReply {
  if (answer.type === 'expired') return answer
  const { records, isSettled } = answer
  return { type: 'found', count, from, records, isSettled }
}

/** The answer for a receipt whose place does not exist any more. */
function goneOf(claims: ReceiptClaims, { from = 0, most }: ReceiptQuestion): ReceiptReply {
  const span = spanOf(claims, from, most)
  const isAccepted = (index: number): boolean =>
    claims.accepted.some(run => index >= run.index && index < run.index + run.count)
  const records = Array.from(
    { length: span.to - span.from },
    (_, nth): RecordState => (isAccepted(span.from + nth) ? GONE : { state: 'refused' })
  )
  return { type: 'found', count: claims.count, from: span.from, records, isSettled: true }
}

export function receiptJson(id: string, found: FoundReceipt): object {
  const { count, from, records, isSettled } = found
  const next = from + records.length
  return { receipt: id, settled: isSettled, count, records: statesJson(found), ...(next < count && { next }) }
}

/** The records of an answer, as {@link receiptJson} has them. */
export const statesJson = ({ from, records }: Pick<FoundReceipt, 'from' | 'records'>): readonly object[] =>
  records.map((state, nth) => ({ index: from + nth, ...stateJson(state) }))

function stateJson(state: RecordState): object {
  switch (state.state) {
    case 'waiting': {
      const { topic, sinceMs, why } = state
      return {
        state: 'waiting',
        topic,
        since: sinceMs === undefined ? undefined : isoOf(sinceMs)!,
        why
      }
    }
    case 'inKafka': {
      const { topic, partition, offset, timestampMs } = state
      const place = { topic, partition, offset: offset < 0 ? null : offset }
      return { state: 'inKafka', ...place, timestamp: timestampMs < 0 ? null : exactTimestamp(timestampMs) }
    }
    default:
      return state
  }
}
