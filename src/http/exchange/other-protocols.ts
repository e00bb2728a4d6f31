import type { Socket } from 'node:net'
import type { CastellanError, OverloadedError } from '../../core/errors.js'

/** The parts of the engine with which APIs take a connection out of HTTP. */
export { type Upgrade, type UpgradedSocket, type UpgradeOwner, upgradeOf } from '../engine/upgrade.js'

/**
 * Calls of protocols other than HTTP/1.1, under the limits of HTTP's requests and counted together with them: bytes per
 * address and in all, requests and connections per address.
 */
export interface CountedCalls {
  readonly maxHeaderBytes: number
  /** Counts a connection until its socket closes. A connection whose address has too many is destroyed. */
  connection(socket: Socket): CountedConnection
  /** Counts a connection of the gRPC port that is closed at once because the port has too many. */
  refusedConnection(): void
}

export interface CountedConnection {
  /** The key under which its address is counted. */
  readonly addressKey: string
  /**
   * Counts a call until its {@link CountedCall.end}.
   *
   * @param onRefused called at most once, and only until the whole request has come, when the call is refused in favour
   * of smaller requests
   */
  begin(onRefused: (refusal: OverloadedError) => void): CountedCall
}

export interface CountedCall {
  /** Why the call is refused; to be called once, at its beginning. */
  refusal(): CastellanError | undefined
  /** Counts bytes that the call holds, or returns the refusal when the limits do not allow them. */
  take(sizeBytes: number): OverloadedError | undefined
  give(sizeBytes: number): void
  received(): void
  /** Releases all bytes that the call holds, and stops counting it. */
  end(): void
}
