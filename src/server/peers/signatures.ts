import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'

/** Largest difference between the clocks of two gateways. A request is refused when its time differs more. */
const MAX_SKEW_MS = 30_000
/** How many numbers below the highest one a sender may still use. One call of a sender seldom overtakes another. */
const WINDOW = 65_536
const BITS = 8
/**
 * After this time without a call, a sender is forgotten. All its earlier requests are refused because of their time by
 * then, also when its clock is ahead.
 */
const FORGET_MS = 2 * MAX_SKEW_MS + 1_000
/** Maximum number of senders that are remembered; each takes {@link WINDOW} bits. A process has a new id at each start. */
const MAX_SENDERS = 1_024

/** Everything in a request that its signature covers, besides method and path. */
export interface RequestHead {
  /** Id of the process that calls. */
  readonly from: string
  /** Id of the process that is called. Empty: it is not known yet, so the caller asks for it. */
  readonly to: string
  /** The client on whose behalf the call is made; empty: none. */
  readonly principal: string
  /** Time of the call, in milliseconds since 1970. */
  readonly time: string
  /** Number of the call, which its sender uses once. */
  readonly nonce: string
  readonly timeoutMs: string
  /** Always 1: a forwarded call is not forwarded again. */
  readonly hop: string
  /** SHA-256 of the body. The signature can therefore be checked before the body is read. */
  readonly digest: string
}

/** Headers of a request, by member of {@link RequestHead}. */
const HEADERS = {
  from: 'castellan-from',
  to: 'castellan-to',
  principal: 'castellan-principal',
  time: 'castellan-time',
  nonce: 'castellan-nonce',
  timeoutMs: 'castellan-timeout-ms',
  hop: 'castellan-hop',
  digest: 'castellan-digest'
} as const satisfies Record<keyof RequestHead, string>

type AnsweredRequest = Pick<RequestHead, 'from' | 'nonce'>

const SIGNATURE = 'castellan-signature'

export const digestOf = (body: Buffer): string => createHash('sha256').update(body).digest('base64url')

/** Signs requests and answers with the common secret, which never leaves the process. */
export class Signer {
  readonly #secret: string

  constructor(secret: string) {
    this.#secret = secret
  }

  /** The headers of a request, with its signature. */
  headersOf(method: string, path: string, head: RequestHead): Record<string, string> {
    const headers = Object.fromEntries(
      Object.entries(HEADERS).map(([name, header]) => [header, encodeURIComponent(head[name as keyof RequestHead])])
    )
    return { ...headers, [SIGNATURE]: this.#request(method, path, head) }
  }

  /** The head of a request; `undefined`: its signature is wrong or absent. */
  verifiedHead(method: string, path: string, headers: IncomingHttpHeaders): RequestHead | undefined {
    const head: Partial<Record<keyof RequestHead, string>> = {}
    for (const [name, header] of Object.entries(HEADERS)) {
      const text = decoded(headers[header])
      if (text === undefined) return undefined
      head[name as keyof RequestHead] = text
    }
    const complete = head as RequestHead
    return isSame(this.#request(method, path, complete), headers[SIGNATURE]) ? complete : undefined
  }

  /** The headers of an answer. They are valid for one request of one caller. */
  answerHeadersOf(request: AnsweredRequest, by: string, status: number, body: Buffer): Record<string, string> {
    const digest = digestOf(body)
    return {
      [HEADERS.from]: by,
      [HEADERS.digest]: digest,
      [SIGNATURE]: this.#answer(request, by, status, digest)
    }
  }

  /** Who gave an answer, and the SHA-256 of its body; `undefined`: its signature is wrong or absent. */
  verifiedAnswer(
    request: AnsweredRequest,
    status: number,
    headers: IncomingHttpHeaders
  ): Pick<RequestHead, 'from' | 'digest'> | undefined {
    const from = decoded(headers[HEADERS.from])
    const digest = decoded(headers[HEADERS.digest])
    if (from === undefined || digest === undefined) return undefined
    return isSame(this.#answer(request, from, status, digest), headers[SIGNATURE]) ? { from, digest } : undefined
  }

  #answer({ from, nonce }: AnsweredRequest, by: string, status: number, digest: string): string {
    return this.#sign(['castellan answer 1', from, nonce, by, status, digest])
  }

  #request(method: string, path: string, head: RequestHead): string {
    const { from, to, principal, time, nonce, timeoutMs, hop, digest } = head
    const signed = [method, path, from, to, principal, time, nonce, timeoutMs, hop, digest]
    return this.#sign(['castellan request 1', ...signed])
  }

  /** JSON keeps the parts apart, so that no two lists have the same text. */
  #sign(parts: readonly (string | number)[]): string {
    return createHmac('sha256', this.#secret).update(JSON.stringify(parts)).digest('base64url')
  }
}

function decoded(header: string | string[] | undefined): string | undefined {
  if (typeof header !== 'string') return undefined
  try {
    return decodeURIComponent(header)
  } catch {
    return undefined
  }
}

function isSame(signature: string, other: string | string[] | undefined): boolean {
  if (typeof other !== 'string') return false
  const [one, two] = [Buffer.from(signature), Buffer.from(other)]
  return one.length === two.length && timingSafeEqual(one, two)
}

interface Sender {
  highest: number
  lastAt: number
  /** One bit for each of the last {@link WINDOW} numbers: set when the number has been used. */
  readonly used: Uint8Array
}

/**
 * Recognizes requests that are sent again. Each sender numbers its requests, and this remembers the last numbers of each
 * sender, so memory does not grow with the number of calls.
 */
export class Replays {
  readonly #senders = new Map<string, Sender>()
  readonly #now: () => number

  /** @param now milliseconds since 1970 */
  constructor(now: () => number) {
    this.#now = now
  }

  /** Number of senders that are remembered. */
  get senders(): number {
    return this.#senders.size
  }

  /**
   * Takes note of a request whose signature is right.
   *
   * @returns why the request must be refused; `undefined`: it is new
   */
  refusalOf({ from, time, nonce }: Pick<RequestHead, 'from' | 'time' | 'nonce'>): string | undefined {
    const now = this.#now()
    const number = Number(nonce)
    if (!(Math.abs(now - Number(time)) <= MAX_SKEW_MS)) return 'the clocks of the gateways differ'
    if (!(Number.isSafeInteger(number) && number > 0)) return 'the number of the call is invalid'
    const sender = this.#senderOf(from, number, now)
    if (sender === undefined) return 'too many gateways call'
    if (!isUnused(sender, number)) return 'the call was repeated'
    sender.lastAt = now
    return undefined
  }

  #senderOf(from: string, number: number, now: number): Sender | undefined {
    const known = this.#senders.get(from)
    if (known !== undefined) return known
    for (const [id, { lastAt }] of this.#senders) if (now - lastAt > FORGET_MS) this.#senders.delete(id)
    if (this.#senders.size >= MAX_SENDERS) return undefined
    const sender = { highest: number - 1, lastAt: now, used: new Uint8Array(WINDOW / BITS) }
    this.#senders.set(from, sender)
    return sender
  }
}

/** Whether a sender uses a number for the first time. Notes the number. */
function isUnused(sender: Sender, number: number): boolean {
  const { used } = sender
  if (number <= sender.highest - WINDOW) return false
  if (number - sender.highest >= WINDOW) used.fill(0)
  else for (let skipped = sender.highest + 1; skipped <= number; skipped++) clear(used, skipped % WINDOW)
  sender.highest = Math.max(sender.highest, number)
  const place = number % WINDOW
  const mask = 1 << (place % BITS)
  const at = Math.floor(place / BITS)
  if ((used[at]! & mask) !== 0) return false
  used[at]! |= mask
  return true
}

function clear(used: Uint8Array, place: number): void {
  used[Math.floor(place / BITS)]! &= ~(1 << (place % BITS))
}
