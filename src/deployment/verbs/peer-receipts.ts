import { onAbort } from '../../core/ending.js'
import { OverloadedError } from '../../core/errors.js'
import { Shares } from '../../core/shares.js'
import { placeOf } from '../../producer/receipts/receipts.js'
import type {
  FormerReply,
  ProcessReply,
  ReceiptDesk,
  ReceiptQuestion,
  ReceiptReply,
  ReceiptsElsewhere
} from '../../verbs/receipts.js'
import type { PeerError, Peers } from '../calls/peers.js'

const MESSAGE = 'receipt'
/** Time limit for an answer, in addition to the time that the question may wait. */
const ANSWER_MS = 3_000
/** A wait is asked for in parts of this length. The other process keeps a place for it until the part is over. */
const PART_MS = 5_000
/** Waits for receipts of other processes. They leave calls to these free for other questions. */
const MAX_WAITS = 256

type SentQuestion = Omit<ReceiptQuestion, 'signal'>

interface Answer {
  readonly reply?: ProcessReply
}

interface Found<Id> {
  readonly reply: ReceiptReply | FormerReply | undefined
  readonly by?: Id
}

/**
 * Asks other processes for receipts that they have given, and answers their questions. The process that has given a receipt
 * answers; the others say at once that it was not them.
 *
 * @param areAllKnown there are no other processes than those of `peers.others`, also while one of them is away
 */
export function peerReceipts<Id>(
  desk: ReceiptDesk,
  peers: Pick<Peers<Id>, 'call' | 'others' | 'serve'>,
  areAllKnown: boolean
): ReceiptsElsewhere {
  const waits = new Shares(MAX_WAITS, 'waits for receipts of other gateways')
  peers.serve(MESSAGE, async (asked): Promise<Answer> => ({ reply: await desk.readHere(asked as SentQuestion) }))

  /** @throws OverloadedError */
  const ask = async (question: SentQuestion, others: readonly Id[]): Promise<Found<Id>> => {
    const timeoutMs = (question.waitMs ?? 0) + ANSWER_MS
    const asked = others.map(async by => {
      const { reply } = (await peers.call(by, MESSAGE, question, { timeoutMs })) as Answer
      if (reply === undefined || reply.type === 'former') throw new NotHereError(reply)
      return { reply, by }
    })
    return Promise.any(asked).catch((error: AggregateError) => ({ reply: withoutAnswer(error.errors, areAllKnown) }))
  }

  /** Waits until all records are settled, at most until the signal. @returns `undefined`: they are not */
  const wait = async (
    question: SentQuestion,
    waitMs: number,
    signal: AbortSignal | undefined
  ): Promise<Found<Id> | undefined> => {
    const endsAt = performance.now() + waitMs
    for (let others = peers.others; signal?.aborted !== true; ) {
      const startedAt = performance.now()
      const partMs = Math.min(PART_MS, endsAt - startedAt)
      if (partMs <= 0) return undefined
      const found = await unlessAborted(ask({ ...question, isPart: true, waitMs: partMs }, others), signal)
      if (found === undefined) return undefined
      const { reply, by } = found
      if (reply?.type !== 'found' || reply.isSettled) return found
      // A process that stops answers before the time is over.
      if (performance.now() - startedAt < partMs / 2) return undefined
      others = [by!]
    }
    return undefined
  }

  return {
    read: async ({ waitMs = 0, signal, ...question }) => {
      if (waitMs > 0) {
        const release = placeOf(waits, question.client, 'are waited for')
        const found = await wait(question, waitMs, signal).finally(release)
        if (found !== undefined) return found.reply
      }
      return (await ask(question, peers.others)).reply
    }
  }
}

/** @throws OverloadedError when one of those that were asked is overloaded */
function withoutAnswer(errors: readonly unknown[], areAllKnown: boolean): ReceiptReply | FormerReply | undefined {
  const overload = errors.find(error => (error as Partial<PeerError>).cause?.code === 'overloaded')
  if (overload !== undefined) throw new OverloadedError((overload as PeerError).message)
  const refusals = errors.filter(error => error instanceof NotHereError)
  const former = refusals.find(({ reply }) => reply !== undefined)?.reply
  if (former !== undefined) return former
  return refusals.length === errors.length && areAllKnown ? undefined : { type: 'unreachable' }
}

/** A process has answered that it has not given the receipt. */
class NotHereError extends Error {
  readonly reply: FormerReply | undefined

  constructor(reply: FormerReply | undefined) {
    super()
    this.reply = reply
  }
}

/** @returns `undefined`: the signal was first */
function unlessAborted<Result>(result: Promise<Result>, signal: AbortSignal | undefined): Promise<Result | undefined> {
  let end: () => void = () => undefined
  const aborted = new Promise<undefined>(resolve => (end = onAbort(signal, () => resolve(undefined))))
  return Promise.race([result, aborted]).finally(() => end())
}
