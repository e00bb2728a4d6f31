import {
  type CarryOut,
  type ForwardedAnswer,
  type ForwardedRequest,
  NOT_SERVED,
  NotCarriedOutError
} from '../../http/api/key-owners.js'
import { NOT_SENT, type PeerError } from './peers.js'

/** The name of the message that passes a request on to the owner of its key. */
export const KEYED_REQUEST = 'keyed request'

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
export async function answerOf(owner: string, called: Promise<unknown>): Promise<ForwardedAnswer> {
  const answered = await called.catch(({ message, cause }: PeerError) => {
    if (!REFUSED.includes(cause?.code)) throw new Error(`${owner}, which owns the key, does not answer`)
    const why = cause?.code === NOT_SENT ? `cannot be reached: ${message}` : `refuses: ${message}`
    throw new NotCarriedOutError(`${owner}, which owns the key, ${why}`, WHY.get(cause?.code))
  })
  // A process that has just been started handles no messages yet.
  if (answered === undefined) throw new NotCarriedOutError(`${owner}, which owns the key, does not serve yet`)
  const { answer, ...rest } = (answered ?? {}) as ForwardedAnswer
  // A list, or what has a length, would become as many bytes.
  if (!((answer?.body as unknown) instanceof Uint8Array))
    throw new Error(`${owner}, which owns the key, gives no answer that makes sense`)
  return { ...rest, answer: { ...answer, body: Buffer.from(answer.body) } }
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
