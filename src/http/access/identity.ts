import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { OverloadedError, UnauthenticatedError, UnavailableError } from '../../core/errors.js'

/** The way in which a client has authenticated. */
export type AuthMethod = 'token' | 'password' | 'certificate' | 'jwt' | 'unixSocket' | 'none'

/** An authenticated client. */
export interface Identity {
  readonly principal: string
  readonly method: AuthMethod
  /** Epoch milliseconds at which the credentials must be verified again; infinite: they do not expire. */
  readonly validUntil: number
}

/** Why a client is refused: it did not authenticate, or its credentials cannot be verified at the moment. */
export type AuthRefusal = UnauthenticatedError | UnavailableError | OverloadedError

export type Authentication = Identity | AuthRefusal

/** What is known about a request before its body is read. */
export interface Arrival {
  /** The header `Authorization`. */
  readonly authorization: string | undefined
  /** The connection, whose peer may have shown a certificate. */
  readonly socket: Socket
  /** The key under which quotas count the peer's address; empty on a unix socket. */
  readonly address: string
  readonly isUnixSocket: boolean
}

/** A request that asks to be admitted. */
export interface IncomingRequest extends Arrival {
  readonly request: IncomingMessage
  readonly requestId: string
  /** The whole address of the peer, for people. */
  readonly peer: string
  /** Calls back when the request has ended, in whatever way; at once if it already has. */
  onEnd(ended: () => void): void
}

export const isRefusal = (authentication: object): authentication is AuthRefusal => authentication instanceof Error
