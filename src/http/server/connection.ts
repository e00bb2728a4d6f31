import type { RequestListener } from 'node:http'
import type { Socket } from 'node:net'
import type { OverloadedError } from '../../core/errors.js'
import type { Broken, ConnectionUser, UsedConnection } from '../engine/engine-user.js'
import type { Head } from '../engine/head.js'
import type { EngineResponse } from '../engine/response.js'
import type { SilenceLimit } from '../exchange/client.js'
import { offerUpgrade, type UpgradeOwner } from '../exchange/other-protocols.js'
import type { BrowserGuard } from './browser-guard.js'
import type { AddressUse } from './client-addresses.js'
import { CountedRequest, type RequestHolder, SocketUpgrade } from './counted-request.js'

/** Time for the client to read the last answers before the connection is closed. */
const LINGER_MS = 2_000

export interface ConnectionLimits {
  /** After the last answer, at most this many bytes are discarded. */
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

export interface ConnectionHost {
  readonly limits: ConnectionLimits
  /** Counts bytes of a body, or returns the error when there is no memory for them. */
  take(holder: BodyHolder, sizeBytes: number): OverloadedError | undefined
  give(holder: BodyHolder, sizeBytes: number): void
  /** Counts bytes of requests that have not begun; negative: fewer. @returns whether there is memory for them */
  keep(address: AddressUse, sizeBytes: number): boolean
  upgraded(owner: UpgradeOwner): void
  endedUnread(connection: Connection): void
  closed(connection: Connection): void
}

/** What the connections of one listener have in common. */
export interface Served {
  readonly guard: BrowserGuard
  readonly handler: RequestListener
  /** The time limit for silent clients, on a listener that serves one API only. */
  readonly silence?: SilenceLimit | undefined
}

/** One connection: its unanswered requests, the bytes that they hold, and its end. */
export class Connection implements ConnectionUser, RequestHolder {
  readonly socket: Socket
  readonly address: AddressUse
  receiving: CountedRequest | undefined
  silence: SilenceLimit | undefined
  readonly #engine: UsedConnection
  readonly #served: Served
  readonly #host: ConnectionHost
  /** Number of requests that are not over. */
  openRequests = 0
  #isPaused = false
  /** Number of requests that wait to be admitted. Meanwhile the connection is not read. */
  #heldRequests = 0
  #bodyBytes = 0
  #keptBytes = 0
  #discardedBytes = 0
  #seenBytes = 0
  #seenAt: number
  /** Status of the last answer, which waits for the answers to earlier requests. */
  #lastStatus: string | undefined
  /** The request whose body had not come when the last answer was decided on. */
  #broken: CountedRequest | undefined
  #lingering: NodeJS.Timeout | undefined

  constructor(engine: UsedConnection, served: Served, address: AddressUse, host: ConnectionHost, now: number) {
    const { socket } = engine
    this.socket = socket
    this.address = address
    this.silence = served.silence
    this.#engine = engine
    this.#served = served
    this.#host = host
    this.#seenAt = now
    // The engine ends a connection this way behind its last answer. A socket that is closed while bytes still arrive is
    // reset, and a reset discards answers that the client has not read yet.
    socket.destroySoon = () => this.linger()
    socket.once('close', () => this.#close())
  }

  /** The request whose body is still coming. */
  get incomplete(): CountedRequest | undefined {
    return this.receiving?.complete === false ? this.receiving : undefined
  }

  /** Bytes of answers that the client has not taken, and of requests that wait behind them. */
  get unreadBytes(): number {
    return this.#engine.unreadBytes + this.#keptBytes
  }

  toRequest(head: Head): CountedRequest {
    // The previous request may have belonged to an API with a limit of its own.
    this.silence = this.#served.silence
    this.#discardedBytes = 0
    return new CountedRequest(this.#engine, head, this, this.#served.guard)
  }

  handle(request: CountedRequest, response: EngineResponse, head: Head): void {
    request.begin(response)
    if (head.refusal !== undefined) {
      const allow = head.refusal === 405 && { allow: 'GET, POST' }
      response.writeHead(head.refusal, { ...allow, connection: 'close', 'content-length': 0 }).end()
      return
    }
    if (head.isWaiting) request.waitForContinue(response)
    if (request.upgrade) {
      const upgraded = (owner: UpgradeOwner): void => this.#host.upgraded(owner)
      offerUpgrade(request, new SocketUpgrade(this.#engine, request, upgraded))
    }
    this.#served.handler(request, response.asServerResponse)
  }

  unread(): void {
    this.#host.endedUnread(this)
  }

  begin(): void {
    this.openRequests++
    this.address.requests++
    this.#pauseOrResume()
  }

  end(request: CountedRequest): void {
    this.openRequests--
    this.address.requests--
    this.give(request)
    this.changed()
  }

  changed(): void {
    this.#pauseOrResume()
    this.#sayLastAnswer()
  }

  take(request: CountedRequest, sizeBytes: number): OverloadedError | undefined {
    const refusal = this.#host.take(request, sizeBytes)
    if (refusal !== undefined) return refusal
    this.#bodyBytes += sizeBytes
    if (this.openRequests > 1) this.#pauseOrResume()
    return undefined
  }

  give(request: CountedRequest): void {
    const bytes = request.heldBytes
    if (bytes === 0) return
    this.#bodyBytes -= bytes
    this.#host.give(request, bytes)
    if (this.#isPaused) this.#pauseOrResume()
  }

  keeps(sizeBytes: number): boolean {
    this.#host.keep(this.address, -this.#keptBytes)
    const isKept = this.#host.keep(this.address, sizeBytes)
    this.#keptBytes = isKept ? sizeBytes : 0
    return isKept
  }

  discards(sizeBytes: number): void {
    this.#discardedBytes += sizeBytes
    if (this.#discardedBytes > this.#host.limits.maxBodyBytes) this.socket.destroy()
  }

  heldChanged(isHeld: boolean): void {
    this.#heldRequests += isHeld ? 1 : -1
    this.#pauseOrResume()
  }

  /**
   * Pauses reading while a request waits to be admitted, or while the requests before the current one hold this
   * connection's share; their answers resume it. A paused socket costs nothing but itself.
   */
  #pauseOrResume(): void {
    const mustPause = this.#heldRequests > 0 || this.#isFull
    if (mustPause === this.#isPaused || this.#lingering !== undefined) return
    this.#isPaused = mustPause
    if (mustPause) this.#engine.pause()
    else this.#engine.resume()
  }

  /** False for a single request: only answers to earlier requests free memory, so it would wait for itself. */
  get #isFull(): boolean {
    if (this.openRequests <= 1) return false
    const { maxRequestsPerConnection, maxBodyBytesPerConnection } = this.#host.limits
    return this.openRequests > maxRequestsPerConnection || this.#bodyBytes >= maxBodyBytesPerConnection
  }

  /** Ends the connection when its client has been silent for too long; to be called at intervals. */
  endIfSilent(now: number): void {
    const { silence, socket } = this
    const owner = this.receiving?.owner
    const bytes = owner === undefined ? socket.bytesRead : socket.bytesRead + socket.bytesWritten
    // While the connection is paused, the silence is not the client's.
    if (silence?.limitMs === undefined || this.#isPaused || bytes !== this.#seenBytes) {
      this.#seenBytes = bytes
      this.#seenAt = now
    } else if (now - this.#seenAt >= silence.limitMs) {
      this.#seenAt = now
      silence.onEnd()
      if (owner === undefined) socket.destroy()
      else owner.silent()
    }
  }

  /**
   * Ends the connection with an error answer, because its bytes are not HTTP or a request arrives too slowly. The answer
   * is sent once, after the answers to earlier requests.
   */
  broken(how: Broken): void {
    if (this.#lastStatus !== undefined || this.#lingering !== undefined) return
    this.#lastStatus = how
    this.#broken = this.incomplete
    if (this.socket.writable) this.#sayLastAnswer()
    else this.socket.destroy()
  }

  isBroken(request: CountedRequest): boolean {
    return this.#lastStatus !== undefined && this.#broken === request
  }

  #sayLastAnswer(): void {
    // A body that was late has come in the meantime.
    if (this.#broken?.complete) this.#lastStatus = undefined
    const { socket, incomplete } = this
    const status = this.#lastStatus
    const isBrokenOpen = incomplete?.isOver === false
    if (status === undefined || this.#lingering !== undefined) return
    if (this.openRequests > (isBrokenOpen ? 1 : 0)) return
    this.#lastStatus = undefined
    // The broken request may have an answer already, which cannot be replaced.
    if (socket.writable && (incomplete === undefined || (isBrokenOpen && !incomplete.isAnswerBegun))) {
      incomplete?.over()
      socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`)
      this.linger()
    } else if (incomplete?.isAnswered)
      // An answer that is whole may not have left yet.
      this.linger()
    else socket.destroy()
  }

  /** Half-closes the connection, and for a while discards what the client still sends. */
  linger(): void {
    if (this.#lingering !== undefined || this.socket.destroyed) return
    this.#isPaused = false
    this.#lingering = setTimeout(() => this.socket.destroy(), LINGER_MS)
    this.socket.end()
    this.#engine.discard(this.#host.limits.maxBodyBytes)
  }

  #close(): void {
    clearTimeout(this.#lingering)
    this.#lastStatus = undefined
    // The engine has ended the others, but not one that has upgraded the connection.
    this.receiving?.over()
    this.keeps(0)
    this.#host.closed(this)
  }
}
