import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'
import { ForbiddenError } from '../../core/errors.js'
import type { Logger } from '../../core/model.js'
import { printable } from '../../core/printable.js'
import { isLoopback } from '../../core/settings/units.js'
import type { ListenerGuard } from '../engine/open-requests.js'

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

/** Content types that only browsers accept: pages, and parts of pages. */
const OF_BROWSERS = /text\/html|text\/css|image\/|audio\/|video\//i
/** The default `Accept` of Java's own HTTP client. */
const OF_JAVA = /^text\/html, image\/gif, image\/jpeg, \*/

/**
 * Refuses requests that a browser sends on behalf of a web page of another site. A browser can reach addresses that
 * only its own machine can reach; it names the page by `Origin` and `Sec-Fetch-Site`. A page can also give its own
 * domain the address of this machine (DNS rebinding), but it cannot change the `Host` header that the browser then
 * sends.
 *
 *   Host             on loopback one of the names of this machine or of `allowedHosts`; elsewhere one of those, if any.
 *                    What no other site may read needs a known host everywhere
 *   Origin           one of `allowedOrigins`, or our own, which counts only when `Host` has been checked
 *   Sec-Fetch-Site   `none` (typed by the user); `same-origin` when `Host` has been checked; others need such an
 *   `Origin`
 *   Referer          the page of a request without `Origin`: as that
 *
 * A link that is followed to a page for people is served wherever it stands, once `Host` was checked.
 */
export class BrowserGuard implements ListenerGuard {
  readonly #boundHost: string | undefined
  readonly #allowedHosts: ReadonlySet<string>
  readonly #allowedOrigins: ReadonlySet<string>
  /** Whether all requests have a known `Host`, so that links of a page to its own listener are served. */
  readonly checksHost: boolean
  readonly #allowsAnyHost: boolean
  readonly #onForeignHost: (host: string) => void
  /** Consecutive requests mostly name the same host. */
  #lastHost: string | undefined

  /**
   * @param boundHost listening address; `undefined` for a unix socket, which no browser can reach
   * @param onForeignHost called with the host of each request that is refused because of its host
   */
  constructor(
    boundHost: string | undefined,
    { allowedHosts, allowedOrigins }: BrowserSettings,
    onForeignHost: (host: string) => void = () => undefined
  ) {
    this.#onForeignHost = onForeignHost
    this.#boundHost = boundHost === undefined ? undefined : toHostName(boundHost.toLowerCase())
    this.#allowedHosts = new Set(allowedHosts.map(host => host.toLowerCase()))
    this.#allowedOrigins = new Set(allowedOrigins.map(origin => origin.toLowerCase()))
    this.#allowsAnyHost = this.#allowedHosts.has(ANY)
    this.checksHost =
      boundHost !== undefined && !this.#allowsAnyHost && (isLoopback(boundHost) || allowedHosts.length > 0)
  }

  /** Whether its requests come by a unix socket. Their socket has no address, but a destroyed socket has none either. */
  get isOfUnixSocket(): boolean {
    return this.#boundHost === undefined
  }

  /**
   * The reason to refuse a request with these headers.
   *
   * @param needsHost whether `Host` is checked on every listener, as for answers that no page of another site may read
   * @param isPage whether the answer is a page for people, to which other pages may have links
   */
  refusalOf(headers: IncomingHttpHeaders, needsHost = false, isPage = false): ForbiddenError | undefined {
    const { host, origin, referer } = headers
    const site = headers['sec-fetch-site']
    const checksHost = this.checksHost || (needsHost && this.#boundHost !== undefined && !this.#allowsAnyHost)
    if (checksHost && host !== this.#lastHost && !this.#isKnownHost(host)) {
      this.#onForeignHost(host!)
      return new ForbiddenError(
        'requests for this host are not served; http.allowedHosts can allow it',
        'http.allowedHosts'
      )
    }
    if (origin === undefined && site === undefined && referer === undefined) return undefined
    const isCertain = checksHost || this.#boundHost === undefined
    if (isPage && isCertain && isVisit(headers)) return undefined
    if (this.#isAllowedVisitor(headers, isCertain) && this.#isAllowedPage(headers, isCertain)) return undefined
    return new ForbiddenError(
      'requests of this web page are not served; http.allowedOrigins can allow its origin',
      'http.allowedOrigins'
    )
  }

  /**
   * The reason to refuse a GET that does more than read, for one that {@link refusalOf} has let through: any page can
   * have its visitor's browser send such a request, and need not be named in it. A request with a bearer token is fine,
   * for a page cannot add one, and so is one of a page that a setting allows.
   */
  refusalOfEffect(headers: IncomingHttpHeaders): ForbiddenError | undefined {
    const { authorization = '', origin, referer } = headers
    if (!looksLikeBrowser(headers) || /^bearer /i.test(authorization)) return undefined
    const page = origin ?? (referer && originOf(referer))
    if (page !== undefined && this.#isNamed(page.toLowerCase())) return undefined
    return new ForbiddenError(
      'a GET that consumes, acknowledges or produces is refused to browsers, because any web page could send it; http.allowedOrigins can allow pages, and requests with a bearer token are served',
      'http.allowedOrigins'
    )
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
    if (EVERY_ADDRESS.has(bound) || !this.checksHost) return name === bound || name === 'localhost' || isIP(name) !== 0
    return name === bound || (isLoopback(bound) && isLoopback(name))
  }

  /** @param isCertain whether `Host` was checked, so that an origin of the same name is our own */
  #isAllowedVisitor({ origin, host, 'sec-fetch-site': site }: IncomingHttpHeaders, isCertain: boolean): boolean {
    if (origin !== undefined && this.#isNamed(origin.toLowerCase())) return true
    const isOwnPage = isCertain && (origin === undefined || isOriginOf(origin.toLowerCase(), host))
    return site === 'none'
      ? origin === undefined || isOwnPage
      : isOwnPage && (site === undefined || site === 'same-origin')
  }

  /** A page that sends an empty `Referer` wants to be unknown. */
  #isAllowedPage({ origin, referer, host }: IncomingHttpHeaders, isCertain: boolean): boolean {
    if (origin !== undefined || referer === undefined || referer === '') return true
    const page = originOf(referer)?.toLowerCase()
    if (page === undefined) return false
    return this.#isNamed(page) || (isCertain && isOriginOf(page, host))
  }

  #isNamed(origin: string): boolean {
    return this.#allowedOrigins.has(origin) || this.#allowedOrigins.has(ANY)
  }
}

/** A person opens the address in a tab of the browser. What is not navigated to, or is framed, could act for its page. */
const isVisit = (headers: IncomingHttpHeaders): boolean =>
  headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document' && headers.origin === undefined

const isOriginOf = (origin: string, host = ''): boolean =>
  host !== '' && (origin === `http://${host.toLowerCase()}` || origin === `https://${host.toLowerCase()}`)

/** `https://app.example/page?a=b` is `https://app.example`. */
const originOf = (url: string): string | undefined => /^https?:\/\/[^/?#@]+(?=[/?#]|$)/i.exec(url)?.[0]

/**
 * Node's own `fetch` sends `Sec-Fetch-Mode: cors` and nothing else of the kind; browsers say where a request comes from
 * and what it is for as well.
 */
function looksLikeBrowser(headers: IncomingHttpHeaders): boolean {
  const { accept = '' } = headers
  if (OF_BROWSERS.test(accept) && !OF_JAVA.test(accept)) return true
  const told = Object.keys(headers).filter(name => name.startsWith('sec-fetch-'))
  return told.length > 1 || (told.length === 1 && headers['sec-fetch-mode'] !== 'cors')
}

/** `localhost:8080` is `localhost`, `[::1]:8080` is `::1`. */
function toHostName(host: string): string {
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(host)
  return match?.[1] ?? match?.[2] ?? host
}

/** Clients invent host names, so only this many are logged. */
const MAX_NAMED = 20
const MAX_CHARACTERS = 255

/** Logs once for each host that its requests are refused, and the setting that allows them. */
export class ForeignHosts {
  readonly #log: Logger
  readonly #named = new Set<string>()

  constructor(log: Logger) {
    this.#log = log
  }

  refused(host: string): void {
    const name = printable(host.slice(0, MAX_CHARACTERS))
    if (this.#named.has(name) || this.#named.size >= MAX_NAMED) return
    this.#named.add(name)
    this.#log.warn({ host: name }, 'requests for this host are refused with 403; http.allowedHosts can allow it')
  }
}
