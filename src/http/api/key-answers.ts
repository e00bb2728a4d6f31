import { errorCodeOf } from '../../core/error-code-of.js'
import type { CastellanError, ErrorCode } from '../../core/errors.js'
import type { ClaimedKey } from '../../producer/keys/claimed-key.js'
import type { Claim } from '../../producer/keys/local-keys.js'
import { PERSISTED_HEADER } from '../../verbs/persisted.js'
import { refusalHeaders, refusalStatus } from '../access/access.js'
import { endWithLines, noteFailure } from '../exchange/answers.js'
import { addressOf } from '../exchange/client.js'
import type { Exchange } from '../exchange/exchange.js'
import type { WrittenAnswer } from '../exchange/kept-response.js'
import { problemAnswer } from '../exchange/modern-answers.js'
import { holdMade } from '../exchange/room.js'
import type { ApiProducer } from './api-producer.js'
import type { KeyOwners } from './key-owners.js'

/** Response header with the reach of a key: `gateway` or `deployment`. */
export const REACH_HEADER = 'x-castellan-idempotency'
/** An answer that was given before. */
export const REPLAYED_HEADER = 'idempotent-replayed'
const REQUEST_ID = 'x-request-id'
/** The lines before the id of the request, by where its key is known. */
const ID_STARTS = {
  gateway: `${REACH_HEADER}: gateway\r\n${REQUEST_ID}: `,
  deployment: `${REACH_HEADER}: deployment\r\n${REQUEST_ID}: `
}
/** Headers that belong to one answer, not to the request. */
const OF_ONE_ANSWER: ReadonlySet<string> = new Set([REQUEST_ID, 'connection', 'content-length', 'date'])

/** Parts of an answer that was given before, or that ends the connection. */
export interface Further {
  readonly headers: WrittenAnswer['headers']
  readonly lines: string
}
export const CLOSED: Further = { headers: [['connection', 'close']], lines: '' }
export const REPLAYED: Further = { headers: [[REPLAYED_HEADER, 'true']], lines: `${REPLAYED_HEADER}: true\r\n` }
export const NONE: Further = { headers: [], lines: '' }

/** Writes the answers to requests with a key that was used before. */
export class KeyAnswers {
  readonly #scope: () => KeyOwners['scope']
  readonly #count: (result: KeyResult) => void

  /** @param count called with what happens to a request that is refused */
  constructor(scope: () => KeyOwners['scope'], count: (result: KeyResult) => void) {
    this.#scope = scope
    this.#count = count
  }

  write({ response, requestId }: Exchange, answer: WrittenAnswer, further: Further): void {
    if (response.headersSent || response.destroyed) return
    holdMade(response, answer.body.length, addressOf(response.req))
    const scope = this.#scope()
    const lines = `${further.lines}${ID_STARTS[scope]}${requestId}\r\n`
    if (further !== CLOSED && endWithLines(response, answer, lines)) return
    const { status, headers, body } = answer
    const all: Record<string, string | string[]> = {}
    for (const [name, value] of [...headers, ...further.headers]) {
      const before = all[name]
      all[name] = before === undefined ? value : [before, value].flat()
    }
    const own = { [REACH_HEADER]: scope, [REQUEST_ID]: requestId, 'content-length': String(body.length) }
    response.writeHead(status, { ...all, ...own })
    response.end(body)
  }

  /** @param producer counts the records that are refused */
  refuse(exchange: Exchange, refusal: KeyRefusal, producer: ApiProducer | undefined): void {
    const { result, status, code, detail, persisted = 'no', isRead = true, retryAfterSeconds = '1' } = refusal
    this.#count(result)
    if (persisted === 'no') producer?.countRefused({ code, message: detail, setting: refusal.setting })
    const retriable = status === 409 || status === 429 || status === 503
    const { type, body } = problemAnswer(status, detail, persisted, { code, retriable })
    noteFailure(exchange.response, code)
    const headers = Object.entries({
      [PERSISTED_HEADER]: persisted,
      'content-type': type,
      ...(retriable && { 'retry-after': retryAfterSeconds }),
      ...refusal.headers
    })
    this.write(exchange, { status, headers, body: Buffer.from(body) }, isRead ? NONE : CLOSED)
  }
}

/**
 * The stored form of an API's answer: without the headers that belong to one attempt, and with what the others say as fields.
 *
 * @param key limits what the answer may say of its records
 */
export function toOwn(
  answer: WrittenAnswer,
  key: ClaimedKey
): { readonly own: WrittenAnswer; readonly persisted: string; readonly further: Further } {
  const said = answer.persisted ?? answer.headers.find(([name]) => name === PERSISTED_HEADER)?.[1] ?? 'unknown'
  const persisted = key.told(said)
  // The headers of a template are its own, and are made when they are asked for.
  const isOwn =
    answer.persisted !== undefined || !answer.headers.some(([name]) => OF_ONE_ANSWER.has(name.toLowerCase()))
  if (isOwn && persisted === said) return { own: answer, persisted, further: NONE }
  const { status, headers, body } = answer
  const own = headers
    .filter(([name]) => !OF_ONE_ANSWER.has(name.toLowerCase()))
    .map(pair => (pair[0] === PERSISTED_HEADER ? ([PERSISTED_HEADER, persisted] as const) : pair))
  const further = headers.some(([name]) => name.toLowerCase() === 'connection') ? CLOSED : NONE
  return { own: { status, headers: own, body }, persisted, further }
}

export const MAX_KEY_CHARACTERS = 255

/** Results of requests with a key, for the metrics. */
export type KeyResult =
  | 'claimed'
  | 'replayed'
  | 'conflict'
  | 'busy'
  | 'full'
  | 'overloaded'
  | 'invalid'
  | 'away'
  | 'forwarded'

interface KeyRefusal {
  readonly result: KeyResult
  readonly status: number
  readonly code: ErrorCode
  readonly detail: string
  /** Default: `no`. */
  readonly persisted?: 'unknown'
  /** Whether the body has been read. Default: true. */
  readonly isRead?: boolean
  /** Default: 1. */
  readonly retryAfterSeconds?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly setting?: string | undefined
}

const codes = {
  400: 'invalidRequest',
  409: 'timedOut',
  413: 'recordTooLarge',
  422: 'invalidRequest',
  503: 'overloaded'
} as const

const refusal = (
  result: KeyResult,
  status: keyof typeof codes,
  detail: string,
  more?: Pick<KeyRefusal, 'persisted' | 'isRead' | 'retryAfterSeconds'>
): KeyRefusal => ({ result, status, code: codes[status], detail, ...more })

/** A gateway that is started again serves after some seconds. */
const PEER_AWAY_RETRY_SECONDS = '5'

const UNREAD = { isRead: false }
const UNKNOWN = { persisted: 'unknown' } as const

const TEXTS = {
  invalid: `the header Idempotency-Key must have one value of 1 to ${MAX_KEY_CHARACTERS} printable characters of ASCII, such as a UUID. Without quotes it must have no spaces, commas, semicolons, quotes, brackets, ? or \\`,
  stream:
    'a stream of records cannot have the header Idempotency-Key; send the records in one body with the header Content-Length, of at most 1 MiB',
  busy: 'an earlier request with this Idempotency-Key is still under way; send it again later',
  conflict: 'this Idempotency-Key was used for another request; use a new key for each request',
  full: 'no further Idempotency-Key of this client can be remembered until others expire (idempotency.maxBytes, idempotency.windowMs)',
  away: 'This request has written nothing; what became of an earlier one with this Idempotency-Key cannot be looked up now: send it again later',
  unanswered:
    'Whether it has written the records of this request is not known: send it again later with the same Idempotency-Key'
}
export const INVALID = refusal('invalid', 400, TEXTS.invalid, UNREAD)
export const STREAM = refusal('invalid', 400, TEXTS.stream, UNREAD)
export const OVERLOADED = refusal('overloaded', 503, 'there is no memory for the body', UNREAD)
const BUSY = refusal('busy', 409, TEXTS.busy, UNKNOWN)
const CONFLICT = refusal('conflict', 422, TEXTS.conflict)
const full = (retryAfterMs: number): KeyRefusal =>
  refusal('full', 503, TEXTS.full, { retryAfterSeconds: String(Math.ceil(retryAfterMs / 1_000)) })
const AWAY = refusal(
  'away',
  503,
  `the answer to an earlier request with the key cannot be read. ${TEXTS.away}`,
  UNKNOWN
)
/**
 * @param why the owner of the key has not carried the request out
 * @param isBusy it has too many requests
 * @param isInDoubt an earlier request with the key may have been carried out
 */
export function notCarriedOut(why: string, isBusy: boolean, isInDoubt: boolean): KeyRefusal {
  const refused = refusal('away', 503, `${why}. ${TEXTS.away}`, isInDoubt ? UNKNOWN : {})
  return isBusy ? refused : { ...refused, code: 'peerAway', retryAfterSeconds: PEER_AWAY_RETRY_SECONDS }
}
/** @param why the owner of the key has not answered */
export const unanswered = (why: string): KeyRefusal => refusal('away', 503, `${why}. ${TEXTS.unanswered}`, UNKNOWN)
/** @param error the client may not go on */
export const notAdmitted = (error: CastellanError): KeyRefusal => {
  const { 'retry-after': retryAfterSeconds = '1', ...headers } = refusalHeaders(error)
  const { message: detail, setting } = error
  const status = refusalStatus(error) ?? 503
  return { result: 'overloaded', status, code: errorCodeOf(error), detail, headers, retryAfterSeconds, setting }
}
export const tooLarge = (maxBytes: number): KeyRefusal =>
  refusal('invalid', 413, `the body is larger than ${maxBytes} bytes`, UNREAD)

/** Why a request is not carried out whose key is not free. */
export function refusalOf(claim: Exclude<Claim, { type: 'claimed' | 'answered' }>): KeyRefusal {
  if (claim.type === 'full') return full(claim.retryAfterMs)
  return { busy: BUSY, conflict: CONFLICT, away: AWAY }[claim.type]
}
