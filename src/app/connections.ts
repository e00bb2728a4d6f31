import { readTlsFiles, readTokenCaFile } from '../config/tls-files.js'
import type { ConnectionSettings, SaslOptions } from '../wire/create-broker-client-factory.js'
import type { ClusterSettings } from '../wire/settings.js'
import { SharedToken } from '../wire/shared-token.js'
import { requestToken } from '../wire/token-request.js'

/**
 * Share of the connect time-out that the request of a token may use, so that its error is reported before the
 * connection times out.
 */
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

// The configuration has checked that the settings of each mechanism are complete.
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
