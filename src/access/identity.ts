import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { OverloadedError, UnauthenticatedError, UnavailableError } from '../errors.js'

/** How a client has proved who it is. */
export type AuthMethod = 'token' | 'password' | 'certificate' | 'jwt' | 'unixSocket' | 'none'

/** A client that is known. */
export interface Identity {
  readonly principal: string
  readonly method: AuthMethod
  /** Epoch ms from which on the credentials must be looked at again; infinite: they do not expire. */
  readonly validUntil: number
}

/** Why a client is not let in: it did not prove who it is, or that cannot be found out now. */
export type AuthRefusal = UnauthenticatedError | UnavailableError | OverloadedError

export type Authentication = Identity | AuthRefusal

/** What is known of a request before its body. */
export interface Arrival {
  /** The header `Authorization`. */
  readonly authorization: string | undefined
  /** The connection, whose peer may have shown a certificate. */
  readonly socket: Socket
  /** What stands for the address of the peer where addresses are counted; empty on a unix socket. */
  readonly address: string
  readonly isUnixSocket: boolean
}

/** A request that wants to come in. */
export interface Visit extends Arrival {
  readonly request: IncomingMessage
  readonly requestId: string
  /** The whole address of the peer, for people. */
  readonly peer: string
  /** Calls back when the request has ended, whichever way; at once when it already has. */
  onEnd(ended: () => void): void
}

export const isRefusal = (authentication: Authentication): authentication is AuthRefusal =>
  authentication instanceof Error
