import type { CastellanError, ErrorCode } from '../../core/errors.js'
import type { Claim } from '../../producer/keys/keys.js'
import { refusalHeaders, refusalStatus } from '../access/access.js'

export const MAX_KEY_CHARACTERS = 255

/** What happens to requests with a key, for the metrics. */
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

/** Why a request with a key is not carried out. */
export interface Refusal {
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
  /** Further ones. */
  readonly headers?: Readonly<Record<string, string>>
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
  more?: Pick<Refusal, 'persisted' | 'isRead' | 'retryAfterSeconds'>
): Refusal => ({ result, status, code: codes[status], detail, ...more })

const UNREAD = { isRead: false }
const UNKNOWN = { persisted: 'unknown' } as const

export const INVALID = refusal(
  'invalid',
  400,
  `the header Idempotency-Key must have one value of 1 to ${MAX_KEY_CHARACTERS} printable characters of ASCII, such as a UUID. Without quotes it must have no spaces, commas, semicolons, quotes, brackets, ? or \\`,
  UNREAD
)
export const STREAM = refusal(
  'invalid',
  400,
  'a stream of records cannot have the header Idempotency-Key; send the records in one body with the header Content-Length, of at most 1 MiB',
  UNREAD
)
export const OVERLOADED = refusal('overloaded', 503, 'there is no memory for the body', UNREAD)
const BUSY = refusal(
  'busy',
  409,
  'an earlier request with this Idempotency-Key is still under way; send it again later',
  UNKNOWN
)
const CONFLICT = refusal(
  'conflict',
  422,
  'this Idempotency-Key was used for another request; use a new key for each request'
)
const full = (retryAfterMs: number): Refusal =>
  refusal(
    'full',
    503,
    'no further Idempotency-Key of this client can be remembered until others expire (idempotency.maxBytes, idempotency.windowMs)',
    { retryAfterSeconds: String(Math.ceil(retryAfterMs / 1_000)) }
  )
/** @param why absent: the process does not say */
export const away = (why = 'the answer to an earlier request with the key cannot be read'): Refusal =>
  refusal(
    'away',
    503,
    `${why}. This request has written nothing; what became of an earlier one with this Idempotency-Key cannot be looked up now: send it again later`,
    UNKNOWN
  )
/** @param why the owner of the key has not answered */
export const unanswered = (why: string): Refusal =>
  refusal(
    'away',
    503,
    `${why}. Whether it has written the records of this request is not known: send it again later with the same Idempotency-Key`,
    UNKNOWN
  )
/** @param error the client may not go on */
export const notAdmitted = (error: CastellanError): Refusal => {
  const { 'retry-after': retryAfterSeconds = '1', ...headers } = refusalHeaders(error)
  const { code, message: detail } = error
  return { result: 'overloaded', status: refusalStatus(error) ?? 503, code, detail, headers, retryAfterSeconds }
}
export const tooLarge = (maxBytes: number): Refusal =>
  refusal('invalid', 413, `the body is larger than ${maxBytes} bytes`, UNREAD)

/** Why a request is not carried out whose key is not free. */
export function refusalOf(claim: Exclude<Claim, { type: 'claimed' | 'answered' }>): Refusal {
  if (claim.type === 'full') return full(claim.retryAfterMs)
  return { busy: BUSY, conflict: CONFLICT, away: away() }[claim.type]
}
