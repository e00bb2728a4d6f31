import {
  type CarryOut,
  type ForwardedAnswer,
  type ForwardedRequest,
  NotCarriedOutError
} from '../../http/api/key-owners.js'
import type { PeerError } from './peers.js'

/** The name of the message that passes a request on to the owner of its key. */
export const KEYED_REQUEST = 'keyed request'

/** Codes of failures after which it is certain that the owner does not carry the request out. */
const REFUSED: readonly (string | undefined)[] = [NotCarriedOutError.code, 'overloaded']

/**
 * The answer of the owner of a key.
 *
 * @param owner for the answer to the client
 */
export async function answerOf(owner: string, called: Promise<unknown>): Promise<ForwardedAnswer> {
  const answered = await called.catch((error: PeerError) => {
    const { message, cause } = error
    if (REFUSED.includes(cause?.code)) throw new NotCarriedOutError(`${owner}, which owns the key, refuses: ${message}`)
    throw new Error(`${owner}, which owns the key, does not answer`)
  })
  // A process that has just been started handles no messages yet.
  if (answered === undefined) throw new NotCarriedOutError(`${owner}, which owns the key, does not serve yet`)
  const { answer, ...rest } = answered as ForwardedAnswer
  return { ...rest, answer: { ...answer, body: Buffer.from(answer.body) } }
}

/**
 * Carries out a request of another process.
 *
 * @param refusal why none is carried out now
 */
export function carriedOut(
  request: ForwardedRequest,
  carryOut: CarryOut,
  refusal: string | undefined
): Promise<ForwardedAnswer> {
  if (refusal !== undefined) throw new NotCarriedOutError(refusal)
  return carryOut(request)
}
