import {
  type CarryOut,
  type ForwardedAnswer,
  type ForwardedRequest,
  NOT_SERVED,
  NotCarriedOutError
} from '../../http/api/key-owners.js'
import { AnswerInLines } from '../../http/exchange/kept-response.js'
import type { SentAnswer } from './key-calls.js'
import { NOT_SENT, type PeerError } from './peers.js'

/** Code of a call that too many others keep from being made. */
const OVERLOADED = 'overloaded'

/** Codes of failures after which it is certain that the owner does not carry the request out. */
const REFUSED: readonly (string | undefined)[] = [NotCarriedOutError.code, NOT_SENT, OVERLOADED, NOT_SERVED]

const WHY: ReadonlyMap<string | undefined, NotCarriedOutError['why']> = new Map([
  [OVERLOADED, 'busy'],
  [NOT_SERVED, 'notServed']
])

/**
 * The answer of the owner of a key.
 *
 * @param owner for the answer to the client
 */
export async function answerOf(owner: string, called: Promise<SentAnswer>): Promise<ForwardedAnswer> {
  const answered = await called.catch(({ message, cause }: PeerError) => {
    if (!REFUSED.includes(cause?.code)) throw new Error(`${owner}, which owns the key, does not answer`)
    const why = cause?.code === NOT_SENT ? `cannot be reached: ${message}` : `refuses: ${message}`
    throw new NotCarriedOutError(`${owner}, which owns the key, ${why}`, WHY.get(cause?.code))
  })
  const { answer, ...rest } = answered
  const { status, headers, lines = '', persisted } = answer
  // The bytes of the call would stay in memory with those of the answer.
  const body = Buffer.from(answer.body)
  return { ...rest, answer: headers ? { ...answer, headers, body } : new AnswerInLines(status, lines, body, persisted) }
}

/** The requests of other processes that this one carries out. */
export class RequestsOfOthers {
  readonly #begun = new Set<Promise<ForwardedAnswer>>()
  #isClosed = false

  get isClosed(): boolean {
    return this.#isClosed
  }

  /**
   * @param refusal why none is carried out now
   * @throws NotCarriedOutError
   */
  carryOut(request: ForwardedRequest, carryOut: CarryOut, refusal?: string): Promise<ForwardedAnswer> {
    const why = this.#isClosed ? 'it is stopping' : refusal
    if (why !== undefined) throw new NotCarriedOutError(why)
    const answered = carryOut(request)
    this.#begun.add(answered)
    const end = (): boolean => this.#begun.delete(answered)
    answered.then(end, end)
    return answered
  }

  /** Refuses further ones. @returns when those that were begun have ended */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.allSettled(this.#begun)
  }
}
