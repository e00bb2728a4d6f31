import type { ConnectionOptions } from 'node:tls'
import type { Logger } from '../core/model.js'

/** How to log in. */
export type SaslOptions =
  | {
      readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
      readonly username: string
      readonly password: string
    }
  | {
      readonly mechanism: 'oauthbearer'
      /** A function is asked on every authentication, so it can renew the token. */
      readonly token: string | (() => Promise<string>)
      /** Called with a token that a broker has refused. */
      readonly refused?: ((token: string) => void) | undefined
    }

/** The settings that all connections to a cluster share. */
export interface ConnectionSettings {
  /** The client id in the logs and quotas of brokers. */
  readonly clientId: string
  /** How long a broker may take for an answer, unless the call says otherwise. */
  readonly requestTimeoutMs: number
  /** Socket, TLS, ApiVersions and authentication together. */
  readonly connectTimeoutMs: number
  /** Absent: no TLS. Whatever `tls.connect` takes; the server's name is the broker's host unless given. */
  readonly tls?: ConnectionOptions | undefined
  readonly sasl?: SaslOptions | undefined
  /** A response that claims more breaks its connection. Default 100 MiB. */
  readonly maxResponseBytes?: number | undefined
  /** The longest pause a broker may ask for (KIP-219); a longer one is cut. Default 10 s. */
  readonly maxThrottleMs?: number | undefined
  readonly log: Logger
}

export const DEFAULT_MAX_THROTTLE_MS = 10_000

export const DEFAULT_MAX_RESPONSE_BYTES = 100 * 1024 * 1024
