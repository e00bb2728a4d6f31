import { isDeepStrictEqual } from 'node:util'
import { performanceClock } from '../../core/clocks.js'
import { ConfigError } from '../../core/errors.js'
import type { PrometheusMetrics } from '../../core/metrics/prometheus.js'
import type { Logger } from '../../core/model.js'
import type { RefusalCounts } from '../../core/refusals.js'
import { AccessMetrics } from '../../http/access/audit.js'
import { Authenticator, NO_TOKENS, type Tokens } from '../../http/access/authenticator.js'
import { RequestAccess } from '../../http/access/request-access.js'
import { requiresCredentials } from '../../http/access/settings.js'
import { Certificates } from '../../http/server/certificates.js'
import type { Config } from '../config/config.js'
import { readListenerTlsFiles, readTextFile } from '../config/tls-files.js'
import { type AuditLog, openAuditLog } from './log-files.js'

/** The settings that decide who may come in. */
export type SecurityConfig = Pick<Config, 'auth' | 'access'>

/** Authentication and TLS of the HTTP listeners. */
export interface ListenerSecurity {
  /** `undefined`: no access rules are configured. */
  readonly requestAccess: RequestAccess | undefined
  readonly certificates: Certificates | undefined
  readonly managementCertificates: Certificates | undefined
  /**
   * Opens the audit file again. Reads and checks certificates and the keys of issuers, without using them yet.
   *
   * @param config has the new `auth` and `access.rules`; absent: they do not change
   * @returns a function that puts the new files and settings into effect, and ends open requests that they do not
   * permit
   * @throws ConfigError that names the settings whose files cannot be used
   */
  prepare(config?: SecurityConfig): Promise<() => void>
  /** Opens the audit file again. */
  reopen(): void
  close(): void
}

/**
 * Opens certificates, authentication and access rules.
 *
 * @param refusals counts refused requests by reason
 * @throws ConfigError that names the setting whose file cannot be used
 */
export async function openListenerSecurity(
  config: Config,
  metrics: PrometheusMetrics,
  log: Logger,
  refusals?: RefusalCounts
): Promise<ListenerSecurity> {
  const certificates = await openCertificates('http.tls', config.http.tls, log)
  const managementCertificates =
    config.management.port === 'off' ? undefined : await openCertificates('management.tls', config.management.tls, log)
  const audit = openAuditLog(config.access, log)
  const metricsOfAccess = new AccessMetrics(metrics, refusals)
  const access = new ReplaceableAccess(config, await createTokens(config.auth, log), metricsOfAccess, audit, log)
  return {
    requestAccess: access.requestAccess,
    certificates,
    managementCertificates,
    prepare: next => {
      audit.reopen()
      return allPrepared([access.prepare(next), certificates?.prepare(), managementCertificates?.prepare()])
    },
    reopen: () => audit.reopen(),
    close: () => {
      for (const one of [certificates, managementCertificates, audit]) one?.close()
    }
  }
}

/** How clients log in, and what they may do. Both can change while the process runs. */
class ReplaceableAccess {
  readonly requestAccess: RequestAccess | undefined
  readonly #authenticator: Authenticator
  readonly #log: Logger
  #current: SecurityConfig
  #tokens: Tokens

  constructor(config: Config, tokens: Tokens, metrics: AccessMetrics, audit: AuditLog, log: Logger) {
    const { auth: settings, http } = config
    const { allowAnonymous } = http
    this.#log = log
    this.#current = config
    this.#tokens = tokens
    this.#authenticator = new Authenticator({ settings, tokens, allowAnonymous, now: Date.now })
    this.requestAccess = RequestAccess.of(config, {
      authenticator: this.#authenticator,
      isAuthenticated: requiresCredentials(settings),
      metrics,
      auditSink: line => audit.write(line),
      clock: performanceClock,
      now: Date.now
    })
  }

  /** @returns a function that puts the settings into effect */
  async prepare({ auth, access }: SecurityConfig = this.#current): Promise<() => void> {
    // If the issuers are unchanged, their known keys stay in use even when an issuer cannot be reached.
    const isSame = isDeepStrictEqual(auth.issuers, this.#current.auth.issuers)
    const next = await createTokens(auth, this.#log)
    return () => {
      if (!isSame) this.#tokens = next
      this.#current = { auth, access }
      this.#authenticator.replace(auth, this.#tokens)
      this.requestAccess?.replaceRules(access, requiresCredentials(auth))
      this.requestAccess?.checkAll()
      if (this.requestAccess === undefined && (requiresCredentials(auth) || access.rules.length > 0)) {
        this.#log.warn({}, 'authentication and rules take effect after a restart, because there were none at the start')
      }
    }
  }
}

/**
 * Waits until several parts are prepared. Either all of them are then used, or none.
 *
 * @returns a function that puts all of them into effect
 * @throws ConfigError with the problems of every part that cannot be used
 */
export async function allPrepared(parts: readonly (Promise<() => void> | undefined)[]): Promise<() => void> {
  const settled = await Promise.allSettled(parts)
  const errors = settled.flatMap(part => (part.status === 'rejected' ? [part.reason as unknown] : []))
  const bug = errors.find(error => !(error instanceof ConfigError))
  if (bug !== undefined) throw bug
  if (errors.length > 0) throw new ConfigError(errors.map(error => (error as ConfigError).message).join('\n'))
  return () => {
    for (const part of settled) if (part.status === 'fulfilled') part.value?.()
  }
}

async function openCertificates(
  section: string,
  settings: Config['http']['tls'],
  log: Logger
): Promise<Certificates | undefined> {
  if (settings.certFile === undefined) return undefined
  return Certificates.open({ section, settings, read: () => readListenerTlsFiles(section, settings), log })
}

/**
 * Time limit for fetching the keys of an issuer, because requests wait for them. It is shorter than the usual time-outs
 * of clients.
 */
const FETCH_TIMEOUT_MS = 5_000

async function createTokens(settings: Config['auth'], log: Logger): Promise<Tokens> {
  if (settings.issuers.length === 0) return NO_TOKENS
  const { fetchKeys, IssuerKeys, JsonWebTokens } = await import('../../http/access/json-web-tokens.js')
  const issuers = settings.issuers.map(issuer => {
    const { jwksUrl, jwksFile } = issuer
    const fetch = async (): Promise<unknown> =>
      jwksFile === undefined
        ? fetchKeys(jwksUrl!, FETCH_TIMEOUT_MS)
        : toKeys(await readTextFile('auth.issuers.jwksFile', jwksFile), jwksFile)
    return { settings: issuer, keys: new IssuerKeys(issuer.issuer, fetch, { clock: performanceClock, log }), fetch }
  })
  // At the start, only files are read: a missing file is an error. A URL that cannot be reached may be reachable later.
  for (const { settings: issuer, fetch } of issuers) if (issuer.jwksFile !== undefined) await fetch()
  return new JsonWebTokens(issuers, Date.now)
}

/** @throws ConfigError when the text is no JSON */
function toKeys(text: string, fileName: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new ConfigError(`auth.issuers.jwksFile: ${fileName} is no JSON`)
  }
}
