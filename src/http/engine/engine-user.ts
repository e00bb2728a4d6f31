import type { Head, HeadLimits, UnusualPart } from './head.js'
import type { EngineRequest, RequestConnection } from './request.js'
import type { EngineResponse } from './response.js'
import type { TimeLimits } from './time-limits.js'

export type EngineLimits = HeadLimits & TimeLimits

/** Why a connection is broken, as the status of its last answer. */
export type Broken = '400 Bad Request' | '408 Request Timeout' | '503 Service Unavailable'

/** Why a connection is given to Node, and in which state. */
export interface Leaving {
  /** The unusual part in the head of the next request; `pieces`: the head came in too many pieces. */
  readonly reason: UnusualPart | 'pieces'
  /** Whether that request arrived before earlier ones were answered. */
  readonly isBehind: boolean
  /** Time that is left to receive that head; absent: the whole time limit. */
  readonly headTimeLeftMs: number | undefined
}

/** A connection, as the user of the engine sees it. */
export interface UsedConnection extends RequestConnection {
  /** Bytes of answers that the client has not taken, and of answers that wait for their turn. */
  readonly unreadBytes: number
  /** Nothing more is read, until `resume`. */
  pause(): void
  resume(): void
  /** Discards the bytes that arrive, and stops reading after `maxBytes`. */
  discard(maxBytes: number): void
}

/**
 * What bytes wait for that were read and cannot begin yet. Only those that wait for their turn can begin at once, if they
 * must:
 *
 *   turn      the user has paused the connection
 *   gateway   answers that are not made yet
 *   client    answers that the client does not read, or the end of a stream that it has asked for
 */
export type WaitsFor = 'turn' | 'gateway' | 'client'

/** What happens to the requests of an engine. */
export interface EngineUser {
  /**
   * A connection has begun.
   *
   * @param isShared whether it is read into the buffer of all connections
   */
  connected(connection: UsedConnection, isShared: boolean): void
  toRequest(connection: UsedConnection, head: Head): EngineRequest
  /** The body of the request comes after this call. */
  handle(request: EngineRequest, response: EngineResponse): void
  /**
   * Sets how many bytes of further requests wait behind the open requests of a connection, and for what.
   *
   * @returns whether there is memory for them; if not, none of them are counted
   */
  keeps(connection: UsedConnection, sizeBytes: number, waitsFor: WaitsFor): boolean
  /** The engine reads no more from the connection. The user sends its last answer. */
  broken(connection: UsedConnection, how: Broken): void
  /** Node takes the connection over. */
  leaves(connection: UsedConnection, leaving: Leaving): void
}
