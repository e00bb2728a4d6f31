import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import { parseUrl } from '../../core/parse-url.js'
import type { PreflightAnswer } from '../api/by-hand.js'

/** Stands for any origin. */
const ANY = '*'
/** How long browsers remember the answer to a preflight. */
const MAX_AGE_S = 600
const METHODS = 'GET,HEAD,POST,PUT,PATCH,DELETE'
/**
 * Headers that a page may read besides those that every page may. Without credentials `*` means all of them; with
 * credentials only those count that are named.
 */
const EXPOSED = [
  'location',
  'retry-after',
  'x-request-id',
  'x-castellan-persisted',
  'x-castellan-receipt',
  'x-castellan-idempotency',
  'idempotent-replayed',
  'preference-applied',
  'x-castellan-warning',
  'x-castellan-next',
  'x-castellan-offsets',
  'x-castellan-skipped',
  'x-castellan-load-balancer',
  'x-castellan-token',
  'x-castellan-delivery-count',
  'x-castellan-lock-ms',
  'x-castellan-partition',
  'x-castellan-offset',
  'x-castellan-key',
  'x-castellan-last-delivery',
  'x-castellan-null',
  '*'
].join(',')
/** A list of names of headers, as long as a browser sends it. */
const NAMES = /^[\w!#$%&'*+.^`|~-]+(?:[ \t]*,[ \t]*[\w!#$%&'*+.^`|~-]+){0,99}$/

/**
 * Lets the web pages of the allowed origins read answers and send further headers, by the CORS protocol of the Fetch
 * standard. A page whose origin is named may send credentials, such as a password that the browser remembers; where
 * any origin is allowed, none may.
 */
export class Cors {
  readonly #origins: ReadonlySet<string>
  readonly #allowsAny: boolean

  private constructor(allowedOrigins: readonly string[]) {
    this.#origins = new Set(allowedOrigins.map(origin => origin.toLowerCase()))
    this.#allowsAny = this.#origins.has(ANY)
  }

  /** `undefined`: no other page is served. */
  static of(allowedOrigins: readonly string[]): Cors | undefined {
    return allowedOrigins.length === 0 ? undefined : new Cors(allowedOrigins)
  }

  /**
   * Adds headers to the answer to a request.
   *
   * @returns whether a page of an allowed origin sends the request
   */
  mark({ origin }: IncomingHttpHeaders, response: ServerResponse): boolean {
    const isNamed = origin !== undefined && this.#origins.has(origin.toLowerCase())
    // A cache must not give the answer for one page to another.
    if (this.#origins.size > 1 || !this.#allowsAny) response.setHeader('vary', 'origin')
    if (origin === undefined || !(isNamed || this.#allowsAny)) return false
    response.setHeader('access-control-allow-origin', isNamed ? origin : ANY)
    if (isNamed) response.setHeader('access-control-allow-credentials', 'true')
    response.setHeader('access-control-expose-headers', EXPOSED)
    return true
  }

  /** Adds the headers of the answer to the preflight of a page that {@link mark} knows. */
  answerPreflight(headers: IncomingHttpHeaders, response: ServerResponse, api?: PreflightAnswer): void {
    const asked = headers['access-control-request-headers']
    const allowed = api?.headers ?? (typeof asked === 'string' && NAMES.test(asked) ? asked : undefined)
    response.setHeader('access-control-allow-methods', api?.methods ?? METHODS)
    if (allowed !== undefined) response.setHeader('access-control-allow-headers', allowed)
    response.setHeader('access-control-max-age', String(MAX_AGE_S))
    response.setHeader('vary', 'origin, access-control-request-method, access-control-request-headers')
  }
}

const ORIGIN = /^[a-z][a-z\d+.-]*:\/\/(?:\[[\d:a-f.]+\]|[^\s/:?#@[\]*%\\]+)(?::\d{1,5})?$/i

export const NULL_ORIGIN =
  'pages of any site can send "null", by a frame in a sandbox: write the origins of your pages, or "*"'

/**
 * Why `http.allowedOrigins` cannot name an origin, because no browser sends it like this; `undefined`: it can.
 *
 *   https://app.example/   =>   write "https://app.example"
 */
export function originProblem(origin: string): string | undefined {
  if (origin === ANY) return undefined
  if (/^null$/i.test(origin)) return NULL_ORIGIN
  if (ORIGIN.test(origin) && !/^https?:/i.test(origin)) return undefined
  const sent = /^https?:\/\/[^*,]+$/i.test(origin) ? parseUrl(origin)?.origin : undefined
  if (sent === origin.toLowerCase()) return undefined
  const instead = sent === undefined ? 'an origin such as "https://app.example", or "*"' : `"${sent}"`
  return `no browser sends an origin like this: write ${instead}`
}

/** Whether a browser asks if a page may send a request. Such a request has no credentials. */
export const isPreflight = (method: string, headers: IncomingHttpHeaders): boolean =>
  method === 'OPTIONS' && headers.origin !== undefined && headers['access-control-request-method'] !== undefined
