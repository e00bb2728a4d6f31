import type { Head, HeadLimits, Malformed } from './head.js'
import type { EngineRequest, RequestConnection } from './request.js'
import type { EngineResponse } from './response.js'
import type { TimeLimits } from './time-limits.js'

export type EngineLimits = HeadLimits & TimeLimits

/** Why a connection is broken, as the status of its last answer. */
export type Broken = Malformed | '408 Request Timeout' | '503 Service Unavailable'

/** A connection, as the user of the engine sees it. */
export interface UsedConnection extends RequestConnection {
  /** Bytes of answers that the client has not taken, and of answers that wait for their turn. */
  readonly unreadBytes: number
  /** Nothing more is read, until `resume`. */
  pause(): void
  resume(): void
  /** Discards the bytes that arrive, and stops reading after `maxBytes`. */
  discard(maxBytes: number): void
  /**
   * Takes the connection out of HTTP, in place of its only open answer: what comes from now on is read from the socket.
   *
   * @returns the bytes that have come behind the request; `undefined`: the connection or the answer has ended
   */
  detach(): Buffer | undefined
}

/** What happens to the requests of a connection. */
export interface ConnectionUser {
  toRequest(head: Head): EngineRequest
  /** The body of the request comes after this call. Nothing more is read while the request may upgrade its connection. */
  handle(request: EngineRequest, response: EngineResponse, head: Head): void
  /**
   * Sets how many bytes of further requests wait behind the open requests.
   *
   * @returns whether there is memory for them; if not, none of them are counted, and the connection is broken
   */
  keeps(sizeBytes: number): boolean
  /** The engine reads no more from the connection. The user sends its last answer. */
  broken(how: Broken): void
  /** The connection ends because its client reads no answers. */
  unread(): void
}

export type Connected = (connection: UsedConnection) => ConnectionUser
