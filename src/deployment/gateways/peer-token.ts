import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'

/** Headers of a call: the id of the process that calls, that of the called one, and how long the caller waits. */
export const FROM_HEADER = 'castellan-from'
export const TO_HEADER = 'castellan-to'
export const TIMEOUT_HEADER = 'castellan-timeout-ms'
/** A caller waits this much longer than that for an answer, so that the called process can answer that the time is over. */
export const MARGIN_MS = 1_500
/** The header of an answer to `/hello`: what the process serves that not all do, by commas. */
export const SERVES_HEADER = 'castellan-serves'
/** The header of an answer with the id of the process that has answered. */
export const ANSWERED_BY = FROM_HEADER

const digestOf = (text: string): Buffer => createHash('sha256').update(text).digest()

/** The token that all gateways of a deployment have. A call without it is refused. */
export class PeerToken {
  readonly authorization: string
  readonly #digest: Buffer

  constructor(token: string) {
    this.authorization = `Bearer ${Buffer.from(token).toString('base64')}`
    this.#digest = digestOf(this.authorization)
  }

  isIn({ authorization = '' }: IncomingHttpHeaders): boolean {
    // Digests are of one length, so the time of the comparison tells nothing.
    return timingSafeEqual(digestOf(authorization), this.#digest)
  }
}
