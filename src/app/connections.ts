import type { ClusterSettings } from '../config/cluster-settings.js'
import { readTlsFiles } from '../config/tls-files.js'
import type { Logger } from '../model.js'
import type { BrokerClientFactory } from '../wire/broker-client.js'
import {
  type ConnectionSettings,
  createBrokerClientFactory,
  type SaslOptions
} from '../wire/create-broker-client-factory.js'

/**
 * How to connect to the brokers of a cluster.
 *
 * @throws ConfigError when a certificate cannot be read
 */
export function connectionsOf(name: string, settings: ClusterSettings, log: Logger): BrokerClientFactory {
  const { clientId, connectTimeoutMs, requestTimeoutMs } = settings
  const tls = toTls(name, settings.tls)
  const sasl = toSasl(settings.sasl)
  return createBrokerClientFactory({ clientId, connectTimeoutMs, requestTimeoutMs, tls, sasl, log })
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
