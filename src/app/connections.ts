import type { ClusterSettings } from '../config/cluster-settings.js'
import { readTlsFiles, readTokenCaFile } from '../config/tls-files.js'
import type { ConnectionSettings, SaslOptions } from '../wire/create-broker-client-factory.js'
import { SharedToken } from '../wire/shared-token.js'
import { requestToken } from '../wire/token-request.js'

/** Getting a token is part of connecting; whoever waits for a token in vain is told so before the time for all is over. */
const TOKEN_SHARE_OF_CONNECTING = 0.7

/**
 * How to connect to the brokers of a cluster.
 *
 * @throws ConfigError when a certificate cannot be read
 */
export function connectionOf(name: string, settings: ClusterSettings): Omit<ConnectionSettings, 'log'> {
  const { clientId, connectTimeoutMs, requestTimeoutMs, maxThrottleMs } = settings
  const times = { connectTimeoutMs, requestTimeoutMs, maxThrottleMs }
  return { clientId, ...times, tls: toTls(name, settings.tls), sasl: toSasl(name, settings) }
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
function toSasl(name: string, { sasl, connectTimeoutMs }: ClusterSettings): SaslOptions | undefined {
  if (!sasl) return undefined
  const { mechanism, username = '', password = '', token = '', tokenUrl } = sasl
  if (mechanism !== 'oauthbearer') return { mechanism, username, password }
  if (tokenUrl === undefined) return { mechanism, token }
  const { tokenClient: clientId = '', tokenSecret: clientSecret = '', tokenScope: scope } = sasl
  const credentials = { tokenUrl, clientId, clientSecret, scope, ca: readTokenCaFile(name, sasl) }
  const timeoutMs = connectTimeoutMs * TOKEN_SHARE_OF_CONNECTING
  const shared = new SharedToken(
    () => requestToken(credentials, timeoutMs),
    () => performance.now()
  )
  return { mechanism, token: shared.get, refused: shared.refused }
}
