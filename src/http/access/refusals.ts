import {
  ForbiddenError,
  OverloadedError,
  QuotaExceededError,
  UnauthenticatedError,
  UnavailableError
} from '../../core/errors.js'

const RETRY_AFTER_SECONDS = 1

/** The status for refusing a request before it is carried out; `undefined` for errors of another kind. */
export function refusalStatus(error: unknown): number | undefined {
  if (error instanceof UnauthenticatedError) return 401
  if (error instanceof ForbiddenError) return 403
  if (error instanceof QuotaExceededError) return 429
  return error instanceof OverloadedError || error instanceof UnavailableError ? 503 : undefined
}

/** The headers of the refusal. */
export function refusalHeaders(error: unknown): Readonly<Record<string, string>> {
  if (error instanceof UnauthenticatedError) return { 'www-authenticate': error.challenge }
  if (error instanceof QuotaExceededError) return { 'retry-after': String(error.retryAfterSeconds) }
  if (error instanceof ForbiddenError) return {}
  return { 'retry-after': String(RETRY_AFTER_SECONDS) }
}
