import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'
import { ForbiddenError } from '../errors.js'
import { isLoopback } from '../settings/loopback.js'

/** Matches any host or origin in a list of allowed ones. */
const ANY = '*'

/**
 * A listener on one of these can be reached at every address of the machine, and at others behind port forwarding. No
 * web page can turn an address into a domain of its own, so every address is accepted as a name of the listener;
 * probes use addresses.
 */
const EVERY_ADDRESS: ReadonlySet<string> = new Set(['0.0.0.0', '::'])

export interface BrowserSettings {
  readonly allowedHosts: readonly string[]
  readonly allowedOrigins: readonly string[]
}

/**
 * Refuses requests that a browser sends on behalf of a web page of another site. A browser can reach addresses that
 * only its own machine can reach; it names the page by `Origin` and `Sec-Fetch-Site`. A page can also give its own
 * domain the address of this machine (DNS rebinding), but it cannot change the `Host` header that the browser then
 * sends.
 *
 *   Host             on loopback one of the names of this machine or of `allowedHosts`; elsewhere one of those, if any
 *   Origin           one of `allowedOrigins`, or our own, which counts only when `Host` has been checked
 *   Sec-Fetch-Site   `none` (typed by the user); `same-origin` when `Host` has been checked; others need such an `Origin`
 */
export class BrowserGuard {
  readonly #boundHost: string | undefined
  readonly #allowedHosts: ReadonlySet<string>
  readonly #allowedOrigins: ReadonlySet<string>
  readonly #checksHost: boolean
  readonly #isHostCertain: boolean
  /** Consecutive requests mostly name the same host. */
  #lastHost: string | undefined

  /** @param boundHost listening address; `undefined` for a unix socket, which no browser can reach */
  constructor(boundHost: string | undefined, { allowedHosts, allowedOrigins }: BrowserSettings) {
    this.#boundHost = boundHost === undefined ? undefined : toHostName(boundHost.toLowerCase())
    this.#allowedHosts = new Set(allowedHosts.map(host => host.toLowerCase()))
    this.#allowedOrigins = new Set(allowedOrigins.map(origin => origin.toLowerCase()))
    const isOpen = this.#allowedHosts.has(ANY)
    this.#checksHost = boundHost !== undefined && !isOpen && (isLoopback(boundHost) || allowedHosts.length > 0)
    this.#isHostCertain = boundHost === undefined || this.#checksHost
  }

  /** The reason to refuse a request with these headers. */
  refusalOf(headers: IncomingHttpHeaders): ForbiddenError | undefined {
    const { host, origin } = headers
    const site = headers['sec-fetch-site']
    if (this.#checksHost && host !== this.#lastHost && !this.#isKnownHost(host)) {
      return new ForbiddenError('requests for this host are not served; http.allowedHosts can allow it')
    }
    if (origin === undefined && site === undefined) return undefined
    if (this.#isAllowedVisitor(origin, site, host)) return undefined
    return new ForbiddenError('requests of this web page are not served; http.allowedOrigins can allow its origin')
  }

  /** HTTP/1.0 allows requests without `Host`; browsers always send it. */
  #isKnownHost(host: string | undefined): boolean {
    if (host === undefined) return true
    const name = toHostName(host.toLowerCase())
    const isKnown = this.#allowedHosts.has(name) || this.#allowedHosts.has(host.toLowerCase()) || this.#isOwnName(name)
    if (isKnown) this.#lastHost = host
    return isKnown
  }

  #isOwnName(name: string): boolean {
    const bound = this.#boundHost ?? ''
    if (EVERY_ADDRESS.has(bound)) return name === 'localhost' || isIP(name) !== 0
    return name === bound || (isLoopback(bound) && isLoopback(name))
  }

  #isAllowedVisitor(
    origin: string | undefined,
    site: string | string[] | undefined,
    host: string | undefined
  ): boolean {
    if (origin !== undefined && this.#isNamed(origin.toLowerCase())) return true
    const isOwnPage = this.#isHostCertain && (origin === undefined || isOriginOf(origin.toLowerCase(), host))
    return site === 'none'
      ? origin === undefined || isOwnPage
      : isOwnPage && (site === undefined || site === 'same-origin')
  }

  #isNamed(origin: string): boolean {
    return this.#allowedOrigins.has(origin) || this.#allowedOrigins.has(ANY)
  }
}

const isOriginOf = (origin: string, host = ''): boolean =>
  host !== '' && (origin === `http://${host.toLowerCase()}` || origin === `https://${host.toLowerCase()}`)

/** `localhost:8080` is `localhost`, `[::1]:8080` is `::1`. */
function toHostName(host: string): string {
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(host)
  return match?.[1] ?? match?.[2] ?? host
}
