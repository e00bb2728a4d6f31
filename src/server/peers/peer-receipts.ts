import type { ReceiptDesk, ReceiptQuestion, ReceiptReply, ReceiptsElsewhere } from '../../gateway/receipts.js'
import type { Peers } from './peers.js'

const MESSAGE = 'receipt'
/** Time limit for an answer, in addition to the time that the question may wait. */
const ANSWER_MS = 3_000

/** A question as it is sent to another process. */
type SentQuestion = Omit<ReceiptQuestion, 'signal'>

/** `undefined`: the process has not given the receipt. */
interface Answer {
  readonly reply?: ReceiptReply | undefined
}

/** Asks other processes for receipts that they have given, and answers their questions. */
export class PeerReceipts<Id> implements ReceiptsElsewhere {
  readonly #peers: Pick<Peers<Id>, 'call' | 'others'>
  readonly #areAllKnown: boolean

  /** @param areAllKnown there are no other processes than those of `peers.others`, also while one of them is away */
  constructor(desk: ReceiptDesk, peers: Pick<Peers<Id>, 'call' | 'others' | 'serve'>, areAllKnown: boolean) {
    this.#peers = peers
    this.#areAllKnown = areAllKnown
    peers.serve(
      MESSAGE,
      async (question): Promise<Answer> => ({ reply: await desk.readHere(question as SentQuestion) })
    )
  }

  /** The process that has given the receipt answers; the others say at once that it was not them. */
  async read({ signal: _, ...question }: ReceiptQuestion): Promise<ReceiptReply | undefined> {
    const timeoutMs = (question.waitMs ?? 0) + ANSWER_MS
    const asked = this.#peers.others.map(async to => {
      const { reply } = (await this.#peers.call(to, MESSAGE, question, { timeoutMs })) as Answer
      if (reply === undefined) throw new NotHereError()
      return reply
    })
    try {
      return await Promise.any(asked)
    } catch (error) {
      const { errors } = error as AggregateError
      const haveAllAnswered = errors.every(one => one instanceof NotHereError)
      return haveAllAnswered && this.#areAllKnown ? undefined : { type: 'unreachable' }
    }
  }
}

/** A process has answered that it has not given the receipt. */
class NotHereError extends Error {}
