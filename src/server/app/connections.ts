import { isDeepStrictEqual } from 'node:util'
import type { ConnectionSettings, SaslOptions } from '../../kafka/create-broker-client-factory.js'
import type { ClusterSettings } from '../../kafka/settings.js'
import { SharedToken } from '../../kafka/shared-token.js'
import { requestToken } from '../../kafka/token-request.js'
import { readTlsFiles, readTokenCaFile } from '../config/tls-files.js'

/**
 * Share of the connect time-out that the request of a token may use, so that its error is reported before the
 * connection times out.
 */
const TOKEN_SHARE_OF_CONNECTING = 0.7

type Connection = Omit<ConnectionSettings, 'log'>

/**
 * How to connect to the brokers of a cluster.
 *
 * @throws ConfigError when a certificate cannot be read
 */
export function connectionOf(name: string, settings: ClusterSettings): Connection {
  const { clientId, connectTimeoutMs, requestTimeoutMs, maxThrottleMs } = settings
  const times = { connectTimeoutMs, requestTimeoutMs, maxThrottleMs }
  return { clientId, ...times, tls: toTls(name, settings.tls), sasl: toSasl(name, settings) }
}

/** The same for a process that goes on while its certificates and passwords are replaced. */
export class ClusterConnection {
  readonly #name: string
  #current: Connection
  #loginMadeOf: unknown

  /** @throws ConfigError when a certificate cannot be read */
  constructor(name: string, settings: ClusterSettings) {
    this.#name = name
    this.#current = connectionOf(name, settings)
    this.#loginMadeOf = loginParts(name, settings)
  }

  /** For connections that are opened now. */
  get current(): Connection {
    return this.#current
  }

  /**
   * Reads the files again, and changes nothing.
   *
   * @returns what to call to log in with them; connections that are open stay
   * @throws ConfigError when a certificate cannot be read
   */
  prepare(settings: ClusterSettings): () => void {
    const next = connectionOf(this.#name, settings)
    const madeOf = loginParts(this.#name, settings)
    // A token that is good for some time yet need not be asked for again.
    const isLoginSame = isDeepStrictEqual(madeOf, this.#loginMadeOf)
    return () => {
      this.#current = isLoginSame ? { ...next, sasl: this.#current.sasl } : next
      this.#loginMadeOf = madeOf
    }
  }
}

const loginParts = (name: string, { sasl }: ClusterSettings): unknown => [sasl, sasl && readTokenCaFile(name, sasl)]

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
