import type { Head, HeadLimits, UnusualPart } from './head.js'
import type { EngineRequest, RequestConnection } from './request.js'
import type { EngineResponse } from './response.js'
import type { TimeLimits } from './time-limits.js'

export type EngineLimits = HeadLimits & TimeLimits

/** Why a connection is broken, as the status of its last answer. */
export type Broken = '400 Bad Request' | '408 Request Timeout' | '503 Service Unavailable'

/** How a connection goes to Node. */
export interface Leaving {
  /** What is unusual in the head of its next request, or that it comes in many `pieces`. */
  readonly reason: UnusualPart | 'pieces'
  /** Whether that request came while earlier ones had no answer. */
  readonly isBehind: boolean
  /** The time that is left for the rest of that head; absent: none of it has been spent. */
  readonly headTimeLeftMs: number | undefined
}

/** A connection, as the user of the engine sees it. */
export interface UsedConnection extends RequestConnection {
  /** Nothing more is read, until `resume`. */
  pause(): void
  resume(): void
  /** Nothing that comes is wanted. After so many bytes, nothing more is read. */
  discard(maxBytes: number): void
}

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
   * So many bytes of further requests wait behind open ones, in place of those before.
   *
   * @returns whether there is room for them; without it, none of them are counted
   */
  keeps(connection: UsedConnection, sizeBytes: number): boolean
  /** Nothing further is read from the connection; its last answer is up to the user. */
  broken(connection: UsedConnection, how: Broken): void
  /** Node takes the connection over. */
  leaves(connection: UsedConnection, leaving: Leaving): void
}
