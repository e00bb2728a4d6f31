import type { IncomingHttpHeaders, IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { ForbiddenError, OverloadedError } from '../../core/errors.js'
import type { RecordBudget } from '../../core/record-budget.js'
import type { AddressUse } from './client-addresses.js'
import type { HeadLimits } from './head.js'
import type { HeadContext } from './response-head.js'
import type { SilenceLimit } from './silence-limit.js'
import type { TimeLimits } from './time-limits.js'
import type { UpgradeOwner } from './upgrade.js'

export interface ConnectionLimits extends HeadLimits, TimeLimits {
  /** Limit of bytes that are discarded after the last answer. */
  readonly maxBodyBytes: number
  /** When the bodies of a connection hold more than this, its next requests wait. */
  readonly maxBodyBytesPerConnection: number
  readonly maxRequestsPerConnection: number
}

/** A request or call that holds bytes of its body in memory. */
export interface BodyHolder {
  readonly address: AddressUse
  heldBytes: number
}

/** An answer that leaves at the end of its tick. */
export interface WaitingAnswer {
  readonly response: ServerResponse
  leave(): void
}

export interface AnswersHost extends HeadContext {
  /** The budget of all large answers. Absent: the server counts none. */
  readonly records?: RecordBudget | undefined
  /** Answers of a tick leave one after another at its end, after all requests that have arrived are read. */
  atEndOfTick(answer: WaitingAnswer): void
  /** The connection ends, because no budget holds the answer to this request, and it is large. */
  unheld(request: IncomingMessage): void
  now(): number
  /** Whether the event loop may have stood still before what it is doing now. */
  stoodStill(): boolean
  endedUnread(connection: { readonly socket: Socket; readonly unreadBytes: number }): void
}

/** A request that was answered because of its bytes: no handler has it. */
export interface RefusedHead {
  readonly address: AddressUse
  readonly status: number
  readonly durationMs: number
  /** Absent: its head could not be read. */
  readonly request?: IncomingMessage
}

export interface ConnectionHost extends AnswersHost {
  readonly limits: ConnectionLimits
  /** Counts bytes of a body, or returns the error when there is no memory for them. */
  take(holder: BodyHolder, sizeBytes: number): OverloadedError | undefined
  give(holder: BodyHolder, sizeBytes: number): void
  /** Counts bytes of a body that is incomplete. @returns whether its rest has to wait for the next tick */
  endsTurn(sizeBytes: number): boolean
  /** Counts bytes of requests that have not begun; negative: fewer. @returns whether there is memory for them */
  keep(address: AddressUse, sizeBytes: number): boolean
  refusedHead(refused: RefusedHead): void
  upgraded(owner: UpgradeOwner): void
  closed(connection: RequestsOfConnection): void
}

/** Rules of a listener for its requests. The engine carries them for the handler. */
export interface ListenerGuard {
  /** Requests come by a unix socket, which has no address. */
  readonly isOfUnixSocket: boolean
  readonly checksHost: boolean
  /** Why a request with these headers is refused. */
  refusalOf(headers: IncomingHttpHeaders, needsHost?: boolean, isPage?: boolean): ForbiddenError | undefined
  /** Why a GET with these headers is refused that does more than read. */
  refusalOfEffect(headers: IncomingHttpHeaders): ForbiddenError | undefined
}

/** State and settings that the connections of one listener share. */
export interface Served {
  readonly guard: ListenerGuard
  /** The codings of bodies and of answers. The engine carries them for the handler. */
  readonly bodies?: unknown
  readonly answers?: unknown
  readonly handler: RequestListener
  /** The time limit for silent clients, on a listener that serves one API only. */
  readonly silence?: SilenceLimit | undefined
}

/**
 * A connection as its requests see it. It counts requests and the bytes that they hold, and is not read while these are too many.
 */
export abstract class RequestsOfConnection {
  abstract readonly socket: Socket
  readonly served: Served
  readonly address: AddressUse
  /** The time limit for silence of the API that has the request. */
  silence: SilenceLimit | undefined
  openRequests = 0
  protected readonly host: ConnectionHost
  /** Requests wait to be admitted, or hold too much. */
  protected isPaused = false
  /** Bytes that the bodies of all open requests hold. */
  #bodyBytes = 0
  /** Number of requests that wait to be admitted. Meanwhile the connection is not read. */
  #heldRequests = 0
  #mayPause = true

  constructor(served: Served, address: AddressUse, host: ConnectionHost) {
    this.served = served
    this.silence = served.silence
    this.address = address
    this.host = host
  }

  protected abstract pausedChanged(): void
  /** The request that has begun last keeps its turn, or has ended it. */
  abstract turnChanged(isKept: boolean): void
  /** Bytes have come behind the answer to the request that is being received. */
  abstract discards(sizeBytes: number): void
  /** Stops reading a body while its reader has not taken the bytes that have arrived; `false`: reads on. */
  abstract holdBody(isHeld: boolean): void
  /** The request is broken, and the answer that ends the connection waits for those to earlier requests. */
  abstract isBroken(request: BodyHolder): boolean
  /**
   * Takes the connection out of HTTP, in place of its only open answer: what comes from now on is read from the socket.
   *
   * @returns the bytes that have come behind the request; `undefined`: the connection or the answer has ended
   */
  abstract detach(): Buffer | undefined

  /** Another protocol has the connection from now on. */
  upgraded(owner: UpgradeOwner): void {
    this.host.upgraded(owner)
  }

  begin(): void {
    this.openRequests++
    this.address.requests.add(1)
    this.#pauseOrGoOn()
  }

  end(request: BodyHolder): void {
    this.openRequests--
    this.address.requests.release(1)
    this.give(request)
    this.changed()
  }

  /** The rest of the body of a request has come that is over. */
  changed(): void {
    this.#pauseOrGoOn()
  }

  /** Counts bytes of a body that have arrived, or returns the error when there is no memory for them. */
  take(request: BodyHolder, sizeBytes: number): OverloadedError | undefined {
    const refusal = this.host.take(request, sizeBytes)
    if (refusal !== undefined) return refusal
    this.#bodyBytes += sizeBytes
    if (this.openRequests > 1) this.#pauseOrGoOn()
    return undefined
  }

  give(request: BodyHolder): void {
    const bytes = request.heldBytes
    if (bytes === 0) return
    this.#bodyBytes -= bytes
    this.host.give(request, bytes)
    if (this.isPaused) this.#pauseOrGoOn()
  }

  /** A request begins or ends to wait to be admitted. */
  heldChanged(isHeld: boolean): void {
    this.#heldRequests += isHeld ? 1 : -1
    this.#pauseOrGoOn()
  }

  /** From now on no request can keep the connection from being read. */
  protected endPauses(): void {
    this.#mayPause = this.isPaused = false
  }

  /**
   * Pauses reading while a request waits to be admitted, or while the requests before the current one hold this connection's
   * share; their answers resume it. A paused socket costs nothing but itself.
   */
  #pauseOrGoOn(): void {
    const mustPause = this.#heldRequests > 0 || this.#hasTooMuch
    if (mustPause === this.isPaused || !this.#mayPause) return
    this.isPaused = mustPause
    this.pausedChanged()
  }

  /** False for a single request: only answers to earlier requests free memory, so it would wait for itself. */
  get #hasTooMuch(): boolean {
    if (this.openRequests <= 1) return false
    return this.#bodyBytes >= this.host.limits.maxBodyBytesPerConnection
  }

  /** As many requests are open as may be: the next one begins behind an answer. */
  protected get isFull(): boolean {
    return this.openRequests >= this.host.limits.maxRequestsPerConnection
  }
}
