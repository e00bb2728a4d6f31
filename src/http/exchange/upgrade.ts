import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { OverloadedError } from '../../core/errors.js'

/** A connection that speaks another protocol than HTTP from now on. It goes on being counted as one of its client. */
export interface UpgradedSocket {
  readonly socket: Socket
  /** What the client sent right behind its request. */
  readonly head: Buffer
  /**
   * Counts bytes that are held for the client, as bytes of a body are counted.
   *
   * @returns why there is no room for them
   */
  hold(sizeBytes: number): OverloadedError | undefined
  /** Gives back everything that is held. The end of the connection does so, too. */
  release(): void
}

/** Who has taken a connection. */
export interface UpgradeOwner {
  /** The process is about to stop. Called once; the connection is cut when the time for it is over. */
  leave(): void
  /** Nothing has gone over the connection for as long as the API allows. */
  silent(): void
}

/** A client's wish to speak the websocket protocol on its connection, with a `GET` that no other request precedes. */
export interface Upgrade {
  /**
   * Takes the connection out of HTTP. The response must not have been used, and not be used any more.
   *
   * @param owner is asked to end the connection; where it does not, the connection is cut
   * @returns `undefined` when the client has left
   */
  take(owner: UpgradeOwner): UpgradedSocket | undefined
}

const upgrades = new WeakMap<IncomingMessage, Upgrade>()

/**
 * The upgrade that a request asks for; `undefined` when it asks for none. It has come through everything a request comes
 * through: access, quotas, web pages of others. An answer instead of the upgrade ends the connection.
 */
export const upgradeOf = (request: IncomingMessage): Upgrade | undefined => upgrades.get(request)

/** For the listeners: says what {@link upgradeOf} answers. */
export const offerUpgrade = (request: IncomingMessage, upgrade: Upgrade): void => void upgrades.set(request, upgrade)
