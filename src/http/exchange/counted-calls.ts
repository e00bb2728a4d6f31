import type { Socket } from 'node:net'
import type { CastellanError, OverloadedError } from '../../core/errors.js'

/**
 * Calls of protocols other than HTTP/1.1, under the limits of HTTP's requests and counted together with them: bytes per
 * address and in all, requests and connections per address.
 */
export interface CountedCalls {
  /** Most bytes of the headers of a call. */
  readonly maxHeaderBytes: number
  /** Counts a connection until its socket closes. One whose address has too many is destroyed. */
  connection(socket: Socket): CountedConnection
}

export interface CountedConnection {
  /** The key under which its address is counted. */
  readonly addressKey: string
  /**
   * Counts a call until its {@link CountedCall.end}.
   *
   * @param onRefused called at most once, and only until the whole request has come: it has to make room for smaller ones
   */
  begin(onRefused: (refusal: OverloadedError) => void): CountedCall
}

export interface CountedCall {
  /** Why the call may not go on; to be asked once, at its beginning. */
  refusal(): CastellanError | undefined
  /** Counts bytes that the call holds, or returns why they find no room. */
  take(sizeBytes: number): OverloadedError | undefined
  give(sizeBytes: number): void
  /** The whole request has come. */
  received(): void
  /** Gives back all that it holds. */
  end(): void
}
