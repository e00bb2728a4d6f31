import type { OverloadedError } from '../../core/errors.js'
import type { UpgradeOwner } from '../exchange/other-protocols.js'
import type { AddressUse } from './client-addresses.js'

/** The body of a request, as it is counted. */
export interface CountedBody {
  /** Counted bytes: they have arrived, and the request is not over. */
  heldBytes: number
  /** Bytes that no longer count as bytes of bodies: they wait behind answers which the client does not read. */
  movedBytes: number
  readonly hasBody: boolean
  /** Whether all of it has come. */
  readonly complete: boolean
  /** Whether it is being read or discarded: then the client alone determines its pace. */
  readonly isRead: boolean
  /** Whether its request waits to be admitted. */
  readonly isHeld: boolean
  /** Whether its reader alone limits its pace and duration. */
  readonly isOpenEnded: boolean
}

/** A request without its whole answer. */
export interface OpenRequest extends CountedBody {
  /** The address of its connection. */
  readonly address: AddressUse
  /** True before the request begins and after it has ended: nothing of its body is kept. */
  readonly isOver: boolean
  /** Whether any part of the answer was written. */
  readonly isAnswerBegun: boolean
  /** Whether the whole answer was made; it may wait for earlier ones, or for the client to read. */
  readonly isAnswered: boolean
  /** The handler of an upgraded connection. */
  readonly owner: UpgradeOwner | undefined
  /** Releases what the body holds, and reports the error to its reader, or to the first one that comes. */
  refuse(refusal: OverloadedError): void
  /** The connection ends behind the answer, unless that has begun. */
  endConnection(): void
  /** Releases the body: the whole answer was made, so it is not needed any more. */
  dropBody(): void
  /** The answer was sent, or will not be sent. */
  over(): void
  /** The connection has ended: no further answer is sent. */
  connectionEnded(): void
}

/** The connection of a request, as far as the request uses it. */
export interface RequestHolder {
  readonly address: AddressUse
  /** Unanswered requests. */
  readonly openRequests: number
  /** The request is broken, and the answer that ends the connection waits for those to earlier requests. */
  isBroken(request: OpenRequest): boolean
  /** The request whose head arrived last; its body may be incomplete. Set by the request itself. */
  receiving: OpenRequest | undefined
  begin(request: OpenRequest): void
  /** The request is over. Called again when the rest of its body has come after that. */
  end(request: OpenRequest): void
  /** Reserves memory for bytes of a body that have arrived, or returns the error when there is none. */
  take(request: OpenRequest, sizeBytes: number): OverloadedError | undefined
  /** Releases all bytes that the body holds. */
  give(request: OpenRequest): void
  /** Counts this many bytes of the body in place of all that have come, or returns the error when there is no memory. */
  holdOnly(request: OpenRequest, sizeBytes: number): OverloadedError | undefined
  /** `isHeld` of the request has changed. Nothing is read from the connection while one of its requests is held. */
  heldChanged(request: OpenRequest): void
}
