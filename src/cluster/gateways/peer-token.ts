import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'

/** What a call says of itself, besides its path and its body. */
export interface CallHead {
  /** Id of the process that calls. */
  readonly from: string
  /** Id of the process that is called. Empty: it is not known yet, so the caller asks for it. */
  readonly to: string
  /** The client on whose behalf the call is made; empty: none. */
  readonly principal: string
  readonly timeoutMs: string
}

/** Headers of a call, by member of {@link CallHead}. */
const HEADERS = {
  from: 'castellan-from',
  to: 'castellan-to',
  principal: 'castellan-principal',
  timeoutMs: 'castellan-timeout-ms'
} as const satisfies Record<keyof CallHead, string>

/** The header of an answer with the id of the process that has answered. */
export const ANSWERED_BY = HEADERS.from

const digestOf = (text: string): Buffer => createHash('sha256').update(text).digest()

/** The token that all gateways of a deployment have. A call without it is refused. */
export class PeerToken {
  readonly #authorization: string
  readonly #digest: Buffer

  constructor(token: string) {
    this.#authorization = `Bearer ${Buffer.from(token).toString('base64')}`
    this.#digest = digestOf(this.#authorization)
  }

  /** The headers of a call. */
  headersOf(head: CallHead): Record<string, string> {
    const told = Object.entries(HEADERS).map(([name, header]) => [header, head[name as keyof CallHead]] as const)
    return {
      authorization: this.#authorization,
      ...Object.fromEntries(told.map(([header, text]) => [header, encodeURIComponent(text)]))
    }
  }

  /** The head of a call; `undefined`: its token is wrong or absent. */
  headOf(headers: IncomingHttpHeaders): CallHead | undefined {
    // Digests are of one length, so the time of the comparison tells nothing.
    if (!timingSafeEqual(digestOf(headers.authorization ?? ''), this.#digest)) return undefined
    const told = Object.entries(HEADERS).map(([name, header]) => [name, decoded(headers[header])] as const)
    return told.some(([, text]) => text === undefined) ? undefined : (Object.fromEntries(told) as unknown as CallHead)
  }
}

function decoded(header: string | string[] | undefined): string | undefined {
  try {
    return typeof header === 'string' ? decodeURIComponent(header) : undefined
  } catch {
    return undefined
  }
}
