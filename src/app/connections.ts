import type { ClusterSettings } from '../config/cluster-settings.js'
import { readTlsFiles } from '../config/tls-files.js'
import type { ConnectionSettings, SaslOptions } from '../wire/create-broker-client-factory.js'

/**
 * How to connect to the brokers of a cluster.
 *
 * @throws ConfigError when a certificate cannot be read
 */
export function connectionOf(name: string, settings: ClusterSettings): Omit<ConnectionSettings, 'log'> {
  const { clientId, connectTimeoutMs, requestTimeoutMs, maxThrottleMs } = settings
  const times = { connectTimeoutMs, requestTimeoutMs, maxThrottleMs }
  return { clientId, ...times, tls: toTls(name, settings.tls), sasl: toSasl(settings.sasl) }
}

function toTls(name: string, tls: ClusterSettings['tls']): ConnectionSettings['tls'] {
  if (!tls.enabled) return undefined
  const { ca, cert, key } = readTlsFiles(name, tls)
  return {
    rejectUnauthorized: tls.rejectUnauthorized,
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(tls.serverName !== undefined && { servername: tls.serverName })
  }
}

// The configuration has checked that what a mechanism needs is there.
function toSasl(sasl: ClusterSettings['sasl']): SaslOptions | undefined {
  if (!sasl) return undefined
  const { mechanism, username = '', password = '', token = '' } = sasl
  return mechanism === 'oauthbearer' ? { mechanism, token } : { mechanism, username, password }
}
