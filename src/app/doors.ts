import { AccessMetrics } from '../access/access-metrics.js'
import { Authenticator } from '../access/authenticator.js'
import { createDoor, type Door } from '../access/door.js'
import { fetchKeys } from '../access/fetch-keys.js'
import { IssuerKeys } from '../access/issuer-keys.js'
import { JsonWebTokens } from '../access/json-web-tokens.js'
import type { QuotaSharing } from '../access/quotas.js'
import { requiresCredentials } from '../access/settings.js'
import type { Config } from '../config/config.js'
import { readListenerTlsFiles, readTextFile } from '../config/tls-files.js'
import { Certificates } from '../http/certificates.js'
import type { PrometheusMetrics } from '../metrics/prometheus.js'
import type { Logger } from '../model.js'
import { type AuditLog, openAuditLog } from './audit-log.js'

/** Authentication and TLS of the HTTP listeners. */
export interface Doors {
  /** `undefined`: no access rules are configured. */
  readonly door: Door | undefined
  readonly certificates: Certificates | undefined
  readonly managementCertificates: Certificates | undefined
  /** Reads certificates and keys of issuers again, and opens the audit file again. */
  reload(): Promise<void>
  close(): void
}

/**
 * Builds what every request passes before it is served.
 *
 * @param sharing where other processes serve the same clients
 * @throws ConfigError naming the setting whose file cannot be used
 */
export async function openDoors(
  config: Config,
  metrics: PrometheusMetrics,
  log: Logger,
  sharing?: QuotaSharing
): Promise<Doors> {
  const certificates = await openCertificates('http.tls', config.http.tls, log)
  const managementCertificates =
    config.management.port === 'off' ? undefined : await openCertificates('management.tls', config.management.tls, log)
  const audit = openAuditLog(config.access, log)
  const tokens = await createTokens(config.auth, log)
  const authenticator = new Authenticator({
    settings: config.auth,
    tokens,
    allowAnonymous: config.http.allowAnonymous,
    now: Date.now
  })
  const door = createDoor(config, {
    authenticator,
    isAuthenticated: requiresCredentials(config.auth),
    metrics: new AccessMetrics(metrics),
    auditSink: line => audit.write(line),
    clock: () => performance.now(),
    sharing
  })
  const reload = async (): Promise<void> => {
    authenticator.forget()
    audit.reopen()
    await Promise.all([certificates?.reload(), managementCertificates?.reload()])
  }
  return {
    door,
    certificates,
    managementCertificates,
    reload,
    close: () => closeAll(certificates, managementCertificates, audit)
  }
}

function closeAll(
  certificates: Certificates | undefined,
  managementCertificates: Certificates | undefined,
  audit: AuditLog
): void {
  certificates?.close()
  managementCertificates?.close()
  audit.close()
}

async function openCertificates(
  section: string,
  settings: Config['http']['tls'],
  log: Logger
): Promise<Certificates | undefined> {
  if (settings.certFile === undefined) return undefined
  return Certificates.open({ section, settings, read: () => readListenerTlsFiles(section, settings), log })
}

async function createTokens(settings: Config['auth'], log: Logger): Promise<JsonWebTokens> {
  const clock = (): number => performance.now()
  const issuers = settings.issuers.map(issuer => {
    const { jwksUrl, jwksFile } = issuer
    const fetch = async (): Promise<unknown> =>
      jwksFile === undefined
        ? fetchKeys(jwksUrl!, settings.jwksTimeoutMs)
        : (JSON.parse(await readTextFile('auth.issuers.jwksFile', jwksFile)) as unknown)
    return { settings: issuer, keys: new IssuerKeys(issuer.issuer, fetch, settings, { clock, log }), fetch }
  })
  // A missing file is found at start; an issuer that cannot be reached may be reachable later.
  for (const { settings: issuer, fetch } of issuers) if (issuer.jwksFile !== undefined) await fetch()
  return new JsonWebTokens(issuers, settings.clockToleranceMs, Date.now)
}
