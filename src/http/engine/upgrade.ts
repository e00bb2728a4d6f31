import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { OverloadedError } from '../../core/errors.js'

/** A connection that speaks another protocol than HTTP from now on. It still counts as a connection of its client. */
export interface UpgradedSocket {
  readonly socket: Socket
  /** Bytes that the client sent right behind its request. */
  readonly head: Buffer
  /**
   * Counts bytes that are held for the client, as bytes of a body are counted.
   *
   * @returns the refusal when the limits do not allow them
   */
  hold(sizeBytes: number): OverloadedError | undefined
  /** Releases all bytes that are held; so does the end of the connection. */
  release(): void
}

export interface UpgradeOwner {
  /** The process is about to stop. Called once; the connection is cut when the time for it is over. */
  leave(): void
  /** The connection was silent for as long as the API allows. */
  silent(): void
}

/** A request to switch its connection to the websocket protocol: a `GET` that no open request precedes. */
export interface Upgrade {
  /**
   * Takes the connection out of HTTP. The response must not have been used, and not be used any more.
   *
   * @param owner is asked to end the connection; where it does not, the connection is cut
   * @returns `undefined` when the client has left
   */
  take(owner: UpgradeOwner): UpgradedSocket | undefined
}

/**
 * The upgrade that a request asks for; `undefined` when it asks for none. The request has passed the same checks as any
 * other: access, quotas, foreign web pages. An answer instead of the upgrade ends the connection.
 */
export const upgradeOf = (request: IncomingMessage & { readonly offer?: Upgrade }): Upgrade | undefined => request.offer

/** One of a list of protocols. Source: RFC 9110, section 7.8. */
const WEBSOCKET = /(?:^|,)[ \t]*websocket[ \t]*(?:,|$)/i

/**
 * Whether a request asks for the websocket protocol in a way that can be granted. All others, such as those of HTTP
 * clients that offer HTTP/2 with their first request, are answered as if they had not asked.
 */
export const isWebsocketRequest = ({ method, headers, httpVersion }: IncomingMessage): boolean =>
  method === 'GET' &&
  // HTTP/1.0 knows neither upgrades nor 101.
  httpVersion !== '1.0' &&
  WEBSOCKET.test(headers.upgrade ?? '') &&
  headers['transfer-encoding'] === undefined &&
  (headers['content-length'] ?? '0') === '0'
