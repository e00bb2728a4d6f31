import type { CastellanError, ErrorCode } from '../../core/errors.js'
import { refusalHeaders, refusalStatus } from '../access/access.js'

export const MAX_KEY_CHARACTERS = 255

/** Why a request with a key is not carried out. */
export interface Refusal {
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

export const INVALID: Refusal = {
  status: 400,
  code: 'invalidRequest',
  detail: `the header Idempotency-Key must have one value of 1 to ${MAX_KEY_CHARACTERS} printable characters of ASCII, such as a UUID. Without quotes it must have no spaces, commas, semicolons, quotes, brackets, ? or \\`,
  isRead: false
}
export const STREAM: Refusal = {
  status: 400,
  code: 'invalidRequest',
  detail:
    'a stream of records cannot have the header Idempotency-Key; send the records in one body with the header Content-Length, of at most 1 MiB',
  isRead: false
}
export const OVERLOADED: Refusal = {
  status: 503,
  code: 'overloaded',
  detail: 'there is no memory for the body',
  isRead: false
}
export const BUSY: Refusal = {
  status: 409,
  code: 'timedOut',
  detail: 'an earlier request with this Idempotency-Key is still under way; send it again later',
  persisted: 'unknown'
}
export const CONFLICT: Refusal = {
  status: 422,
  code: 'invalidRequest',
  detail: 'this Idempotency-Key was used for another request; use a new key for each request'
}
export const full = (retryAfterMs: number): Refusal => ({
  status: 503,
  code: 'overloaded',
  detail:
    'no further Idempotency-Key of this client can be remembered until others expire (idempotency.maxBytes, idempotency.windowMs)',
  retryAfterSeconds: String(Math.ceil(retryAfterMs / 1_000))
})
/** @param why absent: the process does not say */
export const away = (why = 'the answer to an earlier request with the key cannot be read'): Refusal => ({
  status: 503,
  code: 'overloaded',
  detail: `${why}. This request has written nothing; what became of an earlier one with this Idempotency-Key cannot be looked up now: send it again later`,
  persisted: 'unknown'
})
/** @param why the owner of the key has not answered */
export const unanswered = (why: string): Refusal => ({
  status: 503,
  code: 'overloaded',
  detail: `${why}. Whether it has written the records of this request is not known: send it again later with the same Idempotency-Key`,
  persisted: 'unknown'
})
/** @param error the client may not go on */
export const notAdmitted = (error: CastellanError): Refusal => {
  const { 'retry-after': retryAfterSeconds, ...headers } = refusalHeaders(error)
  return {
    status: refusalStatus(error) ?? 503,
    code: error.code,
    detail: error.message,
    headers,
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds })
  }
}
export const tooLarge = (maxBytes: number): Refusal => ({
  status: 413,
  code: 'recordTooLarge',
  detail: `the body is larger than ${maxBytes} bytes`,
  isRead: false
})
