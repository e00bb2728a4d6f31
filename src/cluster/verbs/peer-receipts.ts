import { OverloadedError } from '../../core/errors.js'
import { Shares } from '../../core/shares.js'
import type {
  FormerReply,
  ProcessReply,
  ReceiptDesk,
  ReceiptQuestion,
  ReceiptReply,
  ReceiptsElsewhere
} from '../../gateway/receipts.js'
import { placeOf } from '../../producer/receipts/receipts.js'
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

/** Asks other processes for receipts that they have given, and answers their questions. */
export class PeerReceipts<Id> implements ReceiptsElsewhere {
  readonly #peers: Pick<Peers<Id>, 'call' | 'others'>
  readonly #areAllKnown: boolean
  readonly #waits = new Shares(MAX_WAITS)

  /** @param areAllKnown there are no other processes than those of `peers.others`, also while one of them is away */
  constructor(desk: ReceiptDesk, peers: Pick<Peers<Id>, 'call' | 'others' | 'serve'>, areAllKnown: boolean) {
    this.#peers = peers
    this.#areAllKnown = areAllKnown
    peers.serve(MESSAGE, async (asked): Promise<Answer> => ({ reply: await desk.readHere(asked as SentQuestion) }))
  }

  /** The process that has given the receipt answers; the others say at once that it was not them. */
  async read({ waitMs = 0, signal, ...question }: ReceiptQuestion): Promise<ProcessReply> {
    if (waitMs > 0) {
      const release = placeOf(this.#waits, question.client, 'are waited for')
      try {
        const found = await this.#wait(question, waitMs, signal)
        if (found !== undefined) return found.reply
      } finally {
        release()
      }
    }
    const { reply } = await this.#ask(question, this.#peers.others)
    return reply
  }

  /**
   * Waits until all records are settled, at most until the signal.
   *
   * @returns `undefined`: they are not
   */
  async #wait(question: SentQuestion, waitMs: number, signal: AbortSignal | undefined): Promise<Found<Id> | undefined> {
    const endsAt = performance.now() + waitMs
    for (let others = this.#peers.others; signal?.aborted !== true; ) {
      const startedAt = performance.now()
      const partMs = Math.min(PART_MS, endsAt - startedAt)
      if (partMs <= 0) return undefined
      const found = await unlessAborted(this.#ask({ ...question, isPart: true, waitMs: partMs }, others), signal)
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
  async #ask(question: SentQuestion, others: readonly Id[]): Promise<Found<Id>> {
    const timeoutMs = (question.waitMs ?? 0) + ANSWER_MS
    const asked = others.map(async by => {
      const { reply } = (await this.#peers.call(by, MESSAGE, question, { timeoutMs })) as Answer
      if (reply === undefined || reply.type === 'former') throw new NotHereError(reply)
      return { reply, by }
    })
    try {
      return await Promise.any(asked)
    } catch (error) {
      return { reply: this.#withoutAnswer((error as AggregateError).errors) }
    }
  }

  #withoutAnswer(errors: readonly unknown[]): ReceiptReply | FormerReply | undefined {
    const overload = errors.find(error => (error as Partial<PeerError>).cause?.code === 'overloaded')
    if (overload !== undefined) throw new OverloadedError((overload as PeerError).message)
    const refusals = errors.filter(error => error instanceof NotHereError)
    const former = refusals.find(({ reply }) => reply !== undefined)?.reply
    if (former !== undefined) return former
    return refusals.length === errors.length && this.#areAllKnown ? undefined : { type: 'unreachable' }
  }
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
async function unlessAborted<Result>(
  result: Promise<Result>,
  signal: AbortSignal | undefined
): Promise<Result | undefined> {
  let end: () => void = () => undefined
  const aborted = new Promise<undefined>(resolve => (end = () => resolve(undefined)))
  signal?.addEventListener('abort', end)
  try {
    return await Promise.race([result, aborted])
  } finally {
    signal?.removeEventListener('abort', end)
  }
}
