import { unlessAborted } from '../../core/ending.js'
import { OverloadedError } from '../../core/errors.js'
import { Shares } from '../../core/shares.js'
import { placeOf } from '../../producer/receipts/receipts.js'
import type { ProcessReply, ReceiptDesk, ReceiptQuestion, ReceiptsElsewhere } from '../../verbs/receipts.js'
import { ask, serve } from '../calls/call.js'
import { type AnswerOfPeer, askAll, type Peers } from '../calls/peers.js'
import type { ReceiptFound, SentQuestion } from '../calls/receipt-calls.js'
import { CALLS } from '../calls/table.js'

/** A wait is asked for in parts of this length. The other process keeps a place for it until the part is over. */
const PART_MS = 5_000
/** Waits for receipts of other processes. They leave calls to these free for other questions. */
const MAX_WAITS = 256

interface FoundByPeer<Id> {
  readonly reply: ProcessReply
  readonly by?: Id
}

/**
 * Asks other processes for receipts that they have given, and answers their questions. The process that has given a
 * receipt answers; the others say at once that they have not.
 */
export function peerReceipts<Id>(desk: ReceiptDesk, peers: Peers<Id>): ReceiptsElsewhere {
  serve(peers, CALLS.receipt, async asked => ({ reply: await desk.readHere(asked) }))
  return new PeerReceipts(peers)
}

class PeerReceipts<Id> implements ReceiptsElsewhere {
  readonly #peers: Peers<Id>
  readonly #waits = new Shares(MAX_WAITS, 'waits for receipts of other gateways')

  constructor(peers: Peers<Id>) {
    this.#peers = peers
  }

  async read({ waitMs = 0, signal, ...question }: ReceiptQuestion): Promise<ProcessReply> {
    if (waitMs > 0) {
      const release = placeOf(this.#waits, question.client, 'are waited for')
      const found = await this.#wait(question, waitMs, signal).finally(release)
      if (found !== undefined) return found.reply
    }
    return (await this.#ask(question, this.#peers.others)).reply
  }

  /** Waits until all records are settled, at most until the signal. @returns `undefined`: they are not */
  async #wait(
    question: SentQuestion,
    waitMs: number,
    signal: AbortSignal | undefined
  ): Promise<FoundByPeer<Id> | undefined> {
    const endsAt = performance.now() + waitMs
    for (let { others } = this.#peers; signal?.aborted !== true; ) {
      const startedAt = performance.now()
      const partMs = Math.min(PART_MS, endsAt - startedAt)
      if (partMs <= 0) return undefined
      const asked = this.#ask({ ...question, isPart: true, waitMs: partMs }, others)
      const found = await unlessAborted(asked, signal, () => undefined)
      if (found === undefined) return undefined
      const { reply, by } = found
      if (reply?.type !== 'found' || reply.isSettled) return found
      // A process that stops answers before the time is over.
      if (performance.now() - startedAt < partMs / 2) return undefined
      others = [by!]
    }
    return undefined
  }

  /** @throws OverloadedError */
  async #ask(question: SentQuestion, others: readonly Id[]): Promise<FoundByPeer<Id>> {
    const { waitMs } = question
    const told = await askAll(others, by => ask(this.#peers, by, CALLS.receipt, question, { waitMs }), isKnown)
    const { by, answer } = told.find(one => isKnown(one.answer)) ?? {}
    return by === undefined ? { reply: withoutAnswer(told) } : { reply: answer?.reply, by }
  }
}

/** The process has given the receipt. */
const isKnown = ({ reply }: ReceiptFound = {}): boolean => reply !== undefined && reply.type !== 'former'

/** @throws OverloadedError when one of those that were asked is overloaded */
function withoutAnswer(told: readonly AnswerOfPeer<unknown, ReceiptFound>[]): ProcessReply {
  const overload = told.find(({ error }) => error?.cause?.code === 'overloaded')?.error
  if (overload !== undefined) throw new OverloadedError(overload.message)
  const former = told.find(({ answer }) => answer?.reply !== undefined)?.answer?.reply
  return former ?? { type: 'unreachable' }
}
